"""The arrays of the fused LSTM by name: their axes and types, as `arrays.def` lists them for Python and C++.

In a call of several layers, those of the second layer end in `.1`, and so on: `weight_hh.1`. Of the layers above the
first, `xs` is what the layer below returns, so it is not passed; `mask` and `resets` are passed once, for all layers.

Batching, partitioning and checks are written once, over this table.
"""

import itertools
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jax_lstm.params import state_dtype

Arrays = dict[str, Any]

_TABLE = re.findall(
    r"^JAX_LSTM_ARRAY\((\w+), (\w+), (\w+)\)", Path(__file__).with_name("arrays.def").read_text("ascii"), re.MULTILINE
)
AXES: dict[str, str] = {name: axes for name, axes, _ in _TABLE}
TYPES: dict[str, str] = {name: kind for name, _, kind in _TABLE}

VARIABLES = ("xs", "weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr", "h0", "c0")  # differentiable operands
SHARED = ("mask", "resets")  # by all layers
OUTPUTS = ("ys", "h", "c")
RESIDUALS = ("gates", "cs")  # for the backward pass, and `hs` with a mask


class Signature(NamedTuple):
    """What is static in an operation: the names of its operands and results, and what was asked for: the direction, the
    lowering, and the chip to fit, as in `Fused`.
    """

    operands: tuple[str, ...]
    results: tuple[str, ...]
    reverse: bool
    lowering: str
    chip: str | None

    @property
    def asked(self) -> tuple[bool, str, str | None]:
        return self.reverse, self.lowering, self.chip


def as_lines() -> str:
    """The table as text, for comparison with the one that the C++ library was built with."""
    return "".join(f"{' '.join(row)}\n" for row in _TABLE)


def tangent(name: str) -> str:
    """Name of the tangent or cotangent of `name`, which has the same axes and type."""
    return f"d_{name}"


def at_layer(name: str, layer: int) -> str:
    """Name of the array `name` of the first layer in another layer, counted from 0."""
    return f"{name}.{layer}" if layer else name


def layer_of(name: str) -> int:
    """The layer that an array belongs to."""
    return int(name.partition(".")[2] or 0)


def without_layer(name: str) -> str:
    """Name of the same array in the first layer."""
    return name.partition(".")[0]


def depth(names: Iterable[str]) -> int:
    """Number of layers of a call on arrays of these names."""
    return 1 + max(map(layer_of, names))


def by_layer(arrays: Mapping[str, Any]) -> list[Arrays]:
    """The arrays of each layer, named as in the first one, with those that all layers share."""
    layers: list[Arrays] = [{} for _ in range(depth(arrays))]
    for name, array in arrays.items():
        layers[layer_of(name)][without_layer(name)] = array
    for below, own in itertools.pairwise(layers):
        own |= {name: below[name] for name in SHARED if name in below}
        if "hs" in below:  # masked steps aside, these are the outputs
            own["xs"] = below["hs"]
    return layers


def axes(name: str) -> str:
    """Axes of the array `name`, a letter each."""
    own = AXES[_kind(name)]
    return own.replace("I", "R") if layer_of(name) else own


def _kind(name: str) -> str:
    return without_layer(name).removeprefix("d_")


def dtype(name: str, compute: Any) -> Any:
    """Type of the array `name` in a call whose `xs` has type `compute`."""
    kind = TYPES[_kind(name)]
    if kind == "flag":
        return jnp.dtype(bool)
    return state_dtype(compute) if kind == "state" else jnp.dtype(compute)


def sizes(shapes: Mapping[str, tuple[Any, ...]]) -> dict[str, Any]:
    """Size of each axis. Raises TypeError if two arrays disagree."""
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
    """Shapes and types of the results `names` of a call on `arrays`. Raises TypeError if these do not fit."""
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
    """Apply `function` to every array."""
    return {name: function(array) for name, array in arrays.items()}
