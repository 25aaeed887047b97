"""`jax-lstm forecast --stream`: rows from standard input, a forecast after each."""

import csv
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TextIO

import numpy as np

from jax_lstm.checks import InputError, require
from jax_lstm.data import Scaler
from jax_lstm.data.calendar import DAY, calendar_features, find_calendar
from jax_lstm.data.columns import number
from jax_lstm.data.frames import text_rows
from jax_lstm.data.stamps import UnreadableError, read_stamp
from jax_lstm.data.zones import NEVER, Zone
from jax_lstm.tasks.ahead import SEEDS
from jax_lstm.tasks.forecast import ForecastRun, agreement
from jax_lstm.tasks.online import Online

NAME = "standard input"


@dataclass
class Series:
    """A series so far.

    Its scaler, the last value of each feature, the window that ends with the last of its `rows`, the times of its first
    and last.
    """

    scaler: Scaler
    last: np.ndarray
    window: np.ndarray | None = None
    rows: int = 0
    first: np.datetime64 | None = None
    time: np.datetime64 | None = None


def stream(run: ForecastRun, lines: Iterable[str], out: TextIO, errors: TextIO) -> None:
    """Read CSV with a header; after each row, write one row of CSV with the forecast.

    The model's columns must be there; the time and group columns are used if they are. Missing values, and rows missing
    between two times, are filled with the last values seen. A value far outside the training data is warned of, once
    for each column.

    Raises:
        InputError: a row cannot be used; forecasts for the rows before it have been written.
    """
    rows = text_rows(lines, NAME)
    header = header_of(rows, run.trained.columns.read)
    data = run.config.data
    time, group = (
        name if name in header else "" for name in ((data.time, data.group) if data.csv else ("time", "origin"))
    )
    calendar = run.trained.columns.calendar_features
    if calendar and not time:
        raise InputError(f"{NAME}: no column {data.time!r}, whose calendar the model reads")
    one = run.about.get("series", "")
    require(not (group and one), "--series", f"be left out for rows with a column {group!r}", repr(one))
    run = run if group else run.of_series("")  # refused, if the run needs the name of the series
    ahead = range(1, data.horizon + 1)
    online, found, clock = Online(run), dict[str, Series](), Clock(run)
    writer = csv.writer(out, lineterminator="\n")
    ends = tuple(f" {end}" for end in SEEDS) if len(run.names) > 1 else ()
    columns = [f"{name}+{step}{end}" for end in ("", *ends) for step in ahead for name in run.target]
    writer.writerow([*([group] if group else []), time or "row", *columns])
    out.flush()
    warned: set[str] = set()

    def add(series: Series, line: int) -> np.ndarray:
        features = series.scaler.pick(run.features)
        for column, warning in features.far(series.last[None]).items():
            if column not in warned:
                print(f"jax-lstm: warning: {NAME}, line {line}: {warning}", file=errors)
            warned.add(column)
        try:
            standardised = features.standardise(series.last[None])[0]
        except InputError as error:
            raise InputError(f"{NAME}, line {line}: {error}") from None
        series.window, series.rows = online.add(series.window, standardised), series.rows + 1
        return series.window

    for line, row in rows:
        if len(row) != len(header):
            raise InputError(f"{NAME}, line {line}: expected {len(header)} fields, as in the header; got {len(row)}")
        fields = dict(zip(header, row, strict=True))
        name = fields[group].strip() if group else ""
        values = feature_values(run, fields, line)
        if name not in found:
            if run.scaler.series and name not in run.scaler.series:
                raise InputError(
                    f"{NAME}, line {line}: {name!r} is not among the series of training, whose mean and standard "
                    "deviation are used; train with --statistics shared to forecast new ones"
                )
            scaler = run.scaler.of(name)
            found[name] = Series(scaler, scaler.pick(run.features).mean)
        series = found[name]
        if time:
            stamp = clock.read(fields[time], line, NEVER if series.time is None else series.time)
            for absent in clock.missed(series, stamp, line)[-data.window :]:
                series.last = clock.with_calendar(series.last, absent)
                add(series, line)
            series.first, series.time = series.first if series.first is not None else stamp, stamp
            values = clock.with_calendar(values, stamp)
        series.last = np.where(np.isnan(values), series.last, values)
        window = add(series, line)
        known = series.scaler.pick(calendar).standardise(clock.ahead(series, data.horizon))
        standardised = online.forecast(window, known)
        steps = standardised.astype(np.float64).reshape(len(standardised), data.horizon, -1)
        members = series.scaler.pick(run.target).restore(steps)
        shown: list[Any] = [members.mean(axis=0), *(agreement(members) or ())]
        numbers = [f"{value:.9g}" for each in shown for value in each.ravel()]
        label = fields[time].strip() if time else series.rows
        writer.writerow([*([name] if group else []), label, *numbers])
        out.flush()


def header_of(rows: Iterator[tuple[int, list[str]]], columns: Iterable[str]) -> list[str]:
    """The column names in the first of `rows`, which must include `columns`."""
    line, header = next(rows, (0, []))
    if not header:
        raise InputError(f"{NAME}: the file is empty; expected a header line and rows")
    header = [name.strip() for name in header]
    for name in header:
        if header.count(name) > 1:
            raise InputError(f"{NAME}, line {line}: column {name!r} is named twice")
    for name in columns:
        if name not in header:
            raise InputError(f"{NAME}, line {line}: no column {name!r}; the columns are {', '.join(header)}")
    return header


def feature_values(run: ForecastRun, fields: Mapping[str, str], line: int) -> np.ndarray:
    """The features (F,) of a row, NaN where missing and for those of the calendar."""
    columns, data = run.trained.columns, run.config.data
    found: dict[str, float] = {}
    for name in columns.read:
        where, text = f"{NAME}, line {line}, column {name!r}", fields[name].strip()
        if name not in columns.classes:
            found[name] = np.nan if text in data.file.missing else number(text, where)
            continue
        classes = columns.classes[name]
        if text and text not in classes and data.unknown_class == "error":
            raise InputError(f"{where}: {text!r} is not one of the classes in training: {', '.join(classes)}")
        found |= {f"{name}={one}": float(text == one) for one in classes}
    return np.array([found.get(name, np.nan) for name in run.features])


class Clock:
    """The calendar of the rows: that of the training data, or if it had no times, of the first two rows."""

    def __init__(self, run: ForecastRun) -> None:
        self._calendar, self._file = run.trained.calendar, run.config.data.file
        self._features, self._names = run.features, run.trained.columns.calendar_features
        self._offset: bool | None = None

    @property
    def _zone(self) -> Zone:
        return Zone(self._file.time_zone, utc=self._calendar is None or self._calendar.length < DAY)

    def read(self, text: str, line: int, last: np.datetime64) -> np.datetime64:
        """The time that a text says, which comes after `last`."""
        file = self._file
        try:
            stamp, offset = read_stamp(
                text, file.date_order, file.date_format, not self._zone.utc, file.time_zone, last
            )
        except UnreadableError as error:
            raise InputError(f"{NAME}, line {line}: {error.expected}") from None
        self._offset = offset if self._offset is None else self._offset
        if offset != self._offset:
            where = f"{NAME}, line {line}: timestamp {text.strip()}"
            raise InputError(f"{where}: some timestamps have an offset from UTC and some have none")
        return stamp

    def missed(self, series: Series, now: np.datetime64, line: int) -> np.ndarray:
        """The times of the rows missing between the last one of a series and `now`."""
        if series.time is None or series.first is None:
            return np.zeros(0, "datetime64[us]")
        where = f"{NAME}, line {line}: timestamp {now.astype('datetime64[s]')}"
        if now <= series.time:
            raise InputError(f"{where} does not come after that of the row before")
        times = np.array([series.first, *([series.time] if series.time > series.first else []), now])
        calendar = self._calendar or find_calendar([times[-2:]])
        assert calendar is not None
        self._calendar = calendar
        at, distance = calendar.positions(times)
        if abs(distance[-1]) > calendar.tolerance:
            raise InputError(f"{where} is off the grid of {calendar}, the step from row to row")
        return calendar.stamps(times, np.arange(at[-2] + 1, at[-1]))

    def with_calendar(self, values: np.ndarray, time: np.datetime64) -> np.ndarray:
        """The features (F,) of a row with those of the calendar at `time`."""
        values, found = values.copy(), calendar_features(self._zone.local(np.array([time])))
        for name in self._names:
            values[self._features.index(name)] = found[name][0]
        return values

    def ahead(self, series: Series, rows: int) -> np.ndarray:
        """The features of the calendar in the next rows of a series, (rows, K)."""
        if not self._names:
            return np.zeros((rows, 0))
        assert self._calendar is not None
        times = np.array([series.first, *([series.time] if series.rows > 1 else [])])
        last = self._calendar.positions(times).at[-1]
        found = calendar_features(self._zone.local(self._calendar.stamps(times, last + 1 + np.arange(rows))))
        return np.stack([found[name] for name in self._names], axis=1)
