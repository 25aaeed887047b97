"""`LSTMCell`: against the oracle, under `jax.lax.scan` and Flax's RNN, and its errors."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import oracle
import pytest
from agree import assert_agree
from drawn import drawn
from flax import nnx

import jax_lstm as jl

XS = np.random.default_rng(0).standard_normal((6, 2, 3))  # T, B, I
STATE = np.random.default_rng(1).standard_normal((2, 2, 5))  # h and c, each (B, H)


def make_cell(seed: int = 0, **options: Any) -> jl.LSTMCell:
    return drawn(lambda: jl.LSTMCell(3, 5, **options, rngs=nnx.Rngs(0)), seed)


def by_oracle(cell: jl.LSTMCell, xs: np.ndarray = XS, state: Any = STATE) -> tuple[np.ndarray, ...]:
    """Outputs and last h and c."""
    params = {name: np.asarray(value, np.float64) for name, value in jl.state_dict(cell).items()}
    return oracle.layer(params, xs, *(np.broadcast_to(part, (2, 5)) for part in state))[:3]


def test_scan_returns_the_structure_that_it_is_given(dtype: str) -> None:
    cell, (h, c) = make_cell(param_dtype=dtype), jnp.asarray(STATE, dtype)
    starts = {"tuple": (h, c), "list": [h, c], "LSTMState": jl.LSTMState(h, c)}
    run = jax.jit(lambda starts, xs: {name: jax.lax.scan(cell, start, xs) for name, start in starts.items()})
    for name, (last, ys) in run(starts, jnp.asarray(XS, dtype)).items():
        assert type(last).__name__ == name
        for got, expected in zip((ys, *last), by_oracle(cell), strict=True):
            assert_agree("outputs", got, expected, dtype)


def test_flax_rnn(x64: None) -> None:
    """From its own initial carry, from a given one, and in both directions."""
    forward, backward = (make_cell(seed, param_dtype="float64") for seed in (0, 1))
    start = (jnp.asarray(STATE[0]), jnp.asarray(STATE[1]))

    @nnx.jit
    def run(forward: jl.LSTMCell, backward: jl.LSTMCell, xs: jax.Array) -> tuple[Any, ...]:
        rnn = nnx.RNN(forward, time_major=True)
        both = nnx.Bidirectional(rnn, nnx.RNN(backward, time_major=True), time_major=True)
        last, ys = rnn(xs, initial_carry=start, return_carry=True)
        assert isinstance(last, tuple)
        return rnn(xs), ys, both(xs)

    zeros = (0.0, 0.0)
    there, back = by_oracle(forward, state=zeros)[0], by_oracle(backward, XS[::-1], zeros)[0][::-1]
    expected = there, by_oracle(forward)[0], np.concatenate([there, back], axis=-1)
    for got, wanted in zip(run(forward, backward, jnp.asarray(XS)), expected, strict=True):
        assert_agree("outputs", got, wanted, "float64")


def test_without_a_carry_and_without_bias() -> None:
    cell = make_cell(bias=False)
    state, y = cell(None, jnp.asarray(XS[0], jnp.float32))
    assert isinstance(state, jl.LSTMState)
    for got, expected in zip((y, *state), by_oracle(cell, XS[:1], (0.0, 0.0)), strict=True):
        assert_agree("outputs", got, expected.reshape(2, 5), "float32")


@pytest.mark.parametrize("carry_dtype", ["float32", "bfloat16"])
def test_a_carry_keeps_its_type(carry_dtype: str) -> None:
    """A scan requires it, whatever the computation type."""
    cell = make_cell(dtype=jnp.bfloat16)
    start = tuple(jnp.asarray(part, carry_dtype) for part in STATE)
    last, ys = jax.lax.scan(cell, start, jnp.asarray(XS, jnp.float32))
    assert ys.dtype == jnp.bfloat16
    assert {part.dtype for part in last} == {jnp.dtype(carry_dtype)}
    np.testing.assert_allclose(np.asarray(last[1], np.float32), by_oracle(cell)[2], atol=0.05)


def test_types_of_an_initial_carry() -> None:
    cell = make_cell(dtype=jnp.bfloat16)
    for carry in (None, cell.initialize_carry((2, 3))):
        state, y = cell(carry, jnp.ones((2, 3)))
        assert y.dtype == jnp.bfloat16
        assert state.h.dtype == state.c.dtype == jnp.float32
    assert jl.state_dict(cell)["weight_ih"].dtype == np.float32


def test_unbatched_input_and_more_batch_axes() -> None:
    cell, x = make_cell(), jnp.asarray(XS.reshape(2, 6, 3), jnp.float32)
    _, whole = cell(cell.initialize_carry((2, 6, 3)), x)
    (_, c), one = cell((jnp.zeros(5), jnp.zeros(5)), x[1, 2])
    assert c.shape == one.shape == (5,)
    np.testing.assert_allclose(one, whole[1, 2], rtol=1e-6)


def test_a_carry_can_be_drawn() -> None:
    carry = make_cell().initialize_carry((2, 3), nnx.Rngs(carry=1), nnx.initializers.normal())
    assert carry.h.shape == carry.c.shape == (2, 5)
    assert not np.array_equal(carry.h, carry.c)
    assert np.std(carry.h) > 0


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
        make_cell()(carry, jnp.zeros(shape))


def test_pytorchs_order_of_arguments() -> None:
    x, state = jnp.zeros((2, 3)), (jnp.zeros((2, 5)), jnp.zeros((2, 5)))
    for pair in (state, jl.LSTMState(*state), list(state)):
        with pytest.raises(jl.InputError, match=r"as cell\(carry, inputs\), .*; got PyTorch's order.* \(swap the two"):
            make_cell()(x, pair)  # pyright: ignore[reportArgumentType]


def test_integers_are_refused() -> None:
    with pytest.raises(jl.InputError, match="`inputs` must be an array of floating-point numbers; got int32"):
        make_cell()(None, jnp.zeros((2, 3), int))


@pytest.mark.parametrize("sizes", [(0, 5), (3, -1), (3, 2.0), (True, 5)])
def test_wrong_sizes(sizes: tuple[int, int]) -> None:
    with pytest.raises(jl.InputError, match="must be an integer of at least 1"):
        jl.LSTMCell(*sizes, rngs=nnx.Rngs(0))
