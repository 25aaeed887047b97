"""Flax's own LSTM cells with the same weights: equal over a sequence, in outputs, last states and all gradients.

Four cells: `flax.nnx.LSTMCell` and `OptimizedLSTMCell`, `flax.linen.LSTMCell` and `OptimizedLSTMCell`. Flax keeps
kernels transposed, (I, H) a gate, or (I, 4H) in nnx's optimised cell; one bias, with the recurrent kernel; the state
as (c, h). Gradients are compared as Flax names them: ours are pulled back through the mapping of the weights.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from agree import assert_agree
from flax import linen, nnx

import jax_lstm as jl

STEPS, ROWS, INPUTS, HIDDEN = 6, 3, 4, 5
Weights = dict[str, dict[str, jax.Array]]  # {dense: {"kernel" or "bias": array}}, in nnx and linen alike


def nnx_step(cell_class: Any) -> tuple[Callable[..., Any], Weights]:
    graph, abstract = nnx.split(nnx.eval_shape(lambda: cell_class(INPUTS, HIDDEN, rngs=nnx.Rngs(0))), nnx.Param)

    def step(weights: Weights, carry: Any, x: jax.Array) -> Any:
        state = nnx.clone(abstract)
        nnx.replace_by_pure_dict(state, weights)
        return nnx.merge(graph, state)(carry, x)

    return step, nnx.to_pure_dict(abstract)


def linen_step(cell_class: Any) -> tuple[Callable[..., Any], Weights]:
    cell = cell_class(HIDDEN)
    carry = (jnp.zeros((ROWS, HIDDEN)),) * 2
    shapes = jax.eval_shape(lambda: cell.init(jax.random.key(0), carry, jnp.zeros((ROWS, INPUTS))))
    return lambda weights, carry, x: cell.apply({"params": weights}, carry, x), dict(shapes["params"])


CELLS = {
    "nnx": (nnx_step, nnx.LSTMCell),
    "nnx optimised": (nnx_step, nnx.OptimizedLSTMCell),
    "linen": (linen_step, linen.LSTMCell),
    "linen optimised": (linen_step, linen.OptimizedLSTMCell),
}


def ours_from(weights: Weights) -> dict[str, jax.Array]:
    """PyTorch's names from Flax's; the bias of the input is zero."""
    if "dense_i" in weights:
        of_x, of_h, bias = weights["dense_i"]["kernel"], weights["dense_h"]["kernel"], weights["dense_h"]["bias"]
    else:
        forget = "if_" if "if_" in weights else "if"  # `if` is a keyword, so an attribute of nnx has another name
        of_x = jnp.concatenate([weights[dense]["kernel"] for dense in ("ii", forget, "ig", "io")], axis=1)
        of_h = jnp.concatenate([weights[dense]["kernel"] for dense in ("hi", "hf", "hg", "ho")], axis=1)
        bias = jnp.concatenate([weights[dense]["bias"] for dense in ("hi", "hf", "hg", "ho")])
    return {"weight_ih": of_x.T, "weight_hh": of_h.T, "bias_ih": jnp.zeros_like(bias), "bias_hh": bias}


def by_lstm(weights: Weights, xs: jax.Array, h: jax.Array, c: jax.Array) -> Any:
    params = {f"{name}_l0": value for name, value in ours_from(weights).items()}
    ys, (h, c) = jl.functional.lstm(params, xs, (h[None], c[None]))
    return ys, h[0], c[0]


def by_cell(weights: Weights, xs: jax.Array, h: jax.Array, c: jax.Array) -> Any:
    """`jax_lstm.LSTMCell`, step by step inside `flax.nnx.RNN`."""
    graph, abstract = nnx.split(nnx.eval_shape(lambda: jl.LSTMCell(INPUTS, HIDDEN, rngs=nnx.Rngs(0))))
    state = nnx.clone(abstract)
    nnx.replace_by_pure_dict(state, ours_from(weights))
    rnn = nnx.RNN(nnx.merge(graph, state), time_major=True, return_carry=True)
    (h, c), ys = rnn(xs, initial_carry=jl.LSTMState(h, c))
    return ys, h, c


def by_flax(step: Callable[..., Any]) -> Callable[..., Any]:
    def run(weights: Weights, xs: jax.Array, h: jax.Array, c: jax.Array) -> Any:
        (c, h), ys = jax.lax.scan(lambda carry, x: step(weights, carry, x), (c, h), xs)
        return ys, h, c

    return run


OURS = {"LSTM": by_lstm, "LSTMCell": by_cell}


@functools.cache
def results(dtype: str) -> dict[str, list[Any]]:
    """Outputs and gradients of each cell of Flax, and of our two with its weights: all in one program."""
    rng = np.random.default_rng(0)

    def draw(*shape: int) -> jax.Array:
        return jnp.asarray(rng.standard_normal(shape), dtype)

    xs, d_ys = draw(STEPS, ROWS, INPUTS), draw(STEPS, ROWS, HIDDEN)
    h, c, d_h, d_c = (draw(ROWS, HIDDEN) for _ in range(4))
    cells = {name: make(cell_class) for name, (make, cell_class) in CELLS.items()}
    weights = {
        name: jax.tree.map(lambda leaf: jnp.asarray(rng.uniform(-1, 1, leaf.shape), dtype), shapes)
        for name, (_, shapes) in cells.items()
    }

    @jax.jit
    def run(weights: dict[str, Weights], *ins: jax.Array) -> Any:
        found = {}
        for name, (step, _) in cells.items():
            calls = [jax.vjp(call, weights[name], *ins) for call in (by_flax(step), *OURS.values())]
            found[name] = [(outputs, pullback((d_ys, d_h, d_c))) for outputs, pullback in calls]
        return found

    return run(weights, xs, h, c)


@pytest.mark.parametrize("ours", OURS)
@pytest.mark.parametrize("name", CELLS)
def test_same_weights_same_numbers(name: str, ours: str, dtype: str) -> None:
    (their_outputs, their_gradients), *found = results(dtype)[name]
    outputs, gradients = found[[*OURS].index(ours)]
    assert sum(leaf.size for leaf in jax.tree.leaves(gradients[0])) == 4 * HIDDEN * (INPUTS + HIDDEN + 1)
    for part, got, expected in zip(("ys", "h", "c"), outputs, their_outputs, strict=True):
        assert_agree("outputs", got, expected, dtype, part)
    assert jax.tree.structure(gradients) == jax.tree.structure(their_gradients)
    for got, expected in zip(jax.tree.leaves(gradients), jax.tree.leaves(their_gradients), strict=True):
        assert_agree("gradients", got, expected, dtype)
