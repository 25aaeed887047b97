"""Windows of series for training: read, split, standardise and fill."""

from dataclasses import dataclass
from importlib.resources import as_file, files
from typing import Any

import numpy as np

from jax_lstm.checks import InputError
from jax_lstm.data.config import DataConfig, parse_split
from jax_lstm.data.formats import read_tables
from jax_lstm.data.series import Series, fill, regular
from jax_lstm.data.table import read_csv

PARTS = ("train", "val", "test")
FARTHEST = 1e15  # standard deviations from the mean; squares of larger values would overflow float32 losses


@dataclass(frozen=True)
class Scaler:
    """Mean and standard deviation (C,) of each column in the training part; `scale` is 1 for a constant column."""

    columns: tuple[str, ...]
    mean: np.ndarray
    scale: np.ndarray

    def pick(self, columns: tuple[str, ...]) -> "Scaler":
        at = [self.columns.index(name) for name in columns]
        return Scaler(columns, self.mean[at], self.scale[at])

    def standardise(self, values: np.ndarray) -> np.ndarray:
        """Standardise values (N, C).

        Raises:
            InputError: a value is so far from the mean that its square could overflow float32.
        """
        with np.errstate(over="ignore"):
            standardised = (values - self.mean) / self.scale
        for row, column in np.argwhere(np.abs(standardised) > FARTHEST)[:1]:
            raise InputError(
                f"column {self.columns[column]!r} holds {values[row, column]:g}, too far from its mean in the training "
                f"part, {self.mean[column]:g}, to compute with"
            )
        return standardised

    def restore(self, values: np.ndarray) -> np.ndarray:
        return values * self.scale + self.mean


@dataclass(frozen=True)
class Dataset:
    """All series of a file, concatenated, standardised and filled, with the windows of each part.

    `inputs` (N, F), `targets` (N, C), `times` (N,) or None. `starts[part]` (n,) int32 has the first row of each window,
    which reads rows `start` to `start + window` and forecasts the `horizon` rows after them. No window crosses the end
    of a series or has missing targets.
    """

    config: DataConfig
    features: tuple[str, ...]
    target: tuple[str, ...]
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
    warnings: tuple[str, ...]

    @property
    def input_size(self) -> int:
        return len(self.features)

    @property
    def output_size(self) -> int:
        return self.config.horizon * len(self.target)


def read_series(config: DataConfig) -> tuple[list[Series], tuple[str, ...], tuple[str, ...]]:
    """Read `config.csv` or the packaged weather: the series, the names of the features and of the targets."""
    if config.csv:
        tables = read_tables(config.csv, config.features, config.target, config.time, config.group)
        target = config.target
    else:
        target = config.target or ("temp",)
        with as_file(files("jax_lstm.data") / "weather.csv.gz") as path:
            tables = read_csv(str(path), config.features, target, "time", "origin")
    series = regular(tables)
    return series, config.features or series[0].columns, target


def load_dataset(config: DataConfig, dtype: Any = np.float32, scaler: Scaler | None = None) -> Dataset:
    """Read the data of `config`, split each series in time order, standardise, and find the windows.

    The scaler is fitted to the training rows, unless a trained model brings its own. A window belongs to the part that
    has all its targets; its inputs may reach back into the previous part.

    Raises:
        InputError: the file is faulty, or a part has no complete window.
    """
    series, features, target = read_series(config)
    source = config.csv or "the packaged weather"
    bounds = [bounds_of(len(one.values), config, source) for one in series]
    scaler, warnings = _fit(series, bounds, source) if scaler is None else (scaler, ())

    starts: dict[str, list[np.ndarray]] = {part: [] for part in PARTS}
    first_rows, dropped, first = [], 0, 0
    for one, edges in zip(series, bounds, strict=True):
        at = [one.columns.index(name) for name in target]
        unknown = np.asarray(np.isnan(one.values[:, at]).any(axis=1))
        for part, begin, end in zip(PARTS, edges, edges[1:], strict=False):
            whole = np.arange(*window_span(begin, end, config))
            kept = whole[~_any_in_targets(unknown, whole, config)]
            dropped += len(whole) - len(kept)
            starts[part].append((kept + first).astype(np.int32))
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
    missing = np.sum([np.isnan(one.values).sum(axis=0) for one in series], axis=0) - absent
    return Dataset(
        config=config,
        features=features,
        target=target,
        scaler=scaler,
        inputs=np.stack([values[name] for name in features], axis=1).astype(dtype),
        targets=np.stack([values[name] for name in target], axis=1).astype(dtype),
        times=None
        if series[0].times is None
        else np.concatenate([one.times for one in series if one.times is not None]),
        starts=joined,
        first_rows=np.array(first_rows),
        rows=first - absent,
        absent_rows=absent,
        missing_values={name: int(n) for name, n in zip(scaler.columns, missing, strict=True) if n},
        dropped_windows=dropped,
        warnings=warnings,
    )


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


def _fit(series: list[Series], bounds: list[tuple[int, int, int, int]], source: str) -> tuple[Scaler, tuple[str, ...]]:
    columns = series[0].columns
    rows = np.concatenate([one.values[: edges[1]] for one, edges in zip(series, bounds, strict=True)])
    mean, scale, warnings = np.zeros(len(columns)), np.ones(len(columns)), []
    for at, name in enumerate(columns):
        known = rows[:, at][~np.isnan(rows[:, at])]
        if not len(known):
            raise InputError(f"{source}: column {name!r} has no value in the training part")
        with np.errstate(over="ignore", invalid="ignore"):
            mean[at], deviation = known.mean(), known.std()
        if not (np.isfinite(mean[at]) and np.isfinite(deviation)):
            raise too_large(name, np.abs(known).max(), source)
        if known.min() == known.max() or deviation == 0:
            warnings.append(constant(name))
        else:
            scale[at] = deviation
    return Scaler(columns, mean, scale), tuple(warnings)


def too_large(column: str, largest: float, source: str) -> InputError:
    return InputError(f"{source}: column {column!r} holds values too large to standardise, up to {largest:g}")


def constant(column: str) -> str:
    return f"column {column!r} is constant in the training part, so it teaches the model nothing"


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
