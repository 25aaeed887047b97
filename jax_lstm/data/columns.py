"""Readers of .parquet, .npy and .npz files; errors name file, row (from 0) and column."""

import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np

from jax_lstm.checks import InputError, require_extra
from jax_lstm.data.table import Table, datetime64, hint, number, timestamp


class Columns(NamedTuple):
    """Column names of a file, and a function that reads a column (N,)."""

    names: Sequence[str]
    read: Callable[[str], np.ndarray]


def read_columns(
    path: str, opened: Columns, features: Sequence[str], target: Sequence[str], time: str = "", group: str = ""
) -> list[Table]:
    """Read tables from columns, as `read_csv` does from a CSV file.

    Raises:
        InputError: a column is absent or duplicated, or has values that are not finite numbers; a timestamp is invalid.
    """
    names = opened.names
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"{path}: column {name!r} is named twice")
    for name in filter(None, (*features, *target, time, group)):
        if name not in names:
            raise InputError(f"{path}: no column {name!r}; the columns are {', '.join(names)}")
    features = features or [name for name in names if name not in (time, group)]
    columns = tuple(dict.fromkeys((*features, *target)))
    values = np.stack([_numbers(opened.read(name), path, name) for name in columns], axis=1)
    if not len(values):
        raise InputError(f"{path}: no rows in the file")
    times, utc = _times(opened.read(time), path, time) if time else (None, False)
    groups = [str(name).strip() for name in opened.read(group).tolist()] if group else [""] * len(values)
    return [
        Table(path, name, columns, values[at], None if times is None else times[at], utc, at, unit="row")
        for name, at in _rows_by(groups).items()
    ]


def read_parquet(path: str, *choice: Any) -> list[Table]:
    pyarrow = require_extra("pyarrow", "data", "a .parquet file")
    parquet = require_extra("pyarrow.parquet", "data", "a .parquet file")

    def read(name: str) -> np.ndarray:
        column = file.read(columns=[name]).column(0)
        kinds, kind = pyarrow.types, column.type
        if kinds.is_date(kind) or (kinds.is_timestamp(kind) and kind.tz is None):
            return column.cast(pyarrow.timestamp("us"), safe=False).to_numpy()
        if any(check(kind) for check in (kinds.is_integer, kinds.is_floating, kinds.is_boolean, kinds.is_decimal)):
            return column.cast(pyarrow.float64(), safe=False).to_numpy()
        return np.array(column.to_pylist(), object)

    try:
        file = parquet.ParquetFile(path)
        return read_columns(path, Columns(file.schema_arrow.names, read), *choice)
    except (OSError, pyarrow.ArrowException) as error:
        raise unreadable(path, error) from None


def read_arrays(path: str, *choice: Any) -> list[Table]:
    """Read tables from a .npy or .npz file."""
    try:
        found = np.load(path)
        if isinstance(found, np.ndarray):
            arrays = {"": found}
        else:
            with found:
                arrays = {name: found[name] for name in found.files}
    except (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise unreadable(path, error) from None
    where = named(path, {name: array.shape for name, array in arrays.items()})

    def read(name: str) -> np.ndarray:
        member, at = where[name]
        array = arrays[member]
        return array[:, at] if array.ndim == 2 else array

    return read_columns(path, Columns(list(where), read), *choice)


def named(path: str, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[str, int]]:
    """Map column names to (array, column): "x" for (N,), "x.0", "x.1" ... for (N, C), "0", "1" ... for an array "".

    Raises:
        InputError: an array has another shape, or not as many rows as the first; two columns get the same name.
    """
    found: dict[str, tuple[str, int]] = {}
    for member, shape in shapes.items():
        what, rows = f"{path}: array {member!r}".removesuffix(" ''"), next(iter(shapes.values()))[:1]
        if len(shape) not in (1, 2):
            raise InputError(f"{what} must have shape (N,) or (N, C); got {shape}")
        if shape[:1] != rows:
            raise InputError(f"{what} must have the {rows[0]} rows of the array before; got {shape[0]}")
        parts = [""] if len(shape) == 1 and member else [str(at) for at in range((*shape, 1)[1])]
        for at, part in enumerate(parts):
            name = ".".join(filter(None, (member, part)))
            if name in found:
                raise InputError(f"{path}: column {name!r} is named twice")
            found[name] = member, at
    if not found:
        raise InputError(f"{path}: no columns in the file")
    return found


def unreadable(path: str, error: Exception) -> InputError:
    if isinstance(error, FileNotFoundError):
        return InputError(f"{path}: no such file")
    return InputError(f"{path}: cannot be read: {(str(error).splitlines() or [type(error).__name__])[0]}")


def _numbers(array: np.ndarray, path: str, name: str) -> np.ndarray:
    if array.dtype.kind in "OU":
        texts = ("" if value is None else str(value) for value in array.tolist())
        return np.array([number(text, path, row, name, "row") for row, text in enumerate(texts)], float)
    if array.dtype.kind not in "fiub":
        raise InputError(f"{path}, column {name!r}: expected numbers; got {array.dtype}{hint(name)}")
    values = array.astype(np.float64)
    for row in np.flatnonzero(np.isinf(values))[:1]:
        raise InputError(f"{path}, row {row}, column {name!r}: expected a finite number; got {values[row]}")
    return values


def _times(array: np.ndarray, path: str, name: str) -> tuple[np.ndarray | None, bool]:
    """The timestamps, and whether they have an offset and were converted to UTC."""
    if array.dtype.kind == "M":
        for row in np.flatnonzero(np.isnat(array))[:1]:
            raise InputError(f"{path}, row {row}, column {name!r}: expected a timestamp; got none")
        return array.astype("datetime64[us]"), False
    if array.dtype.kind not in "OU":
        raise InputError(f"{path}, column {name!r}: expected timestamps; got {array.dtype}")
    stamps: list[datetime] = []
    for row, value in enumerate(array.tolist()):
        stamps.append(timestamp(str(value), path, row, name, "row"))
        if (stamps[row].tzinfo is None) != (stamps[0].tzinfo is None):
            where = f"{path}, row {row}, column {name!r}"
            raise InputError(f"{where}: some timestamps have an offset from UTC and some have none")
    return datetime64(stamps), bool(stamps) and stamps[0].tzinfo is not None


def _rows_by(groups: Sequence[str]) -> dict[str, np.ndarray]:
    """Row numbers by group, in order of first appearance."""
    _, first, inverse = np.unique(np.array(groups), return_index=True, return_inverse=True)
    rows = np.split(np.argsort(inverse, kind="stable"), np.cumsum(np.bincount(inverse))[:-1])
    return {groups[int(first[at])]: rows[at] for at in np.argsort(first)}
