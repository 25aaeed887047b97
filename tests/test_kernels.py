"""Every kernel against the float64 NumPy oracle: outputs, last state and all gradients."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import oracle
import pytest
from agree import assert_agree

from jax_lstm import kernels
from jax_lstm.state import LSTMParams, LSTMState

# T, B, I, H: odd sizes and single ones
SIZES = [(5, 3, 4, 7), (1, 1, 1, 1), (9, 1, 3, 5), (2, 8, 1, 16)]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("sizes", SIZES)
def test_scan_is_the_oracle(sizes: tuple[int, int, int, int], bias: bool, dtype: str) -> None:
    steps, batch, input_size, hidden_size = sizes
    rng = np.random.default_rng(0)
    params = oracle.random_params(rng, input_size, hidden_size, bias)
    xs, d_ys = rng.standard_normal((steps, batch, input_size)), rng.standard_normal((steps, batch, hidden_size))
    h, c, d_h, d_c = rng.standard_normal((4, batch, hidden_size))
    ys, h_last, c_last, tapes = oracle.layer(params, xs, h, c)
    d_params, d_xs, d_h_first, d_c_first = oracle.layer_backward(params, tapes, d_ys, d_h, d_c)

    def cast(value: Any) -> jax.Array:
        return jnp.asarray(value, dtype)

    ours = LSTMParams(**{name: cast(value) for name, value in params.items()})
    outputs, pullback = jax.vjp(kernels.scan, ours, cast(xs), LSTMState(cast(h), cast(c)))
    g_params, g_xs, g_state = pullback((cast(d_ys), LSTMState(cast(d_h), cast(d_c))))
    for got, expected in zip(jax.tree.leaves(outputs), (ys, h_last, c_last), strict=True):
        assert_agree("outputs", got, expected, dtype)
    for name, expected in d_params.items():
        assert_agree("gradients", getattr(g_params, name), expected, dtype, name)
    for got, expected in ((g_xs, d_xs), (g_state.h, d_h_first), (g_state.c, d_c_first)):
        assert_agree("gradients", got, expected, dtype)


def test_oracle_backward_is_the_slope_of_its_forward() -> None:
    """The oracle itself, against central differences."""
    rng = np.random.default_rng(1)
    params = oracle.random_params(rng, 2, 3)
    xs, d_ys = rng.standard_normal((4, 2, 2)), rng.standard_normal((4, 2, 3))
    h, c, d_h, d_c = rng.standard_normal((4, 2, 3))

    def scalar(params: oracle.Arrays, xs: np.ndarray, h: np.ndarray, c: np.ndarray) -> float:
        ys, h_last, c_last, _ = oracle.layer(params, xs, h, c)
        return float((ys * d_ys).sum() + (h_last * d_h).sum() + (c_last * d_c).sum())

    *_, tapes = oracle.layer(params, xs, h, c)
    d_params, d_xs, d_h_first, d_c_first = oracle.layer_backward(params, tapes, d_ys, d_h, d_c)
    for array, gradient in [
        *((params[name], d_params[name]) for name in params),
        (xs, d_xs),
        (h, d_h_first),
        (c, d_c_first),
    ]:
        for at in [tuple(rng.integers(0, size) for size in array.shape) for _ in range(5)]:
            kept, step = array[at], 1e-5
            array[at] = kept + step
            above = scalar(params, xs, h, c)
            array[at] = kept - step
            below = scalar(params, xs, h, c)
            array[at] = kept
            assert (above - below) / (2 * step) == pytest.approx(gradient[at], rel=1e-6, abs=1e-8)


def test_no_rows() -> None:
    params = LSTMParams(jnp.ones((8, 3)), jnp.ones((8, 2)))
    ys, state = kernels.scan(params, jnp.ones((4, 0, 3)), LSTMState.zeros((0, 2)))
    assert ys.shape == (4, 0, 2)
    assert state.h.shape == state.c.shape == (0, 2)
