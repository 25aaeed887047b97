"""The arrays of the fused operations, by name: their axes and types.

N members of an ensemble (1 in a plain call), T time, B batch, I input, G = 4H gates, H hidden, R the size of `h`. Rules
for batching, sharding and checking are written once, over this table.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from jax_lstm.params import state_dtype

Arrays = dict[str, Any]

AXES = {
    "xs": "NTBI",
    "weight_ih": "NGI",
    "weight_hh": "NGR",
    "bias_ih": "NG",
    "bias_hh": "NG",
    "weight_hr": "NRH",
    "h0": "NBR",
    "c0": "NBH",
    "mask": "NTB",
    "resets": "NTB",
    "ys": "NTBR",
    "h": "NBR",
    "c": "NBH",
    "gates": "NTBG",  # after their non-linearities
    "cs": "NTBH",  # after each step
    "hs": "NTBR",  # after each step; stored only with a mask, else it is `ys`
}
STATES = ("bias_ih", "bias_hh", "h0", "c0", "h", "c", "gates", "cs")  # of the type of the state
FLAGS = ("mask", "resets")
VARIABLES = ("xs", "weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr", "h0", "c0")  # of the derivatives
OUTPUTS = ("ys", "h", "c")
RESIDUALS = ("gates", "cs")  # stored by `forward`, and `hs` with a mask


def tangent(name: str) -> str:
    """The name of the tangent or cotangent of `name`; it has the same axes and type."""
    return f"d_{name}"


def axes(name: str) -> str:
    """The axes of an array or its tangent."""
    return AXES[name.removeprefix("d_")]


def dtype(name: str, compute: Any) -> Any:
    """The type of an array when computing in `compute`."""
    name = name.removeprefix("d_")
    if name in FLAGS:
        return jnp.dtype(bool)
    return state_dtype(compute) if name in STATES else jnp.dtype(compute)


def sizes(shapes: Mapping[str, tuple[Any, ...]]) -> dict[str, Any]:
    """The size of each axis; a TypeError where two arrays disagree."""
    found: dict[str, tuple[Any, str]] = {}
    for name, shape in shapes.items():
        if len(shape) != len(axes(name)):
            raise TypeError(f"fused LSTM: `{name}` must have the axes {axes(name)}; got the shape {shape}")
        for axis, size in zip(axes(name), shape, strict=True):
            known, by = found.setdefault(axis, (size, name))
            if known != size:
                raise TypeError(f"fused LSTM: axis {axis} is {known} in `{by}` and {size} in `{name}`")
    return {axis: size for axis, (size, _) in found.items()}


def results(names: Iterable[str], arrays: Mapping[str, Any]) -> dict[str, jax.ShapeDtypeStruct]:
    """Shape and type of results, computed from `arrays`."""
    compute = arrays["xs"].dtype
    for name, array in arrays.items():
        if array.dtype != dtype(name, compute):
            raise TypeError(f"fused LSTM: `{name}` must have type {dtype(name, compute)}; got {array.dtype}")
    size = sizes({name: array.shape for name, array in arrays.items()})
    size.setdefault("R", size["H"])
    return {
        name: jax.ShapeDtypeStruct(tuple(size[axis] for axis in axes(name)), dtype(name, compute)) for name in names
    }


def each(function: Callable[[Any], Any], arrays: Mapping[str, Any]) -> Arrays:
    """`function` of every array."""
    return {name: function(array) for name, array in arrays.items()}
