"""The reference kernel: the textbook recurrence under `jax.lax.scan`, differentiated by JAX itself.

Every other kernel is held against it. It is slow backwards, where it sums the gradient of the weights at every step.
"""

import jax
import jax.numpy as jnp

from jax_lstm.kernels.masking import blank, hold, restart, shield
from jax_lstm.params import LSTMParams, LSTMState, state_dtype


def product(x: jax.Array, weight: jax.Array) -> jax.Array:
    """`x @ weight`, (..., K) by (K, N): `x` is rounded to the type of the weights, sums have the type of the state."""
    return jnp.matmul(x.astype(weight.dtype), weight, preferred_element_type=state_dtype(weight.dtype))


def sum_of_biases(params: LSTMParams, ndim: int) -> jax.Array | float:
    """Both biases, (..., 4H) with `ndim` axes, in the type of the state; 0 without bias."""
    if params.bias_ih is None or params.bias_hh is None:
        return 0.0
    dtype = state_dtype(params.bias_ih.dtype)
    return (params.bias_ih.astype(dtype) + params.bias_hh.astype(dtype)).reshape((1,) * (ndim - 1) + (-1,))


@jax.jit
def step(params: LSTMParams, state: LSTMState, x: jax.Array) -> LSTMState:
    """One step of the recurrence, the equations of https://docs.pytorch.org/docs/stable/generated/torch.nn.LSTM.html.

    `x` (B, I) and the parts of `state`, (B, R) and (B, H), may have any leading axes, or none, in place of B.
    """
    gates = product(x, params.weight_ih.T) + product(state.h, params.weight_hh.T) + sum_of_biases(params, x.ndim)
    i, f, g, o = jnp.split(gates, 4, axis=-1)
    c = jax.nn.sigmoid(f) * state.c + jax.nn.sigmoid(i) * jnp.tanh(g)
    h = jax.nn.sigmoid(o) * jnp.tanh(c)
    return LSTMState(h if params.weight_hr is None else product(h, params.weight_hr.T), c)


def reference(
    params: LSTMParams,
    xs: jax.Array,
    state: LSTMState,
    *,
    reverse: bool = False,
    mask: jax.Array | None = None,
    resets: jax.Array | None = None,
) -> tuple[jax.Array, LSTMState]:
    """Run `step` over the leading axis of `xs`; the contract is that of `jax_lstm.kernels`."""

    def body(state: LSTMState, at: tuple) -> tuple[LSTMState, jax.Array]:
        x, valid, reset = at
        before = restart(state, reset)
        return hold(valid, step(params, shield(valid, before), x), before)

    state, ys = jax.lax.scan(body, state, (blank(xs, mask), mask, resets), reverse=reverse)
    return ys.astype(xs.dtype), state
