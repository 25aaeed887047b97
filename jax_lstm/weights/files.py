"""Read and write weights as safetensors or PyTorch files. Loading a file never runs code from it."""

import io
import json
import re
import warnings
from collections.abc import Callable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from flax import nnx

from jax_lstm.checks import InputError, require, require_extra
from jax_lstm.files import write_whole
from jax_lstm.weights.state_dicts import state_dict
from jax_lstm.weights.tensors import DTYPES, as_array, to_torch

Arrays = dict[str, np.ndarray]
NAMES = {theirs: ours for ours, theirs in DTYPES.items()}
EXPECTED = "expected a state dict, as torch.save(model.state_dict(), FILE) writes it"


def save_file(weights: nnx.Module | Mapping[str, Any], path: str | PathLike[str]) -> None:
    """Write the state dict of a module, or a given one, to a `.safetensors`, `.pt` or `.pth` file.

    The file holds {PyTorch's name: tensor} in the given order, with types and bits unchanged, for
    `safetensors.torch.load_file` or `torch.load`. It is written completely or not at all.

    Args:
        weights: a module, whose `state_dict` is saved, or {name: NumPy array, JAX array or torch tensor}.
        path: the file to write; the suffix selects the format. An existing file is replaced.

    Raises:
        InputError: the suffix is unknown, a value is not an array of real numbers, or the file cannot be written.
        MissingExtraError: safetensors, or torch for `.pt` and `.pth`, is not installed.

    Example:
        >>> from flax import nnx
        >>> import jax_lstm as jl
        >>> jl.save_file(jl.LSTMCell(10, 20, rngs=nnx.Rngs(0)), "cell.safetensors")
    """
    path = Path(path)
    write = file_format(path).write
    named = state_dict(weights) if isinstance(weights, nnx.Module) else weights
    require(isinstance(named, Mapping), "weights", "be a module or a state dict", type(named).__name__)
    for name in named:
        require(isinstance(name, str) and name != "__metadata__", "weights", "have names as keys", repr(name))
    write_whole(path, write({name: as_array(name, value) for name, value in named.items()}))


def load_file(path: str | PathLike[str]) -> Arrays:
    """Read {PyTorch's name: NumPy array} from a `.safetensors`, `.pt` or `.pth` file, for `load_state_dict`.

    Arrays keep the file's types, bits and order; bfloat16 is that of ml_dtypes. A `.pt` file must hold only a state
    dict; it is read with `torch.load(weights_only=True)`, which runs no code from the file.

    Args:
        path: the file to read; the suffix says in which format it is.

    Raises:
        InputError: the suffix is unknown, or the file cannot be read, is damaged, or holds anything other than dense
            tensors of real numbers. The message names the file.
        MissingExtraError: safetensors, or torch for `.pt` and `.pth`, is not installed.

    Example:
        >>> from flax import nnx
        >>> import jax_lstm as jl
        >>> cell = jl.LSTMCell(10, 20, rngs=nnx.Rngs(0))
        >>> jl.save_file(cell, "cell.safetensors")
        >>> jl.load_state_dict(cell, jl.load_file("cell.safetensors"))
        IncompatibleKeys(missing_keys=[], unexpected_keys=[])
    """
    path = Path(path)
    read = file_format(path).read
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    try:
        return read(data)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _read_safetensors(data: bytes) -> Arrays:
    safetensors: Any = require_extra("safetensors", "interop", "a .safetensors file")
    try:
        found = safetensors.deserialize(data)
    except safetensors.SafetensorError as error:
        raise InputError(f"damaged, or not a safetensors file: {error}") from None
    arrays = {}
    for name, entry in found:
        require(entry["dtype"] in NAMES, name, f"have a type of {', '.join(NAMES)}", entry["dtype"])
        arrays[name] = np.frombuffer(entry["data"], np.dtype(NAMES[entry["dtype"]])).reshape(entry["shape"])
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    order = (header.get("__metadata__") or {}).get("order", "").split("\n")
    rank = {name: at for at, name in enumerate(order)}
    return dict(sorted(arrays.items(), key=lambda item: rank.get(item[0], len(rank))))


def _write_safetensors(arrays: Arrays) -> bytes:
    safetensors: Any = require_extra("safetensors.numpy", "interop", "a .safetensors file")
    # The format sorts tensors by type and name, so the order is stored too. "pt" marks PyTorch's layout.
    return safetensors.save(arrays, {"format": "pt", "order": "\n".join(arrays)})


def _read_torch(data: bytes) -> Arrays:
    torch: Any = require_extra("torch", "torch", "a .pt or .pth file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about files of old versions
            found = torch.load(io.BytesIO(data), weights_only=True, map_location="cpu")
    except Exception as error:  # arbitrary bytes can raise anything
        named = re.search(r"GLOBAL (\S+)", str(error))
        if named:
            raise InputError(f"refused: it references {named[1]}, which could run code; {EXPECTED}") from None
        raise InputError(f"damaged, or not a file of tensors only ({type(error).__name__}); {EXPECTED}") from None
    if not isinstance(found, Mapping):
        raise InputError(f"holds a {type(found).__name__}; {EXPECTED}")
    for name, value in found.items():
        if not (isinstance(name, str) and isinstance(value, torch.Tensor)):
            raise InputError(f"holds {name!r} of type {type(value).__name__}, but only tensors are allowed; {EXPECTED}")
    return {name: as_array(name, value) for name, value in found.items()}


def _write_torch(arrays: Arrays) -> bytes:
    torch: Any = require_extra("torch", "torch", "a .pt or .pth file")
    out = io.BytesIO()
    torch.save({name: to_torch(array) for name, array in arrays.items()}, out)
    return out.getvalue()


class Format(NamedTuple):
    """How to read and write a file format."""

    read: Callable[[bytes], Arrays]
    write: Callable[[Arrays], bytes]


FORMATS = {
    ".safetensors": Format(_read_safetensors, _write_safetensors),
    ".pt": Format(_read_torch, _write_torch),
    ".pth": Format(_read_torch, _write_torch),
}


def file_format(path: Path) -> Format:
    """The format for the suffix of `path`."""
    if path.suffix.lower() not in FORMATS:
        raise InputError(f"{path}: the name must end in {', '.join(FORMATS)}; got {path.suffix!r}")
    return FORMATS[path.suffix.lower()]
