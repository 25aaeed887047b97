"""Generating with a language model, one compiled step per character."""

import functools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jax_lstm.models import LanguageModel
from jax_lstm.params import LSTMState

Generate = Callable[[np.ndarray, int, float, int], Iterator[int]]


def make_generate(model: LanguageModel) -> Generate:
    """`(prompt, length, temperature, seed)` to codes sampled after those of `prompt` (N,), one compiled step each."""
    model.eval()
    graph, params = nnx.split(model)

    @jax.jit
    def read(params: Any, codes: jax.Array) -> tuple[jax.Array, LSTMState]:
        logits, state = nnx.merge(graph, params)(codes[None])
        return logits[0, -1], state

    @functools.partial(jax.jit, donate_argnums=(1, 2), static_argnames="sample")
    def step(
        params: Any, logits: jax.Array, state: LSTMState, key: jax.Array, at: int, temperature: float, *, sample: bool
    ) -> tuple[jax.Array, jax.Array, LSTMState]:
        if sample:
            # Sampling adds noise in the logits' type; with 16 bits rare codes would be drawn too rarely.
            wide = logits.astype(jnp.promote_types(logits.dtype, jnp.float32))
            code = jax.random.categorical(jax.random.fold_in(key, at), wide / temperature).astype(jnp.int32)
        else:
            code = jnp.argmax(logits).astype(jnp.int32)
        logits, state = nnx.merge(graph, params)(code[None, None], state)
        return code, logits[0, -1], state

    def generate(prompt: np.ndarray, length: int, temperature: float, seed: int) -> Iterator[int]:
        key, heat = jax.random.key(seed), float(temperature)
        logits, state = read(params, jnp.asarray(prompt, jnp.int32))
        for at in range(length):
            code, logits, state = step(params, logits, state, key, at, heat, sample=temperature > 0)
            yield int(code)

    return generate
