"""Types: what is computed in which, and that state and sums keep float32 where the inputs have 16 bits."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import oracle
import pytest
from flax import nnx
from kernels.cases import Case, draw, named

import jax_lstm as jl
from jax_lstm.kernels import KERNELS, Call
from jax_lstm.params import LSTMParams, LSTMState

HALVES = ["bfloat16", "float16"]


@pytest.mark.parametrize("param_dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("dtype", [*HALVES, "float32"])
def test_types_of_what_comes_out(dtype: str, param_dtype: str) -> None:
    options: Any = {"bidirectional": True, "dtype": dtype, "param_dtype": param_dtype}
    lstm = nnx.eval_shape(lambda: jl.LSTM(3, 5, 2, **options, rngs=nnx.Rngs(0)))

    def run(lstm: jl.LSTM) -> Any:
        return lstm(jnp.ones((4, 2, 3))), nnx.grad(lambda m: m(jnp.ones((4, 2, 3)))[0].astype(jnp.float32).sum())(lstm)

    (ys, state), gradients = nnx.eval_shape(run, lstm)
    assert ys.dtype == dtype
    assert state.h.dtype == state.c.dtype == jnp.float32
    assert {leaf.dtype for leaf in jax.tree.leaves(gradients)} == {jnp.dtype(param_dtype)}


def test_without_dtype_the_widest_counts(x64: None) -> None:
    lstm = nnx.eval_shape(lambda: jl.LSTM(3, 5, param_dtype=jnp.bfloat16, rngs=nnx.Rngs(0)))
    for x_dtype, expected in (
        ("bfloat16", "bfloat16"),
        ("float16", "float32"),
        ("float32", "float32"),
        ("float64", "float64"),
    ):
        ys, state = nnx.eval_shape(lambda lstm, x: lstm(x), lstm, jax.ShapeDtypeStruct((4, 2, 3), x_dtype))
        assert ys.dtype == expected
        assert state.c.dtype == ("float64" if expected == "float64" else "float32")


@pytest.mark.parametrize("dtype", ["bfloat16", pytest.param("float16", marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", KERNELS)
def test_state_and_sums_are_float32(name: str, dtype: str) -> None:
    """A cell that adds 2^-12 a step to 1: in 16 bits it would never move. And 4096 ones that a product must count."""
    if KERNELS[name].refuses(Call("cpu", dtype, 4, 1, 1, 1)):
        pytest.skip(f"{name} does not serve {dtype}")
    # i = sigmoid(0) = 1/2, f = sigmoid(large) = 1, g = tanh(2^-11) = 2^-11 but for 2^-34
    bias = jnp.asarray([0.0, 100.0, 2.0**-11, 0.0], dtype)
    params = LSTMParams(jnp.zeros((4, 1), dtype), jnp.zeros((4, 1), dtype), bias, jnp.zeros((4,), dtype))
    start = LSTMState(jnp.zeros((1, 1)), jnp.ones((1, 1)))
    _, state = KERNELS[name].sequence(params, start, jnp.zeros((64, 1, 1), dtype))
    np.testing.assert_allclose(state.c, 1 + 64 * 2.0**-12, rtol=1e-6)

    counted = LSTMParams(
        jnp.ones((4, 4097), dtype) * jnp.asarray([[0], [0], [2.0**-13], [0]], dtype), jnp.zeros((4, 1), dtype)
    )
    _, state = KERNELS[name].sequence(counted, LSTMState.zeros((1, 1)), jnp.ones((1, 1, 4097), dtype))
    np.testing.assert_allclose(state.c, 0.5 * np.tanh(4097 * 2.0**-13), rtol=1e-6)  # 4097 needs 13 bits


@pytest.mark.slow
def test_float16_is_close_to_the_oracle() -> None:
    """tests/kernels has bfloat16."""
    case = Case(9, 3, 4, 6)
    params, xs, *_ = draw(case, "float16")
    start = LSTMState.zeros((3, 6))
    ys, _ = KERNELS["plain"].sequence(jax.tree.map(jnp.asarray, params), start, jnp.asarray(xs))
    expected, *_ = oracle.layer(named(draw(case).params), xs, *start)
    assert ys.dtype == np.float16
    assert np.abs(np.asarray(ys, np.float64) - expected).max() < 3e-3
