"""Series on the regular grid of a calendar: gaps become rows of missing values, which are then filled."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from jax_lstm.checks import InputError, listed
from jax_lstm.data.calendar import FEW, Calendar, calendar_features, find_calendar
from jax_lstm.data.table import Columns, Table
from jax_lstm.data.zones import FIX, PLAIN, Zone, shifted, summer_time_ends

FULL = 0.6  # least part of a model's grid that a file with another calendar of its own must fill


@dataclass(frozen=True)
class Series:
    """One series on a regular grid: `values` (N, C) with NaN where missing, `times` (N,) or None.

    `calendar` is that of the grid, None without timestamps. `absent_rows` counts the grid rows that the file lacks,
    `moved_rows` the timestamps that were put on the grid. `future` (R, C) are rows that follow the last known target in
    the file and have values of other columns. `first_row` is the number of the first row in `values`, if
    only the end of the series was read.
    """

    group: str
    columns: tuple[str, ...]
    values: np.ndarray
    times: np.ndarray | None
    calendar: Calendar | None = None
    zone: Zone = PLAIN
    absent_rows: int = 0
    moved_rows: int = 0
    future: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))
    empty_rows: int = 0  # at the end, without a value in any column
    first_row: int = 0

    def ahead(self, count: int) -> np.ndarray:
        """The timestamps of the next `count` rows; without times, their row numbers."""
        rows = len(self.values) + np.arange(count)
        if self.times is None or self.calendar is None:
            return rows + 1 + self.first_row
        return self.calendar.stamps(self.times, rows)

    def stamps(self, times: np.ndarray) -> Any:
        """Timestamps for a DataFrame, with their zone; numbers of rows as they are."""
        return times if self.times is None else self.zone.index(times)


def regular(tables: Sequence[Table], columns: Columns, trained: Calendar | None = None) -> list[Series]:
    """Put every table on the grid of one calendar, that of the file or of a `trained` model.

    Raises:
        InputError: timestamps are unsorted, repeated or off the grid, the grid would be mostly empty, or the file has
            another step than the model.
    """
    for table in tables:
        _require_sorted(table)
    calendar = find_calendar([table.times for table in tables if table.times is not None])
    if trained is not None and calendar not in (None, trained) and tables[0].times is not None:
        _require_step(tables, calendar, trained)
        calendar = trained
    return [_on_grid(table, calendar or trained, columns) for table in tables]


def fill(values: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Forward-fill each column, with `start` (C,) before its first value; never uses future values."""
    padded = np.concatenate([start[None], values])
    last_known = np.maximum.accumulate(np.where(np.isnan(padded), 0, np.arange(len(padded))[:, None]), axis=0)
    return np.take_along_axis(padded, last_known, axis=0)[1:]


def shown(time: Any) -> str:
    return str(time).replace("T", " ").removesuffix(".000000")


def _require_sorted(table: Table) -> None:
    steps = np.zeros(0) if table.times is None else np.diff(table.times).astype(np.int64)
    for at in np.flatnonzero(steps <= 0)[:1]:
        assert table.times is not None
        fault = "repeats" if steps[at] == 0 else "comes before"
        of_group = f" of {table.group!r}" if table.group else ""
        where = table.place(at).removeprefix(f"{table.frame.path}, ")
        said = f"{table.place(at + 1)}: timestamp {shown(table.times[at + 1])}{of_group} {fault} that of {where}"
        if table.zone == PLAIN and summer_time_ends(table.times):
            raise InputError(f"{said}, as an hour comes twice when summer time ends; {FIX}")
        or_group = "" if table.group else ", or name the column of the series with --group"
        raise InputError(f"{said}; sort the rows by time and keep one for each{or_group}")


def _require_step(tables: Sequence[Table], found: Calendar | None, trained: Calendar) -> None:
    """A file with few rows may lie on the grid of the model although its own step is another."""
    for table in tables:
        assert table.times is not None
        at, distance = trained.positions(table.times)
        if distance.any() or (np.diff(at) <= 0).any() or len(at) < FULL * (at[-1] + 1):
            raise InputError(
                f"{table.frame.path}: the step of the rows is {found}, and that of the model's training data "
                f"{trained}; resample the file to {trained}"
            )


def _on_grid(table: Table, calendar: Calendar | None, columns: Columns) -> Series:
    past, empty = _known(table, columns)
    if past.times is None or calendar is None:
        end = _last_target(past.values, past, columns)
        times = None if past.times is None else past.times[:end]
        return Series(
            table.group, table.columns, past.values[:end], times, zone=table.zone, future=past.values[end:],
            empty_rows=empty,
        )  # fmt: skip
    at, distance = calendar.positions(past.times)
    off = np.abs(distance) > calendar.tolerance
    if np.count_nonzero(distance) > max(FEW * len(at), 1) and calendar.unit == "time":
        off |= distance != 0
    for row in np.flatnonzero(off | (np.diff(at, prepend=-1) <= 0))[:1]:
        fix = "resample the file, or leave --time out to treat its rows as consecutive"
        if past.zone.utc and not past.zone.name and shifted(past.times):
            fix = f"for local times that shift in UTC with summer time, {FIX}"
        raise InputError(
            f"{past.place(row)}: timestamp {shown(past.times[row])} is off the grid of {calendar} that begins at "
            f"{shown(past.times[0])}; {fix}"
        )
    length = int(at[-1]) + 1
    if length > 10 * len(at) + 1000:
        gaps = np.diff(at)
        gap = int(np.argmax(gaps))
        raise InputError(
            f"{past.place(gap + 1)}: {gaps[gap] - 1} rows of {calendar} are missing before "
            f"{shown(past.times[gap + 1])}; more than nine tenths of the series would be empty"
        )
    values = np.full((length, len(table.columns)), np.nan)
    values[at] = past.values
    times = calendar.stamps(past.times, np.arange(length))
    end = _last_target(values, past, columns)
    counts = {"absent_rows": end - int(np.count_nonzero(at < end)), "moved_rows": int(np.count_nonzero(distance))}
    return Series(
        table.group, table.columns, values[:end], times[:end], calendar, table.zone, **counts, future=values[end:],
        empty_rows=empty,
    )  # fmt: skip


def _known(table: Table, columns: Columns) -> tuple[Table, int]:
    """The rows up to the last one with a value, and how many follow; all rows if the targets are not read."""
    if not set(columns.target) <= set(columns.features):
        return table, 0
    known = np.flatnonzero((~np.isnan(table.values)).any(axis=1))
    end = int(known[-1]) + 1 if len(known) else len(table.values)
    cut = {name: None if (rows := getattr(table, name)) is None else rows[:end] for name in ("values", "times", "rows")}
    return replace(table, **cut), len(table.values) - end


def _last_target(values: np.ndarray, table: Table, columns: Columns) -> int:
    """The end of the rows with a known target: rows after it are the future. All rows, if none has one."""
    targets = [table.columns.index(name) for name in columns.target]
    known = np.flatnonzero((~np.isnan(values[:, targets])).any(axis=1))
    reads = set(columns.target) <= set(columns.features)
    return int(known[-1]) + 1 if reads and len(known) else len(values)


def has_target(one: Series, target: Sequence[str]) -> bool:
    """Whether a value of any target is known."""
    return not np.isnan(one.values[:, [one.columns.index(name) for name in target]]).all()


def without_targets(series: Sequence[Series], target: Sequence[str]) -> tuple[str, ...]:
    """The warning about series without a known target, which are left out, or ()."""
    found = [one.group or "the data" for one in series if not has_target(one, target)]
    return (f"left out, without a known {' '.join(target)}: {listed(found)}",) if found else ()


def with_calendar(series: Series, names: Sequence[str]) -> Series:
    """With the `calendar_features` of these names as further columns."""
    assert series.times is not None
    found = calendar_features(series.zone.local(series.times))
    values = np.concatenate([series.values, *(found[name][:, None] for name in names)], axis=1)
    return replace(series, columns=(*series.columns, *names), values=values)
