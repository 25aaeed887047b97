"""Windows of series for training: read, split, standardise and fill."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from jax_lstm.checks import InputError, listed
from jax_lstm.data.calendar import Calendar, calendar_names
from jax_lstm.data.config import DataConfig
from jax_lstm.data.ridge import Ridge, best_ridge, fit_ridge, margin
from jax_lstm.data.scaler import Scaler, chosen_statistics, fit_scaler, new_series, with_new_series
from jax_lstm.data.season import find_season, windows_to_try
from jax_lstm.data.series import Series, fill, regular, with_calendar, without_targets
from jax_lstm.data.split import all_bounds, any_in_targets, bounds_of, parts_of, require_windows, window_span
from jax_lstm.data.table import Columns, Table, read_tables
from jax_lstm.data.zones import FIX, PLAIN, summer_time_begins


@dataclass(frozen=True)
class Dataset:
    """All series of a file, concatenated, standardised and filled, with the windows of each part: of training,
    validation, calibration (of intervals, if these are asked for) and test.

    `inputs` (N, F), `targets` (N, C), `times` (N,) or None. `starts[part]` (n,) int32 has the first row of each window,
    which reads rows `start` to `start + window` and forecasts the `horizon` rows after them. No window crosses the end
    of a series or has missing targets.
    """

    config: DataConfig  # with the season, the window, the statistics, and the order of dates
    columns: Columns
    calendar: Calendar | None
    scaler: Scaler
    inputs: np.ndarray
    targets: np.ndarray
    times: np.ndarray | None
    starts: dict[str, np.ndarray]
    first_rows: np.ndarray  # of each series
    groups: tuple[str, ...]  # the names of the series
    rows: int  # in the file
    absent_rows: int
    missing_values: dict[str, int]  # by column, without absent rows; columns without missing values are not listed
    dropped_windows: int
    notes: tuple[str, ...]  # on how the file was read
    warnings: tuple[str, ...]

    @property
    def features(self) -> tuple[str, ...]:
        return self.columns.features

    @property
    def target(self) -> tuple[str, ...]:
        return self.columns.target

    @property
    def input_size(self) -> int:
        return len(self.features)

    @property
    def output_size(self) -> int:
        return self.config.horizon * len(self.target)

    @cached_property
    def ridge(self) -> Ridge:
        return best_ridge(self)

    def series_of(self, rows: np.ndarray) -> np.ndarray:
        """The number of the series of each of `rows` (n,)."""
        return np.searchsorted(self.first_rows, rows, side="right") - 1

    def scaler_of(self, starts: np.ndarray) -> Scaler:
        """That of the targets of the windows at `starts` (n,): (n, C), or (C,) if it is shared."""
        return self.scaler.of_rows(self.groups, self.series_of(starts)).pick(self.target)

    @property
    def used(self) -> list[str]:
        """The names of the series with a window."""
        return [self.groups[at] for at in np.unique(self.series_of(np.concatenate([*self.starts.values()])))]


@dataclass(frozen=True)
class Read:
    """The series of a file, the tables that they come from, and how these were read."""

    series: list[Series]
    tables: list[Table]
    columns: Columns
    notes: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def calendar(self) -> Calendar | None:
        return self.series[0].calendar


class Trained(NamedTuple):
    """What a trained model keeps of its data."""

    columns: Columns
    calendar: Calendar | None
    scaler: Scaler


def read_series(config: DataConfig, trained: Trained | None = None, data: Any = None) -> Read:
    """Read the series of `data`, a DataFrame, or of `config.csv`, or the packaged weather.

    With `trained` they have the columns and the calendar of that model.

    Raises:
        InputError: the file is faulty, or does not fit the model.
    """
    tables, columns, notes, warnings = read_tables(config, trained and trained.columns, data)
    if config.calendar_features and tables[0].times is None:
        raise InputError("`--calendar` must come with --time; got no --time")
    series = regular(tables, columns, trained and trained.calendar)
    if config.calendar_features and trained is None and (calendar := series[0].calendar) is not None:
        longest = max(series, key=lambda one: len(one.values))
        assert longest.times is not None
        learnt = longest.times[: max(bounds_of(len(longest.values), config, str(config.csv))[1], 1)]
        added = calendar_names(calendar, learnt)
        columns = replace(columns, features=(*columns.features, *added), calendar_features=added)
    if columns.calendar_features:
        series = [with_calendar(one, columns.calendar_features) for one in series]
    _require_static(series, columns)
    notes += _skipped_hour(tables)
    moved, empty = (sum(getattr(one, f"{kind}_rows") for one in series) for kind in ("moved", "empty"))
    future = sum(len(one.future) for one in series)
    if moved:
        notes.append(f"{moved:,} timestamps beside the grid of {series[0].calendar} were put on it")
    if future:
        notes.append(f"{future:,} rows after the last target are the future: other columns are known in them")
    if empty:
        notes.append(f"{empty:,} rows after the last target have no values and were left out")
    return Read(series, tables, columns, tuple(notes), tuple(warnings))


def _skipped_hour(tables: Sequence[Table]) -> list[str]:
    """A note if hours without a zone skip one, which would be a gap."""
    for table in tables:
        if table.times is not None and table.zone == PLAIN and len(days := summer_time_begins(table.times)):
            return [f"an hour is absent on {days[0]}; if it is the one that summer time skips, {FIX}"]
    return []


def _require_static(series: list[Series], columns: Columns) -> None:
    for name in (name for name in columns.features if name.partition("=")[0] in columns.static):
        for one in series:
            values = one.values[:, one.columns.index(name)]
            known = values[~np.isnan(values)]
            if len(known) and (known != known[0]).any():
                different = known[known != known[0]][0]
                of_series = f" of {one.group!r}" if one.group else ""
                raise InputError(
                    f"`--static` must name columns with one value for each series; got {name!r}{of_series} with "
                    f"{known[0]:g} and {different:g}"
                )


def load_dataset(
    config: DataConfig, dtype: Any = np.float32, trained: Trained | None = None, data: Any = None
) -> Dataset:
    """Read the data of `config`, split each series in time order, standardise, and find the windows.

    The scaler is fitted to the training rows, unless a trained model brings its own. A window belongs to the part that
    has all its targets; its inputs may reach back into the previous part. A series without a window is left out of the
    windows, and named in a warning. Without `config.window` the window is the one with which ridge regression has the
    least validation error.

    Raises:
        InputError: the file is faulty, or a part has no complete window.
    """
    read = read_series(config, trained, data)
    series, columns = read.series, read.columns
    order, zone = read.tables[0].date_order or config.file.date_order, read.tables[0].zone.name
    config = replace(config, file=replace(config.file, date_order=order, time_zone=zone))  # later rows may not tell
    source = "the DataFrame" if data is not None else config.csv or "the packaged weather"
    bounds = all_bounds(series, config, source)
    groups, lengths, notes = tuple(one.group for one in series), [len(one.values) for one in series], read.notes
    training, warnings = {one.group: one.values[: edges[1]] for one, edges in zip(series, bounds, strict=True)}, ()
    if trained is None:
        scaler, warnings = fit_scaler(series[0].columns, np.concatenate([*training.values()]), source)
        scaler, why = chosen_statistics(config.statistics, scaler, training, columns, source)
        config = replace(config, statistics="series" if scaler.series else "shared")
        notes = (*notes, why) if why else notes
    else:
        scaler = with_new_series(trained.scaler, training, columns, source)
    of_rows = scaler.of_rows(groups, np.repeat(np.arange(len(series)), lengths))
    if trained is not None:
        warnings = tuple(of_rows.far(np.concatenate([one.values for one in series])).values())

    filled = np.concatenate([fill(one.values, scaler.of(one.group).mean) for one in series])
    try:
        values = dict(zip(scaler.columns, of_rows.standardise(filled).T, strict=True))
    except InputError as error:
        raise InputError(f"{source}: {error}") from None
    targets = np.stack([values[name] for name in columns.target], axis=1)
    first_rows = np.cumsum([0, *lengths])[:-1]
    longest = max(range(len(series)), key=lambda at: bounds[at][1])
    learnt = targets[first_rows[longest] :][: bounds[longest][1]]
    if not config.season:
        config = replace(config, season=find_season(learnt, read.calendar))
    absent = sum(one.absent_rows for one in series)
    missing = np.sum([np.isnan(one.values).sum(axis=0) for one in series], axis=0)
    in_file = [name for name in scaler.columns if name in columns.numbers]
    missing_values = dict(zip(scaler.columns, missing.tolist(), strict=True))
    whole = Dataset(
        config=config,
        columns=columns,
        calendar=read.calendar,
        scaler=scaler,
        inputs=np.stack([values[name] for name in columns.features], axis=1).astype(dtype),
        targets=targets.astype(dtype),
        times=None
        if series[0].times is None
        else np.concatenate([one.times for one in series if one.times is not None]),
        starts={},
        first_rows=first_rows,
        groups=groups,
        rows=len(filled) - absent,
        absent_rows=absent,
        missing_values={name: missing_values[name] - absent for name in in_file if missing_values[name] > absent},
        dropped_windows=0,
        notes=notes,
        warnings=(*read.warnings, *warnings),
    )
    tried = windows_to_try(config.season, read.calendar, config.horizon, len(learnt))
    found = _with_best_window(whole, [config.window] if config.window else tried, series, bounds, source)
    if trained is None:
        return found
    return replace(found, warnings=(*found.warnings, *new_series(trained.scaler, found.used)))


def _with_best_window(
    whole: Dataset, lengths: list[int], series: list[Series], bounds: list[tuple[int, ...]], source: str
) -> Dataset:
    """The dataset with the window whose ridge regression has the least validation error.

    With few validation windows, it is the shortest whose error is about as low.
    """
    found, refused = [], []
    for length in lengths:
        try:
            found.append(_with_windows(whole, replace(whole.config, window=length), series, bounds, source))
        except InputError as error:
            refused.append(error)
    if not found:
        raise refused[0]  # of the shortest window
    if len(found) == 1:
        return found[0]
    losses = [fit_ridge(one).loss for one in found]
    most = min(losses) * (1 + margin(found[0]))
    return next((one for one, loss in zip(found, losses, strict=True) if loss <= most), found[0])


def _with_windows(
    whole: Dataset, config: DataConfig, series: list[Series], bounds: list[tuple[int, ...]], source: str
) -> Dataset:
    """The dataset with the windows of `config` in each part.

    Raises:
        InputError: a part has none.
    """
    parts = parts_of(config)
    starts: dict[str, list[np.ndarray]] = {part: [] for part in parts}
    dropped, short = 0, []
    for one, first, edges in zip(series, whole.first_rows, bounds, strict=True):
        at = [one.columns.index(name) for name in whole.target]
        unknown = np.asarray(np.isnan(one.values[:, at]).any(axis=1))
        windows = 0
        for part, begin, end in zip(parts, edges, edges[1:], strict=False):
            every = np.arange(*window_span(begin, end, config))
            kept = every[~any_in_targets(unknown, every, config)]
            dropped += len(every) - len(kept)
            windows += len(every)
            starts[part].append((kept + first).astype(np.int32))
        short += [] if windows else [one]
    joined = {part: np.concatenate(arrays) for part, arrays in starts.items()}
    longest = max(len(one.values) for one in series)
    require_windows({part: len(found) for part, found in joined.items()}, bounds, config, source, longest)
    left_out = too_short(short, config.window + config.horizon, "a window and its horizon")
    warnings = (*whole.warnings, *left_out, *without_targets(series, whole.target))
    return replace(whole, config=config, starts=joined, dropped_windows=dropped, warnings=warnings)


def too_short(series: Sequence[Series], needed: int, what: str) -> tuple[str, ...]:
    """The warning about series that are left out, or ()."""
    named = listed([f"{one.group} ({len(one.values)} rows)" for one in series])
    return (f"left out, too short for {what} ({needed} rows): {named}",) if series else ()


def input_windows(inputs: Any, starts: Any, window: int) -> Any:
    """The inputs of the windows at `starts` (B,): (N, F) to (B, window, F), in NumPy or JAX."""
    return inputs[starts[:, None] + np.arange(window, dtype=np.int32)]


def target_windows(targets: Any, starts: Any, window: int, horizon: int) -> Any:
    """The targets of the windows at `starts` (B,): (N, C) to (B, horizon * C), step by step, in NumPy or JAX."""
    rows = starts[:, None] + np.arange(window, window + horizon, dtype=np.int32)
    return targets[rows].reshape(starts.shape[0], horizon * targets.shape[-1])
