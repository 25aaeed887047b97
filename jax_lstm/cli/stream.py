"""`jax-lstm forecast --stream`: rows from standard input, a forecast after each."""

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TextIO

import numpy as np

from jax_lstm.checks import InputError
from jax_lstm.data.table import header_of, number, parsed, timestamp
from jax_lstm.tasks.forecast import ForecastRun, interval
from jax_lstm.tasks.online import Online, SeriesState

NAME = "standard input"


@dataclass
class Series:
    """A series so far: the model's states, the last value of each feature, the time of the last row."""

    state: SeriesState
    last: np.ndarray
    time: datetime | None = None


def stream(run: ForecastRun, lines: Iterable[str], out: TextIO) -> None:
    """Read CSV with a header; after each row, write one row of CSV with the forecast.

    The model's columns must be there; the time and group columns are used if they are. Missing values, and rows missing
    between two times, are filled with the last values seen.

    Raises:
        InputError: a row cannot be used; forecasts for the rows before it have been written.
    """
    rows = parsed(lines, NAME)
    header = header_of(rows, NAME, run.features)
    data = run.config.data
    time, group = (
        name if name in header else "" for name in ((data.time, data.group) if data.csv else ("time", "origin"))
    )
    where = [header.index(name) for name in run.features]
    features, target, ahead = run.scaler.pick(run.features), run.scaler.pick(run.target), range(1, data.horizon + 1)
    online, found, clock = Online(run), dict[str, Series](), Clock(run.about.get("step"))
    writer = csv.writer(out, lineterminator="\n")
    ends = (" low", " high") if len(run.names) > 1 else ()
    columns = [f"{name}+{step}{end}" for end in ("", *ends) for step in ahead for name in run.target]
    writer.writerow([*([group] if group else []), time or "row", *columns])
    out.flush()

    def feed(series: Series, line: int) -> np.ndarray:
        try:
            standardised = features.standardise(series.last[None])[0]
        except InputError as error:
            raise InputError(f"{NAME}, line {line}: {error}") from None
        forecasts, series.state = online.feed(series.state, standardised)
        return forecasts

    for line, row in rows:
        if len(row) != len(header):
            raise InputError(f"{NAME}, line {line}: expected {len(header)} fields, as in the header; got {len(row)}")
        name = row[header.index(group)].strip() if group else ""
        values = np.array([number(row[at], NAME, line, header[at], first=0) for at in where])
        if name not in found:
            found[name] = Series(online.start(), features.mean)
        series = found[name]
        if time:
            stamp = timestamp(row[header.index(time)], NAME, line, time)
            for _ in range(min(clock.absent(series.time, stamp, line), data.window)):
                feed(series, line)
            series.time = stamp
        series.last = np.where(np.isnan(values), series.last, values)
        standardised = feed(series, line).astype(np.float64)
        members = target.restore(standardised.reshape(len(standardised), data.horizon, -1))
        shown: list[Any] = [members.mean(axis=0), *(interval(members) or ())]
        numbers = [f"{value:.9g}" for each in shown for value in each.ravel()]
        label = row[header.index(time)].strip() if time else series.state.rows
        writer.writerow([*([name] if group else []), label, *numbers])
        out.flush()


class Clock:
    """The time step between rows: that of the training data, or if it had no times, of the first two rows."""

    def __init__(self, step: float | None) -> None:
        self._step = None if step is None else timedelta(seconds=step)

    def absent(self, before: datetime | None, now: datetime, line: int) -> int:
        """The number of rows missing between two times."""
        if before is None:
            return 0
        where = f"{NAME}, line {line}: timestamp {now.isoformat(' ')}"
        if (before.tzinfo is None) != (now.tzinfo is None):
            raise InputError(f"{where}: some timestamps have an offset from UTC and some have none")
        if now <= before:
            raise InputError(f"{where} does not come after that of the row before, {before.isoformat(' ')}")
        self._step = self._step or now - before
        steps, rest = divmod(now - before, self._step)
        if rest:
            raise InputError(f"{where} is off the grid of {self._step}, the step from row to row")
        return steps - 1
