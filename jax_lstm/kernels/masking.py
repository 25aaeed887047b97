"""Steps that hold the state still, and steps before which it starts afresh: what masks and resets do to one step."""

import jax
import jax.numpy as jnp

from jax_lstm.params import LSTMState


def restart(state: LSTMState, reset: jax.Array | None) -> LSTMState:
    """The state before a step: zeros in the rows of `reset` (B,)."""
    if reset is None:
        return state
    return LSTMState(*(jnp.where(reset[:, None], jnp.zeros_like(part), part) for part in state))


def shield(valid: jax.Array | None, state: LSTMState) -> LSTMState:
    """The state to compute a step from: zeros in the rows that are not `valid` (B,), so that a NaN held there stays
    there, and reaches no gradient.
    """
    return state if valid is None else restart(state, ~valid)


def hold(valid: jax.Array | None, after: LSTMState, before: LSTMState) -> tuple[LSTMState, jax.Array]:
    """The state after a step and its output: rows that are not `valid` (B,) stay as before and put out zero."""
    if valid is None:
        return after, after.h
    state = LSTMState(*(jnp.where(valid[:, None], new, old) for new, old in zip(after, before, strict=True)))
    return state, jnp.where(valid[:, None], after.h, jnp.zeros_like(after.h))


def blank(xs: jax.Array, mask: jax.Array | None) -> jax.Array:
    """`xs` (T, B, I) with zeros where `mask` (T, B) is false, so that a NaN in the padding reaches no gradient."""
    return xs if mask is None else jnp.where(mask[..., None], xs, jnp.zeros_like(xs))
