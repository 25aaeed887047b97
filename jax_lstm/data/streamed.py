"""Datasets that stay on disk: statistics in one pass, windows read one by one, a sample in memory for scores."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from jax_lstm.checks import InputError
from jax_lstm.data.config import DataConfig
from jax_lstm.data.dataset import Dataset, Trained
from jax_lstm.data.frames import split_names
from jax_lstm.data.scaler import Scaler, constant, too_large
from jax_lstm.data.series import Series
from jax_lstm.data.split import bounds_of, parts_of, require_windows, window_span
from jax_lstm.data.stored import Stored, open_stored
from jax_lstm.data.table import Columns

CHUNK_NUMBERS = 2**20  # values read at once for the statistics
SEASON = 24  # if none is given
MOST_WINDOWS = 2**32 - 1  # window numbers in the order of an epoch are uint32


@dataclass(frozen=True)
class Windows:
    """The windows of a part, numbered across series; for each series, `first` (n,) start row and `ends` (n,) number."""

    first: np.ndarray
    ends: np.ndarray

    def __len__(self) -> int:
        return int(self.ends[-1])

    def spread(self, most: int) -> np.ndarray:
        """The numbers of at most `most` evenly spaced windows."""
        count = min(len(self), most)
        return np.arange(count) * len(self) // max(count, 1)

    def places(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The series of each window in `numbers`, and its first row there."""
        of = np.searchsorted(self.ends, numbers, side="right")
        before = np.concatenate([[0], self.ends])[of]
        return of, self.first[of] + numbers - before


@dataclass(frozen=True)
class Streamed:
    """Series on disk, the windows of each part, and the statistics of the training part.

    Columns are the features, then the targets that are not features.
    """

    config: DataConfig
    columns: Columns
    scaler: Scaler
    series: tuple[Stored, ...]
    windows: dict[str, Windows]
    warnings: tuple[str, ...]

    @property
    def rows(self) -> int:
        return sum(one.rows for one in self.series)

    def read(self, part: str, numbers: np.ndarray, lead: int = 0) -> np.ndarray:
        """Read windows of a part, standardised, with `lead` rows before each: (n, lead + window + horizon, C)."""
        length = self.config.window + self.config.horizon
        values = np.empty((len(numbers), lead + length, len(self.scaler.columns)))
        for at, (of, start) in enumerate(zip(*self.windows[part].places(numbers), strict=True)):
            values[at] = self.series[of].read(start - lead, start + length)
        flat = values.reshape(-1, len(self.scaler.columns))
        try:
            return self.scaler.standardise(flat).reshape(values.shape)
        except InputError as error:
            raise InputError(f"{self.config.csv}: {error}") from None

    def sample(self, dtype: Any) -> Dataset:
        """At most `eval_windows` evenly spaced windows of each part, concatenated as a dataset in memory."""
        config, blocks, starts, first_rows, rows, groups = self.config, [], {}, [], 0, list[str]()
        for part in self.windows:
            numbers = self.windows[part].spread(config.eval_windows)
            lead = max(config.season - config.window, 0)  # the rows that the seasonal-naive forecast needs
            if not len(numbers) or self.windows[part].places(numbers)[1].min() < lead:
                lead = 0
            length = lead + config.window + config.horizon
            begins = rows + np.arange(len(numbers)) * length
            first_rows.append(begins)
            starts[part] = (begins + lead).astype(np.int32)
            rows += len(numbers) * length
            groups += [self.series[of].group for of in self.windows[part].places(numbers)[0]]
            for one in np.split(numbers, range(256, len(numbers), 256)):
                blocks.append(self.read(part, one, lead).astype(dtype).reshape(-1, len(self.scaler.columns)))
        values = np.concatenate(blocks)
        at = {name: column for column, name in enumerate(self.scaler.columns)}
        return Dataset(
            config=config,
            columns=self.columns,
            calendar=None,
            scaler=self.scaler,
            inputs=values[:, [at[name] for name in self.columns.features]],
            targets=values[:, [at[name] for name in self.columns.target]],
            times=None,
            starts=starts,
            first_rows=np.concatenate(first_rows),
            groups=tuple(groups),
            rows=self.rows,
            absent_rows=0,
            missing_values={},
            dropped_windows=0,
            notes=(),
            warnings=self.warnings,
        )


def load_streamed(config: DataConfig, trained: Trained | None = None) -> Streamed:
    """Like `load_dataset`, with the rows left on disk. All rows are read once to fit the scaler, unless it is given.

    Raises:
        InputError: a file is faulty or has missing values, or a part has no window.
    """
    config = replace(config, season=config.season or SEASON, window=config.window or 2 * SEASON, statistics="shared")
    if trained is not None:
        config = replace(config, features=trained.columns.features, target=trained.columns.target)
    series = tuple(open_stored(config.csv, config.features, config.target))
    bounds = [bounds_of(one.rows, config, config.csv) for one in series]
    windows = {}
    for at, part in enumerate(parts_of(config)):
        spans = np.array([window_span(edges[at], edges[at + 1], config) for edges in bounds], np.int64)
        windows[part] = Windows(spans[:, 0], np.cumsum(spans[:, 1] - spans[:, 0]))
    longest = max(one.rows for one in series)
    require_windows({part: len(found) for part, found in windows.items()}, bounds, config, config.csv, longest)
    if len(windows["train"]) > MOST_WINDOWS:
        raise InputError(
            f"{config.csv}: at most {MOST_WINDOWS:,} training windows can be numbered; got {len(windows['train']):,}"
        )
    if trained is not None:
        return Streamed(config, trained.columns, trained.scaler, series, windows, ())
    scaler, warnings = fit_stored(series, [edges[1] for edges in bounds], config.csv)
    columns = series[0].columns
    features, target = split_names(config.features, columns) or columns, split_names(config.target, columns)
    return Streamed(config, Columns(features, target, features), scaler, series, windows, warnings)


def fit_stored(series: tuple[Stored, ...], ends: list[int], source: str) -> tuple[Scaler, tuple[str, ...]]:
    """Fit the scaler to the rows before `ends`, in one pass over all rows that also finds missing values.

    Partial sums of squares are combined as by Chan, Golub and LeVeque (https://doi.org/10.1080/00031305.1983.10483115).
    """
    columns = series[0].columns
    count, mean, squares = 0, np.zeros(len(columns)), np.zeros(len(columns))
    low, high = np.full(len(columns), np.inf), np.full(len(columns), -np.inf)
    step = max(CHUNK_NUMBERS // len(columns), 1)
    for one, end in zip(series, ends, strict=True):
        for start in range(0, one.rows, step):
            values = one.read(start, min(start + step, one.rows))[: max(end - start, 0)]
            if not len(values):
                continue
            low, high = np.minimum(low, values.min(axis=0)), np.maximum(high, values.max(axis=0))
            with np.errstate(over="ignore", invalid="ignore"):
                own = values.mean(axis=0)
                between, joined = own - mean, count + len(values)
                squares += ((values - own) ** 2).sum(axis=0) + between**2 * (count * len(values) / joined)
                mean, count = mean + between * (len(values) / joined), joined
    scale = np.ones(len(columns))
    warnings = []
    for at, name in enumerate(columns):
        deviation = np.sqrt(squares[at] / count)
        if not (np.isfinite(mean[at]) and np.isfinite(deviation)):
            raise too_large(name, max(abs(low[at]), abs(high[at])), source)
        if low[at] == high[at] or deviation == 0:
            warnings.append(constant(name))
            mean[at] = low[at]  # exactly
        else:
            scale[at] = deviation
    return Scaler(columns, mean, scale), tuple(warnings)


def last_rows(config: DataConfig, rows: int) -> list[Series]:
    """The last `rows` rows of each series, or all if there are fewer."""
    return [
        Series(one.group, one.columns, one.read(first, one.rows), None, first_row=first)
        for one in open_stored(config.csv, config.features, config.target)
        for first in [max(one.rows - rows, 0)]
    ]
