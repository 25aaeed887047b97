"""Ways to run the recurrence over a sequence, in a few lines of plain JAX each.

A layer is `(params, xs (T, B, I)) -> ys (T, B, H)`; a network is the same with the parameters of all layers. State and
sums are float32 if weights and inputs are bfloat16, as in `jax_lstm`.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jax_lstm.params import LSTMParams, LSTMState, state_dtype

Layer = Callable[[LSTMParams, jax.Array], jax.Array]
Network = Callable[[Sequence[LSTMParams], jax.Array], jax.Array]
Step = Callable[[LSTMParams, LSTMState, Any], LSTMState]


def project(params: LSTMParams, x: jax.Array) -> jax.Array:
    """The input part of the pre-activations, (..., 4H)."""
    assert params.bias_ih is not None
    assert params.bias_hh is not None
    dtype = state_dtype(x.dtype)
    bias = params.bias_ih.astype(dtype) + params.bias_hh.astype(dtype)
    return jnp.matmul(x, params.weight_ih.T, preferred_element_type=dtype) + bias


def recur(params: LSTMParams, h: jax.Array) -> jax.Array:
    """The recurrent part of the pre-activations, (B, 4H)."""
    weight = params.weight_hh
    return jnp.matmul(h.astype(weight.dtype), weight.T, preferred_element_type=state_dtype(weight.dtype))


def update(i: jax.Array, f: jax.Array, g: jax.Array, o: jax.Array, c: jax.Array) -> LSTMState:
    """The next state, from the pre-activations of the gates."""
    c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
    return LSTMState(jax.nn.sigmoid(o) * jnp.tanh(c), c)


def step(params: LSTMParams, state: LSTMState, x: jax.Array) -> LSTMState:
    """One step of https://docs.pytorch.org/docs/stable/generated/torch.nn.LSTM.html."""
    return step_of_projected(params, state, project(params, x))


def step_of_projected(params: LSTMParams, state: LSTMState, projected: jax.Array) -> LSTMState:
    i, f, g, o = jnp.split(projected + recur(params, state.h), 4, axis=-1)
    return update(i, f, g, o, state.c)


def step_of_four(params: LSTMParams, state: LSTMState, projected: list[jax.Array]) -> LSTMState:
    """`step_of_projected`, with the input part as four arrays, one per gate."""
    by_state = jnp.split(recur(params, state.h), 4, axis=-1)
    i, f, g, o = (a + b for a, b in zip(projected, by_state, strict=True))
    return update(i, f, g, o, state.c)


def start(params: LSTMParams, batch: int) -> LSTMState:
    """The initial state, zeros."""
    shape = (batch, params.weight_hh.shape[1])
    return LSTMState.zeros(shape, state_dtype(params.weight_hh.dtype))


def python_loop(step: Step = step) -> Layer:
    """A loop in Python: unrolled when traced; otherwise every operation is dispatched.

    The inputs are split by one operation. `xs[t]` would be another one for every t, each with a gradient, and each
    compiled outside `jit`.
    """

    def layer(params: LSTMParams, xs: jax.Array) -> jax.Array:
        state, ys = start(params, xs.shape[1]), []
        for x in jnp.split(xs, len(xs)):
            state = step(params, state, lax.squeeze(x, (0,)))
            ys.append(state.h.astype(xs.dtype))
        return jnp.stack(ys)

    return layer


def fori_loop(traced: bool) -> Layer:
    """`fori_loop` that carries the array of outputs.

    If the number of steps is known when tracing, JAX turns it into a scan. With `traced` it is a traced value, and the
    loop is a `while`.
    """

    def layer(params: LSTMParams, xs: jax.Array) -> jax.Array:
        steps = lax.optimization_barrier(jnp.int32(len(xs))) if traced else len(xs)
        return run_steps(params, xs, steps)

    return layer


def run_steps(params: LSTMParams, xs: jax.Array, steps: Any) -> jax.Array:
    """The first `steps` of `xs` by `fori_loop`; outputs after them are zero."""
    first = start(params, xs.shape[1])

    def body(t: Any, carry: tuple[LSTMState, jax.Array]) -> tuple[LSTMState, jax.Array]:
        state, ys = carry
        state = step(params, state, xs[t])
        return state, ys.at[t].set(state.h.astype(xs.dtype))

    ys = jnp.zeros((*xs.shape[:2], first.h.shape[-1]), xs.dtype)
    return lax.fori_loop(0, steps, body, (first, ys))[1]


def scan(step: Step = step, before: Callable[[LSTMParams, Any], Any] = lambda params, xs: xs, unroll: int = 1) -> Layer:
    """`lax.scan` of `step` over `before(params, xs)`."""

    def layer(params: LSTMParams, xs: jax.Array) -> jax.Array:
        def body(state: LSTMState, x: Any) -> tuple[LSTMState, jax.Array]:
            state = step(params, state, x)
            return state, state.h.astype(xs.dtype)

        return lax.scan(body, start(params, xs.shape[1]), before(params, xs), unroll=unroll)[1]

    return layer


def project_four(params: LSTMParams, xs: jax.Array) -> list[jax.Array]:
    """`project` as four arrays (T, B, H)."""
    parts = zip(*(jnp.split(part, 4) for part in params if part is not None), strict=True)
    return [project(LSTMParams(*part), xs) for part in parts]


def in_chunks(params: LSTMParams, xs: jax.Array) -> jax.Array:
    """A scan of scans of about sqrt(T) steps, each recomputed in the backward pass; a shorter piece is last."""

    def body(state: LSTMState, x: Any) -> tuple[LSTMState, jax.Array]:
        state = step(params, state, x)
        return state, state.h.astype(xs.dtype)

    @jax.checkpoint
    def chunk(state: LSTMState, xs: jax.Array) -> tuple[LSTMState, jax.Array]:
        return lax.scan(body, state, xs)

    size = math.isqrt(len(xs))
    whole = len(xs) // size * size
    state, ys = lax.scan(chunk, start(params, xs.shape[1]), xs[:whole].reshape(-1, size, *xs.shape[1:]))
    rest = chunk(state, xs[whole:])[1] if whole < len(xs) else ys[:0, 0]
    return jnp.concatenate([ys.reshape(whole, *ys.shape[2:]), rest])


def layer_by_layer(layer: Layer) -> Network:
    def network(weights: Sequence[LSTMParams], xs: jax.Array) -> jax.Array:
        for params in weights:
            xs = layer(params, xs)
        return xs

    return network


def scan_over_layers(weights: Sequence[LSTMParams], xs: jax.Array) -> jax.Array:
    """Scan over the stacked weights of the layers after the first, which have one shape."""
    layer = scan()
    stacked = jax.tree.map(lambda *parts: jnp.stack(parts), *weights[1:])
    return lax.scan(lambda xs, params: (layer(params, xs), None), layer(weights[0], xs), stacked)[0]


def all_layers_in_a_step(weights: Sequence[LSTMParams], xs: jax.Array) -> jax.Array:
    """One scan over time, whose step takes all layers in turn."""

    def body(states: list[LSTMState], x: jax.Array) -> tuple[list[LSTMState], jax.Array]:
        after = []
        for params, state in zip(weights, states, strict=True):
            after.append(step(params, state, x))
            x = after[-1].h.astype(xs.dtype)
        return after, x

    return lax.scan(body, [start(params, xs.shape[1]) for params in weights], xs)[1]
