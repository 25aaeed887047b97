"""Arrays filled with zeros up to the tiles of a chip, and cut back."""

from typing import Any

import jax.numpy as jnp


def resized(of: str, array: Any, to: dict[str, int]) -> Any:
    """`array` with the axes `of`, cut or filled with zeros to the sizes `to`; each of the four gates on its own."""
    gates = of.find("G")
    if gates >= 0:
        array = array.reshape(*array.shape[:gates], 4, -1, *array.shape[gates + 1 :])
    letters = of.replace("G", "4H")
    shape = tuple(to.get(axis, size) for axis, size in zip(letters, array.shape, strict=True))
    array = jnp.pad(array, [(0, max(0, new - old)) for new, old in zip(shape, array.shape, strict=True)])
    array = array[tuple(slice(size) for size in shape)]
    return array.reshape(*shape[:gates], -1, *shape[gates + 2 :]) if gates >= 0 else array
