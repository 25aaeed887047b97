"""Series that stay on disk: .npy files and folders of them."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from jax_lstm.checks import InputError
from jax_lstm.data.frames import files_of, named, split_names, suffix_of, unreadable

SUFFIXES = (".npy",)
CONVERT = "np.save('data.npy', np.load('data.npz')['x'])"
OPEN_FILES = 64  # kept open at once


class Block(NamedTuple):
    """Contiguous rows of `width` numbers in a file; their columns `at` are columns `to` of the series."""

    offset: int
    dtype: np.dtype[Any]
    width: int
    at: list[int]
    to: list[int]


@dataclass(frozen=True)
class Stored:
    """One series on disk. `identity` changes if its file is replaced or modified."""

    path: str
    identity: tuple[int, ...]
    group: str
    columns: tuple[str, ...]
    rows: int
    blocks: tuple[Block, ...]

    def read(self, start: int, stop: int) -> np.ndarray:
        """Read rows `start` to `stop`, (n, C) in float64, without mapping the file, so that they do not stay in memory.

        Raises:
            InputError: the file has become shorter, or a value is missing or infinite.
        """
        values = np.empty((stop - start, len(self.columns)))
        for block in self.blocks:
            size, file = block.width * block.dtype.itemsize, _opened(self.path, self.identity)
            content = os.pread(file.number, (stop - start) * size, block.offset + start * size)
            if len(content) < (stop - start) * size:
                raise InputError(f"{self.path}: the file ends before row {stop}")
            rows = np.frombuffer(content, block.dtype).reshape(-1, block.width)
            if block.at == block.to == [*range(len(self.columns))] and block.width == len(self.columns):
                values[:] = rows
            else:
                values[:, block.to] = rows[:, block.at]
        if not np.isfinite(values).all():
            row, column = np.argwhere(~np.isfinite(values))[0]
            raise InputError(
                f"{self.path}, row {start + row}, column {self.columns[column]!r}: with --stream every value must be a "
                f"finite number; got {values[row, column]} (fill it in the file, or leave --stream out)"
            )
        return values


def streamable(path: str) -> bool:
    """Whether `path` is a .npy file, or a folder with one."""
    names = [file.name for file in Path(path).iterdir()] if Path(path).is_dir() else [path]
    return any(suffix_of(name, SUFFIXES) for name in names)


def open_stored(path: str, features: Sequence[str], target: Sequence[str]) -> list[Stored]:
    """Open a file, or each file of a folder with the columns of the first; only headers are read.

    Raises:
        InputError: a file is missing, of another format or cut off; a column is absent or not numeric.
    """
    files = files_of(path, SUFFIXES) if Path(path).is_dir() else {"": path}
    found: list[Stored] = []
    for group, file in files.items():
        found.append(_open(file, group, found[0].columns if found else features, target))
    return found


class _Array(NamedTuple):
    """The position and layout of an array in a file."""

    offset: int
    shape: tuple[int, ...]
    columns_first: bool  # Fortran order
    dtype: np.dtype[Any]


def _open(path: str, group: str, features: Sequence[str], target: Sequence[str]) -> Stored:
    if not suffix_of(path, SUFFIXES):
        fix = f"convert it by {CONVERT}" if suffix_of(path, (".npz",)) else "write it as one, or leave --stream out"
        raise InputError(f"`--stream` must read .npy files; got {path} ({fix})")
    try:
        with open(path, "rb") as file:
            array = _array(file)
            status = os.stat(file.fileno())
    except (OSError, EOFError, ValueError) as error:
        raise unreadable(path, error) from None
    where = [*named(path, {"": array.shape})]
    features, target = split_names(features, where), split_names(target, where)
    for name in (*features, *target):
        if name not in where:
            raise InputError(f"{path}: no column {name!r}; the columns are {', '.join(where)}")
    columns = tuple(dict.fromkeys((*(features or where), *target)))
    rows, width = (*array.shape, 1)[:2]
    at = {where.index(name): to for to, name in enumerate(columns)}
    if array.dtype.kind not in "fiub":
        raise InputError(f"{path}: the array must hold numbers; got {array.dtype}")
    if array.offset + rows * width * array.dtype.itemsize > status.st_size:
        raise InputError(f"{path}: the file is cut off: it has {status.st_size:,} bytes, fewer than its header says")
    if not rows:
        raise InputError(f"{path}: no rows in the file")
    if array.columns_first:
        bytes_each = rows * array.dtype.itemsize
        blocks = tuple(Block(array.offset + i * bytes_each, array.dtype, 1, [0], [to]) for i, to in at.items())
    else:
        blocks = (Block(array.offset, array.dtype, width, list(at), list(at.values())),)
    return Stored(path, (status.st_ino, status.st_mtime_ns, status.st_size), group, columns, rows, blocks)


def _array(file: BinaryIO) -> _Array:
    """Read the .npy header at the position of the file."""
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, columns_first, dtype = read(file)
    return _Array(file.tell(), shape, columns_first, dtype)


class _Descriptor:
    """A descriptor that closes with its last reference, so threads can finish reading after the cache drops it."""

    def __init__(self, path: str) -> None:
        self.number = os.open(path, os.O_RDONLY)

    def __del__(self) -> None:
        if hasattr(self, "number"):
            os.close(self.number)


@lru_cache(OPEN_FILES)
def _opened(path: str, identity: tuple[int, ...]) -> _Descriptor:
    return _Descriptor(path)
