"""`LSTM`: layers against the oracle, layouts, dropout, and its errors."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import oracle
import pytest
from agree import assert_agree
from flax import nnx

import jax_lstm as jl


def make_lstm(num_layers: int = 2, **options: Any) -> jl.LSTM:
    return jl.LSTM(3, 5, num_layers, **options, rngs=nnx.Rngs(0))


def by_oracle(lstm: jl.LSTM, xs: np.ndarray, h: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    weights, last = jl.state_dict(lstm), []
    for at in range(lstm.num_layers):
        suffix = f"_l{at}"
        params = {name.removesuffix(suffix): value for name, value in weights.items() if name.endswith(suffix)}
        xs, *state, _ = oracle.layer(params, xs, h[at], c[at])
        last.append(state)
    h_last, c_last = zip(*last, strict=True)
    return xs, np.stack(h_last), np.stack(c_last)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("num_layers", [1, 3])
def test_layers_are_the_oracle(num_layers: int, bias: bool, dtype: str) -> None:
    lstm = make_lstm(num_layers, bias=bias, param_dtype=dtype)
    rng = np.random.default_rng(0)
    xs, (h, c) = rng.standard_normal((6, 2, 3)), rng.standard_normal((2, num_layers, 2, 5))
    ys, state = lstm(jnp.asarray(xs, dtype), (jnp.asarray(h, dtype), jnp.asarray(c, dtype)))
    for got, expected in zip((ys, *state), by_oracle(lstm, xs, h, c), strict=True):
        assert_agree("outputs", got, expected, dtype)


def test_zero_state_by_default() -> None:
    lstm, xs = make_lstm(), np.random.default_rng(0).standard_normal((6, 2, 3))
    zeros = np.zeros((2, 2, 5))
    ys, state = lstm(jnp.asarray(xs, jnp.float32))
    for got, expected in zip((ys, *state), by_oracle(lstm, xs, zeros, zeros), strict=True):
        assert_agree("outputs", got, expected, "float32")


def test_batch_first_and_unbatched() -> None:
    xs = jnp.asarray(np.random.default_rng(0).standard_normal((6, 2, 3)), jnp.float32)
    ys, state = make_lstm()(xs)
    first, first_state = make_lstm(batch_first=True)(xs.swapaxes(0, 1))
    np.testing.assert_array_equal(first, ys.swapaxes(0, 1))
    np.testing.assert_array_equal(first_state.h, state.h)
    one, one_state = make_lstm(batch_first=True)(xs[:, 1])
    np.testing.assert_allclose(one, ys[:, 1], rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(one_state.c, state.c[:, 1], rtol=1e-5, atol=1e-7)


def test_unbatched_takes_its_state() -> None:
    lstm, xs = make_lstm(), jnp.ones((4, 3))
    state = jl.LSTMState(jnp.full((2, 5), 0.3), jnp.full((2, 5), -0.2))
    ys, last = lstm(xs, state)
    batched, _ = lstm(xs[:, None], (state.h[:, None], state.c[:, None]))
    assert last.h.shape == (2, 5)
    np.testing.assert_allclose(ys, batched[:, 0], rtol=1e-6)


def test_no_rows() -> None:
    ys, state = make_lstm()(jnp.zeros((4, 0, 3)))
    assert ys.shape == (4, 0, 5)
    assert state.h.shape == (2, 0, 5)


def test_a_sequence_in_two_pieces_is_the_sequence() -> None:
    lstm, xs = make_lstm(), jnp.asarray(np.random.default_rng(0).standard_normal((9, 2, 3)), jnp.float32)
    whole, last = lstm(xs)
    head, state = lstm(xs[:4])
    tail, state = lstm(xs[4:], state)
    np.testing.assert_allclose(jnp.concatenate([head, tail]), whole, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(state.c, last.c, rtol=1e-6, atol=1e-7)


def test_dropout_falls_between_layers_in_training_only() -> None:
    lstm, plain = make_lstm(dropout=0.5), make_lstm()
    xs = jnp.asarray(np.random.default_rng(0).standard_normal((6, 2, 3)), jnp.float32)
    lstm.eval()
    np.testing.assert_array_equal(lstm(xs)[0], plain(xs)[0])
    lstm.train()
    (first, first_state), (second, _) = lstm(xs), lstm(xs)
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(first_state.h[0], plain(xs)[1].h[0])  # the first layer is not touched
    assert (first != 0).all()  # nor are the outputs


def test_dropout_keeps_the_mean() -> None:
    lstm = jl.LSTM(3, 5, 2, dropout=0.25, rngs=nnx.Rngs(0))
    assert lstm.dropout is not None
    lstm.train()
    dropped = np.asarray(lstm.dropout(jnp.ones((100, 100, 5))))
    assert np.isclose(np.unique(dropped), [0, 1 / 0.75]).all()
    assert dropped.mean() == pytest.approx(1, abs=0.02)


def test_dropout_of_one_drops_all() -> None:
    lstm = make_lstm(dropout=1.0)
    lstm.train()
    xs = jnp.ones((3, 2, 3))
    ys, _ = lstm(xs)
    zeros = np.zeros((2, 2, 5))
    second = jl.LSTM(5, 5, rngs=nnx.Rngs(0))
    jl.load_state_dict(second, {k.replace("l1", "l0"): v for k, v in jl.state_dict(lstm).items() if k.endswith("l1")})
    np.testing.assert_allclose(ys, by_oracle(second, np.zeros((3, 2, 5)), zeros, zeros)[0], rtol=1e-5)


def test_under_transformations() -> None:
    lstm, xs = make_lstm(), jnp.asarray(np.random.default_rng(0).standard_normal((4, 6, 2, 3)), jnp.float32)
    expected = np.stack([lstm(x)[0] for x in xs])
    np.testing.assert_allclose(jax.vmap(lambda x: lstm(x)[0])(xs), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(nnx.jit(lambda m, x: m(x)[0])(lstm, xs[0]), expected[0], rtol=1e-5, atol=1e-6)
    assert jax.eval_shape(lambda x: lstm(x)[0], xs[0]).shape == (6, 2, 5)
    hessian = jax.hessian(lambda x: lstm(x)[0].sum())(xs[0, :2, :1])
    assert np.abs(hessian).max() > 0


def test_initial_weights_are_drawn_as_in_pytorch() -> None:
    lstm = jl.LSTM(50, 100, rngs=nnx.Rngs(0))
    for name, weights in jl.state_dict(lstm).items():
        assert np.abs(weights).max() <= 0.1, name
        assert np.abs(weights).max() > 0.095, name
        assert weights.std() == pytest.approx(0.1 / np.sqrt(3), rel=0.1), name


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_layers": 0}, "`num_layers` must be an integer of at least 1; got 0"),
        ({"dropout": 1.5}, "`dropout` must be a probability, 0 to 1; got 1.5"),
        ({"dropout": -0.1}, "`dropout` must be a probability, 0 to 1; got -0.1"),
    ],
)
def test_wrong_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(jl.InputError, match=message):
        make_lstm(**options)


@pytest.mark.parametrize(
    ("shape", "state", "message"),
    [
        ((6, 2, 4), None, r"`x` must have shape \(T, B, 3\) or \(T, 3\); got \(6, 2, 4\)"),
        ((3,), None, r"`x` must have shape \(T, B, 3\) or \(T, 3\); got \(3,\)"),
        ((0, 2, 3), None, r"`x` must have at least one time step; got shape \(0, 2, 3\)"),
        ((6, 2, 3), (2, 5), r"`state.h` must have shape \(2, 2, 5\); got \(2, 5\)"),
        ((6, 3), (2, 2, 5), r"`state.h` must have shape \(2, 5\); got \(2, 2, 5\)"),
    ],
)
def test_wrong_shapes(shape: tuple[int, ...], state: tuple[int, ...] | None, message: str) -> None:
    with pytest.raises(jl.InputError, match=message):
        make_lstm()(jnp.zeros(shape), None if state is None else (jnp.zeros(state), jnp.zeros(state)))
