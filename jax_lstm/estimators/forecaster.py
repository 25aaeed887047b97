"""Forecasts of series in DataFrames."""

import warnings
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from jax_lstm.checks import InputError, require_size
from jax_lstm.data import DataConfig
from jax_lstm.data.dataset import Read, read_series
from jax_lstm.data.frames import Frame, of_dataframe
from jax_lstm.estimators.base import Estimator, PathLike
from jax_lstm.estimators.names import python_names
from jax_lstm.tasks import open_run
from jax_lstm.tasks.ahead import Ahead, as_frame, forecast_ahead
from jax_lstm.tasks.forecast import Forecasting, load
from jax_lstm.train.config import TrainConfig

GIVEN = "data.csv"  # in the run directory: the DataFrame given to fit
# Parameters that may be one name.
NAMES = ("target", "features", "past", "future", "static", "ignore", "categories", "missing")
UNKNOWN = "all columns"  # as target, until the data is given


@dataclass(frozen=True)
class Backtest:
    """Forecasts from several origins, and their scores; `Forecaster.backtest` returns it.

    Attributes:
        forecasts: a pandas DataFrame with a row for each fold, series, step and target: fold, series, step, time (or
            row), target, forecast and actual.
        scores: a pandas DataFrame with the mean squared and the mean absolute error, `mse` and `mae`, of each fold,
            step and target, in the units of the target.
    """

    forecasts: Any
    scores: Any


class Forecaster(Estimator):
    """Forecast the rows after the last one of one or many series.

    Series come in a pandas DataFrame, or one of polars, with a row per time step: wide, with a column for each
    quantity; or long, with `group` naming the column that tells series apart. Timestamps are in the index or in the
    column `time`; without them rows count as consecutive.

    Parameters are keywords, the options of `jax-lstm train` with `_` for `-`, as
    `target="load", horizon=24, window=168, epochs=20, seeds="0:5"`. The signature lists all with their defaults, and
    `jax-lstm train --help` explains them. Without `target` all columns are forecast.

    Raises:
        InputError: there is no such parameter, or its value cannot be used.

    Example:
        >>> import numpy as np
        >>> import pandas as pd
        >>> import jax_lstm as jl
        >>> hours = pd.date_range("2024-01-01", periods=240, freq="h")
        >>> data = pd.DataFrame({"load": np.sin(np.arange(240) * np.pi / 12)}, index=hours)
        >>> model = jl.Forecaster(target="load", window=24, horizon=6, hidden_size=4, epochs=1).fit(data)
        >>> model.predict().shape  # the 6 hours after the data
        (6, 1)
        >>> result = model.backtest(data, folds=2)
        >>> result.forecasts.shape, result.scores.columns.tolist()
        ((12, 7), ['fold', 'step', 'target', 'mse', 'mae'])
    """

    task = "forecast"
    left_out = (
        *("csv", "stream", "epoch_windows", "eval_windows"),
        *("separator", "decimal", "thousands", "encoding", "skip_lines"),
    )

    def fit(self, data: Any, *, directory: PathLike | None = None) -> Self:
        """Train on `data`, in a run directory that the commands can read too.

        The last parts of each series are kept for validation and testing, as the parameter `split` says.

        Args:
            data: a DataFrame of pandas or polars, with a row per time step.
            directory: the run directory, new or empty; None for a temporary one.

        Returns:
            The estimator itself.

        Raises:
            InputError: the data cannot be used.
        """
        with python_names():
            frame = of_dataframe(data, "data")

        def task(config: TrainConfig) -> Forecasting:
            return load(replace(config, data=_chosen(config.data, frame)), data=frame.data)

        self._fit(task, directory)
        frame.data.to_csv(self.directory / GIVEN, index=False)
        self._run = open_run(self.directory)  # whose data this file is
        return self

    @python_names()
    def predict(self, data: Any = None) -> Any:
        """Forecast the `horizon` rows after the last one of each series.

        The weights stay those of the training part: `data` is read only as the window before the forecast, and nothing
        is trained on it.

        A model with columns known in advance, `future`, finds them in the rows after the last target, and forecasts
        these rows.

        Args:
            data: a DataFrame with the columns of training and a window of rows at least; None for the training data.

        Returns:
            A pandas DataFrame with a column for each target. That of one series has the time as its index; that of
            several has columns for series and time. `quantiles` and `interval` add columns, as "y_05" and "y_95" to
            "y". With several seeds two more columns a target bound 90% of models with other seeds, not of what may
            happen.

        Raises:
            InputError: the data does not fit the model, or has too few rows for a window.
        """
        run, frame = self.run, None if data is None else of_dataframe(data, "data")
        time = run.config.data.time
        if frame is not None and frame.time and time not in frame.names:
            frame = replace(frame, data=frame.data.rename(columns={frame.time: time}))
        ahead = forecast_ahead(run, run.data_config(), None if frame is None else frame.data)
        _warn(ahead.warnings)
        found = as_frame(ahead)
        return found.set_index(time) if time and len(ahead.series) == 1 else found

    @python_names()
    def backtest(self, data: Any, folds: int = 5, refit: bool = False) -> Backtest:
        """Forecast the last `folds` horizons of each series of `data`, each from the rows before it alone.

        A model is trained on the rows before the first fold, or with `refit` for each fold on those before it; this
        estimator stays as it is.

        As in `predict`, a forecast begins after the last known target: where targets are missing before a fold, it
        begins earlier.

        Args:
            data: as for `fit`.
            folds: the number of horizons.
            refit: whether to train a model for each fold.

        Returns:
            A `Backtest` with two DataFrames, `forecasts` and `scores`.

        Raises:
            InputError: the series are too short.
        """
        import pandas as pd

        require_size("folds", folds)
        frame = of_dataframe(data, "data")
        config = _chosen(self._config(self.get_params()).data, frame)
        read = read_series(config, data=frame.data)
        model, parts = self, []
        for fold in range(folds):
            held = config.horizon * (folds - fold)
            rows = _rows_before(read, held)
            if not len(rows):
                raise InputError(f"`folds` must leave rows to train on; got {folds} folds of {config.horizon} rows")
            before = frame.data.iloc[rows]
            if refit or not fold:
                chosen = {"time": config.time, "target": config.target, "time_zone": read.tables[0].zone.name}
                model = type(self)(**self.get_params() | chosen).fit(before)
            if read.columns.future:  # known in the rows of the fold too, where the targets are not
                kept = _rows_before(read, held - config.horizon)
                before = frame.data.iloc[kept].copy()
                before.loc[~np.isin(kept, rows), list(read.columns.target)] = np.nan
            parts.append(_of_fold(forecast_ahead(model.run, model.run.data_config(), before), read, fold + 1))
        forecasts: Any = pd.concat(parts, ignore_index=True)
        error = forecasts["forecast"] - forecasts["actual"]
        keys = ["fold", "step", "target"]
        scores = forecasts[keys].assign(mse=error**2, mae=error.abs()).groupby(keys, as_index=False, sort=False).mean()
        return Backtest(forecasts, scores)

    @python_names()
    def _config(self, params: dict[str, Any]) -> TrainConfig:
        """Names may be one text; the target is known when the data is, see `_chosen`."""
        values = dict(params)
        for name in NAMES:
            values[name] = [values[name]] if isinstance(values[name], str) else values[name]
        return super()._config({**values, "csv": GIVEN, "target": values["target"] or [UNKNOWN]})


def _chosen(config: DataConfig, frame: Frame) -> DataConfig:
    """The time column if it was the index, and all columns as targets if none is named."""
    if not config.time:
        config = replace(config, time=frame.time)
    if config.target == (UNKNOWN,):
        others = (*config.past, *config.future, *config.static, *config.categories)
        apart = (config.time, config.group, *config.ignore, *others)
        config = replace(config, target=tuple(name for name in frame.names if name not in apart))
    return config


def _rows_before(read: Read, held: int) -> np.ndarray:
    """The rows of a frame, in order, without the last `held` grid rows of each series."""
    kept = []
    for table, one in zip(read.tables, read.series, strict=True):
        end = max(len(one.values) - held, 0)
        if table.times is None or one.times is None or not held:
            kept.append(table.rows[:end])
        else:
            kept.append(table.rows[table.times < one.times[end]])
    return np.sort(np.concatenate(kept))


def _of_fold(ahead: Ahead, read: Read, fold: int) -> Any:
    """The forecasts and the actual values of a fold: a row for each series, step and target."""
    import pandas as pd

    whole, target, parts = {one.group: one for one in read.series}, read.columns.target, []
    for one, members in zip(ahead.series, ahead.forecasts, strict=True):
        known, count = whole[one.group], members.shape[1]
        actual = known.values[:, [known.columns.index(name) for name in target]]
        actual = np.concatenate([actual, np.full((count, len(target)), np.nan)])[len(one.values) :][:count]
        forecast, stamps = members.mean(axis=0), one.stamps(one.ahead(count))
        parts += [
            pd.DataFrame({
                "fold": fold, "series": one.group, "step": np.arange(count) + 1, ahead.time: stamps, "target": name,
                "forecast": forecast[:, at], "actual": actual[:, at],
            })
            for at, name in enumerate(target)
        ]  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def _warn(messages: Any) -> None:
    for message in messages:
        warnings.warn(message, UserWarning, stacklevel=4)
