"""The directions of a layer: one kernel call each, or both in one call where a kernel gains by it."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jax_lstm.params import LSTMParams, LSTMState

Outputs = tuple[jax.Array, LSTMState]


def one_by_one(
    run: Callable[..., Outputs],
    params: Sequence[Any],
    xs: jax.Array,
    states: Sequence[LSTMState],
    mask: Any,
    resets: Any,
) -> list[Outputs]:
    """Forward in time with the first of `params` and `states`, and back with the second, if there is one.

    `run` is a kernel; `resets` (T, B) are boundaries in front of a step, which no direction crosses.
    """
    return [
        run(own, xs, state, reverse=reverse, mask=mask, resets=behind(resets) if reverse else resets)
        for own, state, reverse in zip(params, states, (False, True), strict=False)
    ]


def together(
    run: Callable[..., Outputs], params: Sequence[LSTMParams], xs: jax.Array, states: Sequence[LSTMState], mask: Any,
    resets: Any,
) -> list[Outputs]:  # fmt: skip
    """The same in one call: the second direction is a second member of an ensemble, and reads everything backwards."""

    def pair(there: Any, back: Any) -> Any:
        return jax.tree.map(lambda a, b: jnp.stack([a, b]), there, back)

    sequence = pair((xs, mask, resets), jax.tree.map(lambda a: a[::-1], (xs, mask, behind(resets))))
    ys, last = jax.vmap(lambda own, state, at: run(own, at[0], state, mask=at[1], resets=at[2]))(
        pair(*params), pair(*states), sequence
    )
    return [(ys[0], LSTMState(last.h[0], last.c[0])), (ys[1, ::-1], LSTMState(last.h[1], last.c[1]))]


def behind(resets: jax.Array | None) -> jax.Array | None:
    """Resets for the way back: the boundary in front of step t lies, seen from there, before step t - 1."""
    return None if resets is None else jnp.concatenate([resets[1:], jnp.zeros_like(resets[:1])])
