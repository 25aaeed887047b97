"""Series that stay on disk: .npy files, uncompressed .npz files, and folders of them."""

import os
import struct
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from jax_lstm.checks import InputError
from jax_lstm.data.columns import named, unreadable
from jax_lstm.data.formats import files_of, suffix_of

SUFFIXES = (".npy", ".npz")
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
    """Whether `path` is a .npy or .npz file, or a folder with one."""
    names = [file.name for file in Path(path).iterdir()] if Path(path).is_dir() else [path]
    return any(suffix_of(name, SUFFIXES) for name in names)


def open_stored(path: str, features: Sequence[str], target: Sequence[str]) -> list[Stored]:
    """Open a file, or each file of a folder with the columns of the first; only headers are read.

    Raises:
        InputError: a file is missing, of another format, compressed or cut off; a column is absent or not numeric.
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
        raise InputError(
            f"`--stream` must read .npy or .npz files; got {path} (write it as one, or leave --stream out)"
        )
    try:
        with open(path, "rb") as file:
            arrays = _arrays(file, path)
            status = os.stat(file.fileno())
    except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
        raise error if isinstance(error, InputError) else unreadable(path, error) from None
    where = named(path, {name: array.shape for name, array in arrays.items()})
    for name in (*features, *target):
        if name not in where:
            raise InputError(f"{path}: no column {name!r}; the columns are {', '.join(where)}")
    columns = tuple(dict.fromkeys((*(features or where), *target)))
    blocks: list[Block] = []
    for member, array in arrays.items():
        rows, width = (*array.shape, 1)[:2]
        at = {where[name][1]: to for to, name in enumerate(columns) if where[name][0] == member}
        if at and array.dtype.kind not in "fiub":
            raise InputError(f"{path}: array {member!r} must hold numbers; got {array.dtype}")
        if array.offset + rows * width * array.dtype.itemsize > status.st_size:
            raise InputError(
                f"{path}: the file is cut off: it has {status.st_size:,} bytes, fewer than its header says"
            )
        if array.columns_first:
            bytes_each = rows * array.dtype.itemsize
            blocks += [Block(array.offset + i * bytes_each, array.dtype, 1, [0], [to]) for i, to in at.items()]
        elif at:
            blocks.append(Block(array.offset, array.dtype, width, list(at), list(at.values())))
    rows = next(iter(arrays.values())).shape[0]
    if not rows:
        raise InputError(f"{path}: no rows in the file")
    return Stored(path, (status.st_ino, status.st_mtime_ns, status.st_size), group, columns, rows, tuple(blocks))


def _arrays(file: BinaryIO, path: str) -> dict[str, _Array]:
    if suffix_of(path, SUFFIXES) == ".npy":
        return {"": _array(file)}
    found = {}
    for member in zipfile.ZipFile(file).infolist():
        name = member.filename.removesuffix(".npy")
        if member.compress_type != zipfile.ZIP_STORED:
            raise InputError(
                f"{path}: array {name!r} is compressed, so that its rows cannot be read one by one; write the file "
                "with numpy.savez instead of numpy.savez_compressed, or leave --stream out"
            )
        # The header of a member has its own lengths of name and extra field: PKWARE's APPNOTE.TXT, 4.3.7.
        file.seek(member.header_offset + 26)
        file.seek(sum(struct.unpack("<HH", file.read(4))), os.SEEK_CUR)
        found[name] = _array(file)
    return found


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
