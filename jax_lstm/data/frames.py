"""A file as a frame of columns: text (CSV and its relatives), Parquet, NumPy arrays, or a DataFrame."""

import csv
import gzip
import io
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jax_lstm.checks import InputError, require_extra
from jax_lstm.data.config import FileConfig
from jax_lstm.data.dialect import decoded, recognised

ARRAYS = (".npy", ".npz")
SUFFIXES = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".txt", ".parquet", *ARRAYS)
INDEX = "index"  # the name of a first column without one


@dataclass(frozen=True)
class Frame:
    """Columns of a file: `data` is a pandas DataFrame, of texts if the file is one.

    `missing` are texts that stand for missing values, beside the usual ones. `lines` (N,) has the line of each row in a
    text. `notes` say how the file was read. `time` is the column that was an index of timestamps.
    """

    path: str
    data: Any
    lines: np.ndarray | None = None
    decimal: str = "."
    thousands: str = ""
    missing: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    time: str = ""

    @property
    def names(self) -> list[str]:
        return list(self.data.columns)

    def place(self, row: int) -> str:
        """Where a row is: "FILE, line 3"; in formats without lines, the row counted from 0."""
        return f"{self.path}, row {row}" if self.lines is None else f"{self.path}, line {self.lines[row]}"


def read_frame(path: str, config: FileConfig) -> Frame:
    """Read a file by its suffix; those with an unknown one are read as text.

    Raises:
        InputError: the file is missing, empty, damaged, or has rows of different lengths or two columns of one name.
    """
    suffix = suffix_of(path, SUFFIXES)
    try:
        if suffix == ".parquet":
            return _read_parquet(path)
        if suffix in ARRAYS:
            return _read_arrays(path)
        content = content_of(path)
    except (OSError, EOFError, TypeError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise error if isinstance(error, InputError) else unreadable(path, error) from None
    return _read_text(content, path, config)


def content_of(path: str) -> bytes:
    """The bytes of a file, decompressed if it is compressed by gzip."""
    content = Path(path).read_bytes()
    return gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content


def suffix_of(path: str, suffixes: Iterable[str]) -> str:
    """The one of `suffixes` that `path` ends in, whatever its case, or ""."""
    return next((suffix for suffix in suffixes if path.lower().endswith(suffix)), "")


def unreadable(path: str, error: Exception) -> InputError:
    if isinstance(error, FileNotFoundError):
        return InputError(f"{path}: no such file")
    return InputError(f"{path}: cannot be read: {(str(error).splitlines() or [type(error).__name__])[0]}")


def of_dataframe(frame: Any, name: str = "DataFrame") -> Frame:
    """A pandas DataFrame, or one of another library (polars) that has `columns` and gives an array for each.

    An index of timestamps, and one that has a name, becomes a column.
    """
    import pandas as pd

    if isinstance(frame, pd.Series):
        frame = frame.to_frame(frame.name if frame.name is not None else "y")
    if not isinstance(frame, pd.DataFrame):
        if not hasattr(frame, "columns"):
            raise InputError(f"`{name}` must be a DataFrame; got {type(frame).__name__}")
        try:
            frame = pd.DataFrame({column: _as_pandas(frame[column]) for column in frame.columns})
        except TypeError:  # a LazyFrame of polars
            raise InputError(f"`{name}` must be a DataFrame; got {type(frame).__name__}") from None
    times = isinstance(frame.index, pd.DatetimeIndex | pd.PeriodIndex)
    time = str(INDEX if frame.index.name is None else frame.index.name) if times else ""
    return _named(_index_as_column(frame), name, time=time)


def _as_pandas(column: Any) -> Any:
    """A column of another library; polars gives an array in UTC for times of a zone."""
    import pandas as pd

    values, zone = pd.Series(np.asarray(column)), getattr(getattr(column, "dtype", None), "time_zone", None)
    return values.dt.tz_localize("UTC").dt.tz_convert(zone) if zone else values


def _index_as_column(data: Any) -> Any:
    """Times in the index, or an index with a name, as a column; another index only counts the rows."""
    import pandas as pd

    named = any(name is not None for name in data.index.names)
    times = isinstance(data.index, pd.DatetimeIndex | pd.PeriodIndex)
    if named or times:
        names = [INDEX if name is None else name for name in data.index.names]
        return data.reset_index(names=names, allow_duplicates=True)  # of which `_named` tells
    return data.reset_index(drop=True)


def _named(data: Any, path: str, **options: Any) -> Frame:
    """The frame with names as texts, each once."""
    names = [str(name).strip() for name in data.columns]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"{path}: column {name!r} is named twice")
    data.columns = names
    if not names:
        raise InputError(f"{path}: no columns in the file")
    if not len(data):
        raise InputError(f"{path}: no rows in the file")
    return Frame(path, data, **options)


def _read_parquet(path: str) -> Frame:
    pyarrow = require_extra("pyarrow", "data", "a .parquet file")
    import pandas as pd

    try:
        data = pd.read_parquet(path, engine="pyarrow")
    except pyarrow.ArrowException as error:
        raise unreadable(path, error) from None
    whole = data.select_dtypes("integer").columns
    unnamed = [name for name in whole if str(name).startswith("__index_level_")]
    notes = tuple(f"the index column {name!r} was left out" for name in unnamed)
    return _named(_index_as_column(data.drop(columns=unnamed)), path, notes=notes)


def _read_arrays(path: str) -> Frame:
    """The columns of a .npy or .npz file, see `named`."""
    import pandas as pd

    found = np.load(path)
    if isinstance(found, np.ndarray):
        arrays = {"": found}
    else:
        with found:
            arrays = {name: found[name] for name in found.files}
    where = named(path, {name: array.shape for name, array in arrays.items()})
    columns = {
        name: array[:, at] if array.ndim == 2 else array
        for name, (member, at) in where.items()
        for array in [arrays[member]]
    }
    return _named(pd.DataFrame(columns), path)


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


def split_names(names: Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
    """The columns that an option names, each once: "a,b" are two, unless one of the `known` is called so."""
    found: list[str] = []
    for name in names:
        found += [name] if name in known else [part.strip() for part in name.split(",")]
    return tuple(dict.fromkeys(found))


def _read_text(content: bytes, path: str, config: FileConfig) -> Frame:
    import pandas as pd

    text, encoding = decoded(content, config.encoding, path)
    dialect = recognised(text, config, path)
    rows = text_rows(text, path, dialect.separator, config.skip_lines + dialect.preamble)
    line, header = next(rows, (0, []))
    if not header:
        raise InputError(f"{path}: the file is empty; expected a header line and rows")
    header = [name.strip() for name in header]
    lines, fields = [], []  # fields of all rows: a list for each would take the garbage collector seconds
    for line_of_row, row in rows:
        if len(row) != len(header) and not (dialect.trailing and len(row) == len(header) + 1 and not row.pop()):
            raise InputError(
                f"{path}, line {line_of_row}: expected {len(header)} fields, as in the header; got {len(row)}"
            )
        lines.append(line_of_row)
        fields += row
    for name in filter(None, header):
        if header.count(name) > 1:
            raise InputError(f"{path}, line {line}: column {name!r} is named twice")
    if dialect.units and fields:
        lines, fields = lines[1:], fields[len(header) :]
    if not fields:
        raise InputError(f"{path}: no rows under the header")
    columns = [fields[at :: len(header)] for at in range(len(header))]
    kept, notes = _without_unnamed(header, columns, path, line)
    data = pd.DataFrame({name: np.array(columns[at], object) for name, at in kept.items()}, dtype=object)
    described = (*((f"read as {encoding}",) if encoding else ()), *dialect.notes, *notes)
    return Frame(path, data, np.array(lines), dialect.decimal, dialect.thousands, notes=described)


def _without_unnamed(
    header: Sequence[str], columns: Sequence[Sequence[str]], path: str, line: int
) -> tuple[dict[str, int], list[str]]:
    """The columns by name, without those that have none: an index of whole numbers, and empty ones."""
    kept, notes = {}, []
    for at, name in enumerate(header):
        if name:
            kept[name] = at
        elif not any(map(str.strip, columns[at])):
            notes.append("an empty column without a name was left out")
        elif at == 0 and all(value.strip().isdigit() for value in columns[at]):
            notes.append("the first column, of whole numbers, was left out because it has no name")
        elif at == 0 and INDEX not in header:
            kept[INDEX] = at
            notes.append(f"the first column, which has no name, is called {INDEX!r}")
        else:
            raise InputError(f"{path}, line {line}: column {at + 1} has no name; give it one in the header")
    return kept, notes


def text_rows(
    text: str | Iterable[str], path: str, separator: str = ",", skip: int = 0
) -> Iterator[tuple[int, list[str]]]:
    """The line number and fields of each row that is not blank, read lazily."""
    lines = io.StringIO(text, newline="") if isinstance(text, str) else iter(text)
    for _ in range(skip):
        next(lines, "")
    reader = csv.reader(lines, delimiter=separator, strict=True, skipinitialspace=True)
    try:
        for row in reader:
            if row and (len(row) > 1 or row[0].strip()):
                yield reader.line_num + skip, row
    except csv.Error as error:
        raise InputError(f"{path}, line {reader.line_num + skip or 1}: not CSV: {error}") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text: {error}") from None


def files_of(folder: str, suffixes: Iterable[str]) -> dict[str, str]:
    """Map names to the files of a folder with one of `suffixes`, sorted; a name is without the suffix.

    Raises:
        InputError: there are none, or two with the same name.
    """
    found: dict[str, str] = {}
    for path in sorted(Path(folder).iterdir()):
        suffix = suffix_of(path.name, suffixes)
        if not suffix or path.name.startswith("."):
            continue
        name = path.name[: -len(suffix)]
        if name in found:
            raise InputError(f"{folder}: each file is a series by its name; {found[name]} and {path} have one name")
        found[name] = str(path)
    if not found:
        raise InputError(f"{folder}: no file in the folder has one of the suffixes {', '.join(suffixes)}")
    return found
