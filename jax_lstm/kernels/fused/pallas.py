"""What the Pallas kernels for TPUs and GPUs share: what neither serves, named arrays, flags, and padding to tiles."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jax_lstm.kernels.base import Call
from jax_lstm.kernels.fused.arrays import Arrays, Signature, axes, dtype

Named = dict[str, tuple[str, jax.Array]]  # axes and array by name


def unserved(call: Call) -> str:
    """Why no Pallas kernel can serve `call`; empty if its dtype and sizes are supported."""
    if jnp.dtype(call.dtype) not in (jnp.float32, jnp.bfloat16):
        return f"it computes in float32 or bfloat16; not in {jnp.dtype(call.dtype).name}"
    if not all(isinstance(size, int) for size in (call.steps, call.batch)):
        return "it needs fixed sizes; T or B is symbolic"
    return "" if call.batch else "it needs a row; B is 0"


def run(forward: Callable[..., Arrays], backward: Callable[..., Arrays], signature: Signature, *operands: Any) -> Any:
    """The results that `signature` names: outputs and last state, with or without residuals, or gradients."""
    arrays = dict(zip(signature.operands, operands, strict=True))
    found = (backward if "d_ys" in arrays else forward)(arrays, signature)
    return [found[name] for name in signature.results]


def named(arrays: Arrays, *names: str) -> Named:
    """Those of `names` that were given."""
    return {name: (axes(name), arrays[name]) for name in names if name in arrays}


def flags(arrays: Arrays) -> Arrays:
    """Those that were given, (N, T, B): "mask", and "kept", where the state is not reset."""
    resets = {"kept": ~arrays["resets"]} if "resets" in arrays else {}
    return resets | ({"mask": arrays["mask"]} if "mask" in arrays else {})


def select(flag: jax.Array | None, value: Any, other: Any) -> Any:
    """`value` where `flag` is set, else `other`; `value` without a flag."""
    return value if flag is None else jnp.where(flag, value, other)


def result_dtype(name: str, compute: Any) -> Any:
    """The type of a kernel's result: the gradients of gates enter products only."""
    return compute if name == "d_gates" else dtype(name, compute)


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
