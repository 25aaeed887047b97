"""Regular time grids: gaps become rows of missing values, which are then filled."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jax_lstm.checks import InputError
from jax_lstm.data.table import Table


@dataclass(frozen=True)
class Series:
    """One series on a regular grid: `values` (N, C) with NaN where missing, `times` (N,) or None.

    `step` is the step of the grid, None without timestamps. `absent_rows` counts the grid rows that the file lacks.
    `first_row` is the number of the first row in `values`, if only the end of the series was read.
    """

    group: str
    columns: tuple[str, ...]
    values: np.ndarray
    times: np.ndarray | None
    step: np.timedelta64 | None
    utc: bool
    absent_rows: int
    first_row: int = 0


def regular(tables: Sequence[Table]) -> list[Series]:
    """Put every table on a regular grid; the step is the most common one in the file.

    Raises:
        InputError: timestamps are unsorted, repeated or off the grid, or the grid would be mostly empty.
    """
    step = _common_step(tables)
    return [_on_grid(table, step) for table in tables]


def fill(values: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Forward-fill each column, with `start` (C,) before its first value; never uses future values."""
    padded = np.concatenate([start[None], values])
    last_known = np.maximum.accumulate(np.where(np.isnan(padded), 0, np.arange(len(padded))[:, None]), axis=0)
    return np.take_along_axis(padded, last_known, axis=0)[1:]


def _common_step(tables: Sequence[Table]) -> np.timedelta64 | None:
    counts: Counter[int] = Counter()
    for table in tables:
        if table.times is None:
            continue
        steps = np.diff(table.times).astype(np.int64)
        for at in np.flatnonzero(steps <= 0)[:1]:
            fault = "repeats" if steps[at] == 0 else "comes before"
            of_group = f" of {table.group!r}" if table.group else ""
            raise InputError(
                f"{table.place(at + 1)}: timestamp {table.times[at + 1]}{of_group} {fault} that of "
                f"{table.unit} {table.lines[at]}; sort the rows by time and keep one for each"
            )
        counts.update(steps.tolist())
    return np.timedelta64(counts.most_common(1)[0][0], "us") if counts else None


def _on_grid(table: Table, step: np.timedelta64 | None) -> Series:
    if table.times is None or step is None:
        return Series(table.group, table.columns, table.values, table.times, None, table.utc, 0)
    offsets = table.times - table.times[0]
    for at in np.flatnonzero(offsets % step != np.timedelta64(0, "us"))[:1]:
        raise InputError(
            f"{table.place(at)}: timestamp {table.times[at]} is off the grid of {step.item()} that "
            f"begins at {table.times[0]}; resample the file, or leave --time out to treat its rows as consecutive"
        )
    positions = (offsets // step).astype(np.int64)
    length = int(positions[-1]) + 1
    if length > 10 * len(positions) + 1000:
        gaps = np.diff(positions)
        gap = int(np.argmax(gaps))
        raise InputError(
            f"{table.place(gap + 1)}: {gaps[gap] - 1} rows of {step.item()} are "
            f"missing before {table.times[gap + 1]}; more than nine tenths of the series would be empty"
        )
    values = np.full((length, len(table.columns)), np.nan)
    values[positions] = table.values
    times = table.times[0] + np.arange(length) * step
    return Series(table.group, table.columns, values, times, step, table.utc, length - len(positions))
