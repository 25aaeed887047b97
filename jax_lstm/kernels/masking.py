"""Masking and resetting one step, and masks of dropout."""

from typing import Any

import jax
import jax.numpy as jnp

from jax_lstm.params import LSTMState


def reset_state(state: LSTMState, reset: jax.Array | None) -> LSTMState:
    """The state before a step: zero in the rows of `reset`, (B,) or for all steps (T, B)."""
    if reset is None:
        return state
    return LSTMState(*(jnp.where(reset[..., None], jnp.zeros_like(part), part) for part in state))


def zero_masked(valid: jax.Array | None, state: LSTMState) -> LSTMState:
    """The state that a step computes from: zero in rows that are not `valid` (B,).

    A NaN in the state of a masked row thus enters no product, and no gradient.
    """
    return state if valid is None else reset_state(state, ~valid)


def keep_masked(valid: jax.Array | None, after: LSTMState, before: LSTMState) -> tuple[LSTMState, jax.Array]:
    """The state after a step and its output: rows that are not `valid` (B,) keep their state and output zero."""
    if valid is None:
        return after, after.h
    state = LSTMState(*(jnp.where(valid[..., None], new, old) for new, old in zip(after, before, strict=True)))
    return state, jnp.where(valid[..., None], after.h, jnp.zeros_like(after.h))


def states_before(
    after: jax.Array, first: jax.Array, resets: Any = None, mask: Any = None, *, reverse: bool = False
) -> jax.Array:
    """The state before every step, (T, B, ...), from those after each and the `first`; zero where reset or masked."""
    start = first.astype(after.dtype)[None]
    steps = jnp.concatenate([after[1:], start] if reverse else [start, after[:-1]])
    return zero_padding(zero_padding(steps, None if resets is None else ~resets), mask)


def zero_padding(xs: jax.Array, mask: jax.Array | None) -> jax.Array:
    """`xs` (T, B, I) with zeros where `mask` (T, B) is false, so that a NaN in the padding reaches no gradient."""
    return xs if mask is None else jnp.where(mask[..., None], xs, jnp.zeros_like(xs))


def dropout_mask(key: jax.Array, rate: float, shape: tuple[int, ...], dtype: Any) -> jax.Array:
    """0 with probability `rate`, else 1/(1-rate), so that the mean is 1; all 0 for a rate of 1."""
    if rate == 1:
        return jnp.zeros(shape, dtype)
    return jax.random.bernoulli(key, 1 - rate, shape).astype(dtype) / jnp.asarray(1 - rate, dtype)
