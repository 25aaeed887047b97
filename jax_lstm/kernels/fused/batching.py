"""Batching of the fused operations: the batched axis is merged into an axis that a call has already."""

from typing import Any

import jax.numpy as jnp

from jax_lstm.kernels.fused.arrays import axes


def merge_axis(operand: Any, axis: int | None, name: str, into: str, count: int) -> Any:
    """The operand with its batched `axis` merged into the axis `into`; repeated `count` times if it is not batched."""
    if into not in axes(name):
        return operand
    place = axes(name).index(into)
    if axis is None:
        operand = jnp.broadcast_to(
            jnp.expand_dims(operand, place), (*operand.shape[:place], count, *operand.shape[place:])
        )
    else:
        operand = jnp.moveaxis(operand, axis, place)
    return operand.reshape(*operand.shape[:place], count * operand.shape[place + 1], *operand.shape[place + 2 :])
