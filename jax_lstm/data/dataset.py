"""Windows of series for training: read, split, standardise and fill."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from jax_lstm.checks import InputError
from jax_lstm.data.calendar import Calendar
from jax_lstm.data.config import DataConfig, parse_split
from jax_lstm.data.scaler import Scaler, fit_scaler
from jax_lstm.data.series import Series, fill, regular
from jax_lstm.data.table import Columns, Table, read_tables

PARTS = ("train", "val", "test")
SEASON = 24  # without a calendar


@dataclass(frozen=True)
class Dataset:
    """All series of a file, concatenated, standardised and filled, with the windows of each part.

    `inputs` (N, F), `targets` (N, C), `times` (N,) or None. `starts[part]` (n,) int32 has the first row of each window,
    which reads rows `start` to `start + window` and forecasts the `horizon` rows after them. No window crosses the end
    of a series or has missing targets.
    """

    config: DataConfig  # with the season of the calendar, and the order of dates
    columns: Columns
    calendar: Calendar | None
    scaler: Scaler
    inputs: np.ndarray
    targets: np.ndarray
    times: np.ndarray | None
    starts: dict[str, np.ndarray]
    first_rows: np.ndarray  # of each series
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
    series = regular(tables, columns, trained and trained.calendar, config.calendar_features)
    if trained is None:
        added = tuple(name for name in series[0].columns if name not in tables[0].columns)
        columns = replace(columns, features=(*columns.features, *added), calendar_features=added)
    moved, future, empty = (
        sum(getattr(one, f"{kind}_rows") for one in series) for kind in ("moved", "future", "empty")
    )
    if moved:
        notes.append(f"{moved:,} timestamps beside the grid of {series[0].calendar} were put on it")
    if future:
        notes.append(f"{future:,} rows after the last target are the future: other columns are known in them")
    if empty:
        notes.append(f"{empty:,} rows after the last target have no values and were left out")
    return Read(series, tables, columns, tuple(notes), tuple(warnings))


def load_dataset(
    config: DataConfig, dtype: Any = np.float32, trained: Trained | None = None, data: Any = None
) -> Dataset:
    """Read the data of `config`, split each series in time order, standardise, and find the windows.

    The scaler is fitted to the training rows, unless a trained model brings its own. A window belongs to the part that
    has all its targets; its inputs may reach back into the previous part. A series without a window is left out of the
    windows, and named in a warning.

    Raises:
        InputError: the file is faulty, or a part has no complete window.
    """
    read = read_series(config, trained, data)
    series, columns = read.series, read.columns
    if not config.season:
        config = replace(config, season=read.calendar.season if read.calendar else SEASON)
    if order := read.tables[0].date_order:  # kept, since later rows may leave it open
        config = replace(config, file=replace(config.file, date_order=order))
    source = "the DataFrame" if data is not None else config.csv or "the packaged weather"
    bounds = _all_bounds(series, config, source)
    if trained is None:
        training = [one.values[: edges[1]] for one, edges in zip(series, bounds, strict=True)]
        scaler, warnings = fit_scaler(series[0].columns, np.concatenate(training), source)
    else:
        scaler = trained.scaler
        warnings = tuple(scaler.far(np.concatenate([one.values for one in series])).values())

    starts: dict[str, list[np.ndarray]] = {part: [] for part in PARTS}
    first_rows, dropped, first, short = [], 0, 0, []
    for one, edges in zip(series, bounds, strict=True):
        at = [one.columns.index(name) for name in columns.target]
        unknown = np.asarray(np.isnan(one.values[:, at]).any(axis=1))
        windows = 0
        for part, begin, end in zip(PARTS, edges, edges[1:], strict=False):
            whole = np.arange(*window_span(begin, end, config))
            kept = whole[~_any_in_targets(unknown, whole, config)]
            dropped += len(whole) - len(kept)
            windows += len(whole)
            starts[part].append((kept + first).astype(np.int32))
        short += [] if windows else [one]
        first_rows.append(first)
        first += len(one.values)
    joined = {part: np.concatenate(arrays) for part, arrays in starts.items()}
    require_windows({part: len(found) for part, found in joined.items()}, bounds, config, source)

    filled = np.concatenate([fill(one.values, scaler.mean) for one in series])
    try:
        values = dict(zip(scaler.columns, scaler.standardise(filled).T, strict=True))
    except InputError as error:
        raise InputError(f"{source}: {error}") from None
    absent = sum(one.absent_rows for one in series)
    missing = np.sum([np.isnan(one.values).sum(axis=0) for one in series], axis=0)
    in_file = [name for name in scaler.columns if name in columns.numbers]
    missing_values = dict(zip(scaler.columns, missing.tolist(), strict=True))
    return Dataset(
        config=config,
        columns=columns,
        calendar=read.calendar,
        scaler=scaler,
        inputs=np.stack([values[name] for name in columns.features], axis=1).astype(dtype),
        targets=np.stack([values[name] for name in columns.target], axis=1).astype(dtype),
        times=None
        if series[0].times is None
        else np.concatenate([one.times for one in series if one.times is not None]),
        starts=joined,
        first_rows=np.array(first_rows),
        rows=first - absent,
        absent_rows=absent,
        missing_values={name: missing_values[name] - absent for name in in_file if missing_values[name] > absent},
        dropped_windows=dropped,
        notes=read.notes,
        warnings=(
            *read.warnings,
            *warnings,
            *too_short(short, config.window + config.horizon, "a window and its horizon"),
        ),
    )


def too_short(series: Sequence[Series], needed: int, what: str) -> tuple[str, ...]:
    """The warning about series that are left out, or ()."""
    if not series:
        return ()
    named = ", ".join(f"{one.group} ({len(one.values)} rows)" for one in series[:5])
    more = f" and {len(series) - 5} more" if len(series) > 5 else ""
    return (f"left out, too short for {what} ({needed} rows): {named}{more}",)


def input_windows(inputs: Any, starts: Any, window: int) -> Any:
    """The inputs of the windows at `starts` (B,): (N, F) to (B, window, F), in NumPy or JAX."""
    return inputs[starts[:, None] + np.arange(window, dtype=np.int32)]


def target_windows(targets: Any, starts: Any, window: int, horizon: int) -> Any:
    """The targets of the windows at `starts` (B,): (N, C) to (B, horizon * C), step by step, in NumPy or JAX."""
    rows = starts[:, None] + np.arange(window, window + horizon, dtype=np.int32)
    return targets[rows].reshape(starts.shape[0], horizon * targets.shape[-1])


def bounds_of(rows: int, config: DataConfig, source: str) -> tuple[int, int, int, int]:
    """The rows that bound the three parts of a series: 0, end of training, end of validation, end of test.

    Raises:
        InputError: the split needs more rows than the series has.
    """
    split = parse_split(config.split)
    if isinstance(split[0], float):
        edges = [round(rows * sum(split[:count])) for count in (1, 2, 3)]
    else:
        edges = [int(sum(split[:count])) for count in (1, 2, 3)]
        if edges[-1] > rows:
            raise InputError(
                f"{source}: `--split` must ask for at most the {rows} rows of a series; got {config.split}"
            )
    return 0, edges[0], edges[1], edges[2]


def _all_bounds(series: list[Series], config: DataConfig, source: str) -> list[tuple[int, int, int, int]]:
    """The bounds of each series; one too short for a split in rows has no part, unless all are too short."""
    longest = max(len(one.values) for one in series)
    bounds_of(longest, config, source)  # raises if even this one is too short
    found = []
    for one in series:
        try:
            found.append(bounds_of(len(one.values), config, source))
        except InputError:
            found.append((0, 0, 0, 0))
    return found


def window_span(begin: int, end: int, config: DataConfig) -> tuple[int, int]:
    """The first start, and the end of the starts, of the windows with all targets in rows `begin` to `end`."""
    first = max(begin - config.window, 0)
    return first, max(end - config.window - config.horizon + 1, first)


def _any_in_targets(unknown: np.ndarray, starts: np.ndarray, config: DataConfig) -> np.ndarray:
    before = np.concatenate([[0], np.cumsum(unknown)])
    return before[starts + config.window + config.horizon] > before[starts + config.window]


def require_windows(
    counts: dict[str, int], bounds: list[tuple[int, int, int, int]], config: DataConfig, source: str
) -> None:
    """Each part with a share in the split must have a window."""
    for at, part in enumerate(PARTS):
        rows = max(edges[at + 1] - edges[at] for edges in bounds)
        wanted = parse_split(config.split)[at] > 0
        if wanted and not counts[part]:
            needed = (
                f"window + horizon = {config.window + config.horizon}"
                if part == "train"
                else f"horizon = {config.horizon}"
            )
            raise InputError(
                f"{source}: too few rows: the {part} part needs at least {needed} rows of one series, with no target "
                f"missing in the horizon; the longest has {rows}"
            )
