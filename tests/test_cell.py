"""`LSTMCell`: against the oracle, inside Flax's RNN, and its errors."""

from typing import Any

import jax.numpy as jnp
import numpy as np
import oracle
import pytest
from agree import assert_agree
from flax import nnx

import jax_lstm as jl


def make_cell(dtype: str = "float32", **options: Any) -> jl.LSTMCell:
    return jl.LSTMCell(3, 5, **options, param_dtype=dtype, rngs=nnx.Rngs(0))


def params_of(cell: jl.LSTMCell) -> oracle.Arrays:
    return {name: np.asarray(value, np.float64) for name, value in jl.state_dict(cell).items()}


@pytest.mark.parametrize("bias", [True, False])
def test_step_by_step_is_the_oracle(bias: bool, dtype: str) -> None:
    cell = make_cell(dtype, bias=bias)
    xs = np.random.default_rng(0).standard_normal((6, 2, 3))
    ys, h, c, _ = oracle.layer(params_of(cell), xs, np.zeros((2, 5)), np.zeros((2, 5)))
    state = cell.initialize_carry((2, 3))
    for x, expected in zip(xs, ys, strict=True):
        state, y = cell(state, jnp.asarray(x, dtype))
        assert_agree("outputs", y, expected, dtype)
    assert isinstance(state, jl.LSTMState)
    assert_agree("outputs", state.h, h, dtype)
    assert_agree("outputs", state.c, c, dtype)


def test_inside_flax_rnn(dtype: str) -> None:
    cell = make_cell(dtype)
    xs = np.random.default_rng(0).standard_normal((2, 7, 3))
    ys = nnx.RNN(cell)(jnp.asarray(xs, dtype))
    expected, *_ = oracle.layer(params_of(cell), xs.swapaxes(0, 1), np.zeros((2, 5)), np.zeros((2, 5)))
    assert_agree("outputs", ys, expected.swapaxes(0, 1), dtype)


def test_inside_flax_bidirectional(dtype: str) -> None:
    forward, backward = make_cell(dtype), jl.LSTMCell(3, 5, param_dtype=dtype, rngs=nnx.Rngs(1))
    xs = np.random.default_rng(0).standard_normal((2, 7, 3))
    ys = nnx.Bidirectional(nnx.RNN(forward), nnx.RNN(backward))(jnp.asarray(xs, dtype))
    zeros, in_time = np.zeros((2, 5)), xs.swapaxes(0, 1)
    there, *_ = oracle.layer(params_of(forward), in_time, zeros, zeros)
    back, *_ = oracle.layer(params_of(backward), in_time[::-1], zeros, zeros)
    assert_agree("outputs", ys, np.concatenate([there, back[::-1]], axis=-1).swapaxes(0, 1), dtype)


def test_unbatched_input_and_more_batch_axes() -> None:
    cell = make_cell()
    x = jnp.asarray(np.random.default_rng(0).standard_normal((2, 4, 3)), jnp.float32)
    _, whole = cell(cell.initialize_carry((2, 4, 3)), x)
    (_, c), one = cell((jnp.zeros(5), jnp.zeros(5)), x[1, 2])
    assert c.shape == one.shape == (5,)
    np.testing.assert_allclose(one, whole[1, 2], rtol=1e-6)


def test_carry_can_be_drawn() -> None:
    cell = make_cell()
    carry = cell.initialize_carry((2, 3), nnx.Rngs(carry=1), nnx.initializers.normal())
    assert carry.h.shape == carry.c.shape == (2, 5)
    assert not np.array_equal(carry.h, carry.c)
    assert np.std(carry.h) > 0


def test_computes_in_dtype() -> None:
    cell = jl.LSTMCell(3, 5, dtype=jnp.bfloat16, rngs=nnx.Rngs(0))
    state, y = cell(cell.initialize_carry((2, 3)), jnp.ones((2, 3)))
    assert y.dtype == jnp.bfloat16
    assert state.h.dtype == state.c.dtype == jnp.float32
    assert jl.state_dict(cell)["weight_ih"].dtype == np.float32


@pytest.mark.parametrize(
    ("carry", "shape", "message"),
    [
        ((jnp.zeros((2, 5)), jnp.zeros((2, 5))), (2, 4), r"`inputs` must have shape \(2, 3\); got \(2, 4\)"),
        ((jnp.zeros((2, 5)), jnp.zeros((2, 5))), (), r"`inputs` must have shape \(B, 3\); got \(\)"),
        ((jnp.zeros((2, 4)), jnp.zeros((2, 5))), (2, 3), r"`state.h` must have shape \(2, 5\); got \(2, 4\)"),
        ((jnp.zeros((2, 5)), jnp.zeros((1, 5))), (2, 3), r"`state.c` must have shape \(2, 5\); got \(1, 5\)"),
        ((jnp.zeros((2, 5)), jnp.zeros((2, 5), int)), (2, 3), "`state.c` must be an array of floating-point numbers"),
        (jnp.zeros((2, 5)), (2, 3), r"`state` must be an LSTMState or a pair \(h, c\); got ArrayImpl"),
    ],
)
def test_wrong_arguments(carry: object, shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(jl.InputError, match=message):
        make_cell()(carry, jnp.zeros(shape))  # pyright: ignore[reportArgumentType]


def test_integers_are_refused() -> None:
    with pytest.raises(jl.InputError, match="`inputs` must be an array of floating-point numbers; got int32"):
        make_cell()(None, jnp.zeros((2, 3), int))


@pytest.mark.parametrize("sizes", [(0, 5), (3, -1), (3, 2.0), (True, 5)])
def test_wrong_sizes(sizes: tuple[int, int]) -> None:
    with pytest.raises(jl.InputError, match="must be an integer of at least 1"):
        jl.LSTMCell(*sizes, rngs=nnx.Rngs(0))
