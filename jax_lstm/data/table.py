"""Tables of series, and reading them from CSV; errors name file, line and column."""

import csv
import gzip
import math
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from jax_lstm.checks import InputError

MISSING = frozenset({"", "na", "nan", "null", "none"})


@dataclass(frozen=True)
class Table:
    """The rows of one series in a file.

    `values` (N, C) float64, NaN where missing; `times` (N,) datetime64[us], in UTC if the timestamps have an offset, or
    None without a time column; `lines` (N,) the line of each row or, if `unit` is "row", its number from 0.
    """

    path: str
    group: str
    columns: tuple[str, ...]
    values: np.ndarray
    times: np.ndarray | None
    utc: bool
    lines: np.ndarray
    unit: str = "line"

    def place(self, row: int) -> str:
        return f"{self.path}, {self.unit} {self.lines[row]}"


def read_csv(path: str, features: Sequence[str], target: Sequence[str], time: str = "", group: str = "") -> list[Table]:
    """Read `features` (if empty, all columns but time and group) and `target`: a `Table` per group, as they appear.

    Raises:
        InputError: the file is missing, empty or not text; a column is absent or duplicated; a row has too many or too
            few fields; a value is not a finite number; a timestamp is not ISO 8601.
    """
    rows = rows_of(path)
    header = header_of(rows, path, (*features, *target, time, group))
    features = features or [name for name in header if name not in (time, group)]
    columns = tuple(dict.fromkeys((*features, *target)))
    where = [header.index(name) for name in columns]
    at_time, at_group = (header.index(name) if name else None for name in (time, group))

    parts: dict[str, tuple[list[list[float]], list[datetime], list[int]]] = {}
    utc: bool | None = None
    for line, row in rows:
        if len(row) != len(header):
            raise InputError(f"{path}, line {line}: expected {len(header)} fields, as in the header; got {len(row)}")
        values, times, lines = parts.setdefault("" if at_group is None else row[at_group].strip(), ([], [], []))
        values.append([number(row[at], path, line, header[at]) for at in where])
        if at_time is not None:
            times.append(timestamp(row[at_time], path, line, time))
            utc = times[-1].tzinfo is not None if utc is None else utc
            if utc != (times[-1].tzinfo is not None):
                raise InputError(
                    f"{path}, line {line}, column {time!r}: some timestamps have an offset from UTC and some have none"
                )
        lines.append(line)
    if not parts:
        raise InputError(f"{path}: no rows under the header")

    return [
        Table(path, name, columns, np.array(values), datetime64(times), bool(utc), np.array(lines))
        for name, (values, times, lines) in parts.items()
    ]


def header_of(rows: Iterator[tuple[int, list[str]]], path: str, columns: Sequence[str]) -> list[str]:
    """The column names in the first of `rows`, which must include the non-empty names in `columns`."""
    line, header = next(rows, (0, []))
    if not header:
        raise InputError(f"{path}: the file is empty; expected a header line and rows")
    header = [name.strip() for name in header]
    for name in header:
        if header.count(name) > 1:
            raise InputError(f"{path}, line {line}: column {name!r} is named twice")
    for name in filter(None, columns):
        if name not in header:
            raise InputError(f"{path}, line {line}: no column {name!r}; the columns are {', '.join(header)}")
    return header


def rows_of(path: str) -> Iterator[tuple[int, list[str]]]:
    """The line number and fields of each non-blank row of a file."""
    opener = gzip.open if path.endswith(".gz") else open
    try:
        with opener(path, "rt", encoding="utf-8-sig", newline="") as file:
            yield from parsed(file, path)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: cannot be read: {error}") from None


def parsed(lines: Iterable[str], path: str) -> Iterator[tuple[int, list[str]]]:
    """The line number and fields of each non-blank row, read lazily from lines of text."""
    reader = csv.reader(lines, strict=True)
    try:
        for row in reader:
            if row:
                yield reader.line_num, row
    except csv.Error as error:
        raise InputError(f"{path}, line {reader.line_num or 1}: not CSV: {error}") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text: {error}") from None


def hint(column: str) -> str:
    return f" (if {column!r} has timestamps or names, say --time {column} or --group {column})"


def number(
    text: str,
    path: str,
    line: int,
    column: str,
    unit: str = "line",
    first: int | None = None,
    hint: Callable[[str], str] = hint,
) -> float:
    """Parse a value, NaN if missing. The error for the `first` row suggests that the column may not be numeric."""
    text, where = text.strip(), f"{path}, {unit} {line}, column {column!r}"
    if text.lower() in MISSING:
        return math.nan
    try:
        value = float(text.replace("_", "?"))  # Python accepts 1_000, CSV should not
    except ValueError:
        at_first = line == ((2 if unit == "line" else 0) if first is None else first)
        raise InputError(f"{where}: expected a number; got {text!r}{hint(column) if at_first else ''}") from None
    if math.isinf(value):
        raise InputError(f"{where}: expected a finite number; got {text!r}")
    return value


def timestamp(text: str, path: str, line: int, column: str, unit: str = "line") -> datetime:
    try:
        stamp = datetime.fromisoformat(text.strip())
        return stamp.astimezone(UTC) if stamp.tzinfo else stamp
    except (ValueError, OverflowError):
        raise InputError(
            f"{path}, {unit} {line}, column {column!r}: expected an ISO 8601 timestamp like 2016-07-01 00:00:00; "
            f"got {text!r}"
        ) from None


def datetime64(times: list[datetime]) -> np.ndarray | None:
    return np.array([stamp.replace(tzinfo=None) for stamp in times], "datetime64[us]") if times else None
