"""The reference kernel: the textbook recurrence under `jax.lax.scan`."""

import jax
import jax.numpy as jnp

from jax_lstm.state import LSTMParams, LSTMState


@jax.jit
def step(params: LSTMParams, state: LSTMState, x: jax.Array) -> LSTMState:
    """One step of the recurrence, the equations of https://docs.pytorch.org/docs/stable/generated/torch.nn.LSTM.html.

    `x` (B, I) and the parts of `state` (B, H) may have any leading axes, or none, in place of B.
    """
    gates = x @ params.weight_ih.T + state.h @ params.weight_hh.T
    if params.bias_ih is not None and params.bias_hh is not None:
        gates = gates + (params.bias_ih + params.bias_hh).reshape((1,) * (gates.ndim - 1) + (-1,))
    i, f, g, o = jnp.split(gates, 4, axis=-1)
    c = jax.nn.sigmoid(f) * state.c + jax.nn.sigmoid(i) * jnp.tanh(g)
    return LSTMState(jax.nn.sigmoid(o) * jnp.tanh(c), c)


@jax.jit  # so that a call from outside jit compiles once, not at every call
def scan(params: LSTMParams, xs: jax.Array, state: LSTMState) -> tuple[jax.Array, LSTMState]:
    """Run `step` over the leading axis of `xs` (T, B, I); returns `ys` (T, B, H) and the last state."""

    def body(state: LSTMState, x: jax.Array) -> tuple[LSTMState, jax.Array]:
        state = step(params, state, x)
        return state, state.h

    state, ys = jax.lax.scan(body, state, xs)
    return ys, state
