"""Forecasting: the rows that follow each window of a series."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jax_lstm.checks import listed, require
from jax_lstm.data import DataConfig, Dataset, Scaler, Trained, load_dataset
from jax_lstm.data.calendar import Calendar
from jax_lstm.data.ridge import Ridge, fit_ridge, margin
from jax_lstm.data.stored import streamable
from jax_lstm.export import Scaling
from jax_lstm.models.forecast_model import Layout
from jax_lstm.tasks.calibration import INTERVALS, few_windows, interval_scores, table
from jax_lstm.tasks.defaults import with_forecast_defaults
from jax_lstm.tasks.intervals import Bands, bands
from jax_lstm.tasks.models import columns_of, forecaster
from jax_lstm.tasks.run import Run
from jax_lstm.tasks.scores import baseline_forecasts, score, truth_of
from jax_lstm.tasks.windows import forecast_of, make_forecast, start_at, windows, with_share
from jax_lstm.train.batches import shuffled
from jax_lstm.train.config import TrainConfig, to_dict
from jax_lstm.train.step import LOSSES, pinball_loss
from jax_lstm.train.task import Arrays, Predict, Scores, Table, Task, Validate

SHARES = np.linspace(1, 0, 21)  # of the LSTM's part of a forecast
WITHIN = 1.645  # standard deviations that hold 90% of a normal distribution


@dataclass(frozen=True)
class Forecasting(Task):
    """Windows of a series and the rows after each; the loss is on the standardised scale."""

    config: TrainConfig
    dataset: Dataset

    make_model = forecaster

    def __post_init__(self) -> None:
        object.__setattr__(self, "config", with_forecast_defaults(self.config, self.dataset))

    @property
    def margin(self) -> float | None:
        """The forecast starts at ridge regression; few validation windows are weak evidence against it."""
        if self.config.model.network != "segments" or self.config.model.bypass == "none":
            return None
        return margin(self.dataset)

    @property
    def criterion(self) -> str:
        """MAE beside ridge regression, since by MSE a few odd windows, such as holidays, would decide."""
        return self.metric if self.margin is None or self.config.levels else "mae"

    @property
    def unit(self) -> str:
        return "windows"

    @property
    def arrays(self) -> Arrays:
        return self.dataset.inputs, self.dataset.targets

    @property
    def layout(self) -> Layout:
        return self.dataset.columns.layout(self.dataset.config.window, self.dataset.config.horizon)

    def build(self, config: TrainConfig) -> Any:
        """The model with the initial weights of `config.seed`. Its linear map is that of ridge regression, or zero with
        `bypass="average"`.

        Raises:
            InputError: there is no validation part to weigh ridge regression and the LSTM by.
        """
        model, bypass = super().build(config), self.config.model.bypass
        if bypass == "average":
            fix = "or give --split a validation part"
            require(self.size("val") > 0, "--bypass", "be ridge or none without a validation part", bypass, fix)
        if self.config.model.network == "segments" and bypass == "ridge":
            start_at(model, self.ridge, self.offsets)
        return model

    @cached_property
    def ridge(self) -> Ridge:
        """Ridge regression with the normalisation of the model."""
        how, best = self.config.model.normalise, self.dataset.ridge
        return best if how in ("auto", best.normalise) else fit_ridge(self.dataset, how)

    @cached_property
    def offsets(self) -> np.ndarray:
        """The quantiles of ridge regression's errors (horizon, Q) on the training part; zeros without quantiles."""
        levels = self.config.levels
        if not levels:
            return np.zeros((self.dataset.config.horizon, 1))
        return self.ridge.error_quantiles(self.dataset, levels)

    def describe(self) -> dict[str, Any]:
        data, scaler = self.dataset, self.dataset.scaler
        statistics: dict[str, Any] = {"columns": list(scaler.columns), **_moments(scaler)}
        if scaler.series:
            statistics["series"] = {name: _moments(scaler.of(name)) for name in data.used}
        calendar = None if data.calendar is None else asdict(data.calendar)
        lags = {"lags": self.ridge.lags} if self.config.model.network == "segments" else {}
        return {
            **to_dict(data.columns),
            "scaler": statistics,
            "calendar": calendar,
            "season": data.config.season,
            **lags,
        }

    @property
    def facts(self) -> list[tuple[str, str]]:
        data, config = self.dataset, self.dataset.config
        series = f" of {len(data.first_rows)} series" if len(data.first_rows) > 1 else ""
        windows = " / ".join(f"{self.size(part):,}" for part in ("train", "val", "test"))
        missing = ", ".join(f"{name} {count:,}" for name, count in data.missing_values.items())
        gaps = "none"
        if data.absent_rows or missing:
            gaps = (
                f"{data.absent_rows:,} rows absent; values missing: {missing or 'none'}; filled by the last value seen"
                f", never used as targets ({data.dropped_windows:,} windows left out)"
            )
        features = "1 feature" if data.input_size == 1 else f"{data.input_size} features"
        return [
            ("data", f"{config.csv or 'New York weather, 2013'}: {data.rows:,} rows{series}"),
            ("", f"{features} ({', '.join(data.features)}), target {', '.join(data.target)}"),
            ("", f"window {config.window}, horizon {config.horizon}; split {config.split}: {windows} windows"),
            ("gaps", gaps),
            *((("step", f"{data.calendar}; season of {config.season} rows"),) if data.calendar else ()),
            *(("", note) for note in data.notes),
        ]

    @property
    def warnings(self) -> Sequence[str]:
        return *self.dataset.warnings, *few_windows(self)

    def batches(self, config: TrainConfig, epoch: int, first: int = 0) -> Any:
        return shuffled(self.dataset.starts["train"], config, epoch)[first:]

    def gather(self, arrays: Arrays, rows: jax.Array) -> Any:
        return windows(self.layout)(arrays, rows)

    def outputs(self, model: Any, batch: Any, carry: Any) -> tuple[jax.Array, Any]:
        return forecast_of(model, *batch[0]), carry

    def cost(self, outputs: jax.Array, batch: Any) -> jax.Array:
        levels = self.config.levels
        return pinball_loss(outputs, batch[1], levels) if levels else LOSSES[self.config.loss](outputs, batch[1])

    def size(self, part: str) -> int:
        return len(self.dataset.starts[part])

    def make_predict(self, model: Any, part: str) -> Predict:
        """The forecasts for every window of a part, (n, horizon * C), or with quantiles (n, horizon * C * Q)."""
        forecast = make_forecast(model, self.layout)
        return lambda params, arrays: forecast(params, arrays[0], self.dataset.starts[part])

    def make_validate(self, model: Any) -> Validate:
        """Beside a linear map the LSTM's part is multiplied by the number from 0 to 1 with the least validation error,
        since part of what it learns is noise. With `bypass="average"` the map gets the rest.
        """
        if self.margin is None:
            return super().make_validate(model)
        levels = self.config.levels
        cost = partial(pinball_loss, levels=levels) if levels else LOSSES[self.criterion]
        average, start = self.config.model.bypass == "average", nnx.clone(model)
        if average:
            start_at(start, self.ridge, self.offsets)
        initial = nnx.state(start, nnx.Param)  # in which the LSTM adds nothing
        predict, linear = self.make_predict(model, "val"), None
        truth = jnp.asarray(truth_of(self.dataset, "val"))

        @jax.jit
        def losses(linear: jax.Array, forecasts: jax.Array) -> jax.Array:
            return jax.lax.map(lambda share: cost(linear + share * (forecasts - linear), truth), SHARES)

        def validate(params: nnx.State, arrays: Arrays) -> tuple[nnx.State, Scores]:
            nonlocal linear
            if linear is None:
                linear = predict(initial, arrays)
            forecasts = predict(params, arrays)
            found = np.nan_to_num(losses(linear, forecasts), nan=np.inf)  # a diverged model keeps its share
            learnt = any(np.any(leaf) for leaf in jax.tree.leaves(params["fc"]))  # training starts at zero
            share = float(SHARES[np.argmin(found)]) if learnt else 0.0
            if share < 1:
                params = with_share(params, share, initial if average else None)
                forecasts = predict(params, arrays)
            return params, self.score(forecasts, "val")

        return validate

    def combine(self, predictions: Sequence[np.ndarray]) -> np.ndarray:
        return np.asarray(predictions).mean(axis=0, dtype=np.float64)

    def score(self, predictions: np.ndarray, part: str) -> Scores:
        scaler = self.dataset.scaler_of(self.dataset.starts[part])
        return score(predictions, truth_of(self.dataset, part), scaler, self.config.loss, self.config.levels)

    @property
    def headings(self) -> dict[str, tuple[str, str]]:
        titles = {"mse": "MSE", "mae": "MAE", "huber": "Huber", "pinball": "pinball"}
        loss = "pinball" if self.config.levels else self.config.loss
        names = dict.fromkeys((loss, "mse", "mae"))  # the loss first
        found = {name: (f"{titles[name]}\nstandardised", ".4f") for name in names}
        for column in self.dataset.target:
            found |= {f"{name} {column}": (f"{name.upper()}\n{column}", ".4g") for name in ("mse", "mae")}
        return found

    def baselines(self, part: str) -> dict[str, Scores]:
        return {name: self.score(values, part) for name, values in baseline_forecasts(self.dataset, part).items()}


def agreement(members: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """The interval that holds 90% of such models, assumed normal; None for a single one.

    It reflects how members differ, not the noise of the data.
    """
    if len(members) < 2:
        return None
    mean, around = members.mean(axis=0), WITHIN * members.std(axis=0, ddof=1)
    return mean - around, mean + around


def load(config: TrainConfig, about: dict[str, Any] | None = None, data: Any = None) -> Forecasting:
    trained = None if about is None else trained_on(about)
    dataset = load_dataset(config.data, np.dtype(config.dtype), trained, data)
    return Forecasting(config, dataset)


def trained_on(about: dict[str, Any]) -> Trained:
    """What `Forecasting.about` says of the data."""
    calendar, statistics = about.get("calendar"), about["scaler"]
    columns = tuple(statistics["columns"])

    def scaler(of: dict[str, Any], **series: Any) -> Scaler:
        return Scaler(columns, np.array(of["mean"]), np.array(of["scale"]), **series)

    series = {name: scaler(of) for name, of in statistics.get("series", {}).items()}
    calendar = None if calendar is None else Calendar(**calendar)
    return Trained(columns_of(about), calendar, scaler(statistics, series=series))


def _moments(scaler: Scaler) -> dict[str, list[float]]:
    return {"mean": scaler.mean.tolist(), "scale": scaler.scale.tolist()}


class ForecastRun(Run):
    """A run that forecasts series."""

    make_model = forecaster

    @cached_property
    def trained(self) -> Trained:
        return trained_on(self.about)

    @property
    def features(self) -> tuple[str, ...]:
        return self.trained.columns.features

    @property
    def target(self) -> tuple[str, ...]:
        return self.trained.columns.target

    @property
    def scaler(self) -> Scaler:
        return self.trained.scaler

    @property
    def layout(self) -> Layout:
        return self.trained.columns.layout(self.config.data.window, self.config.data.horizon)

    def of_series(self, name: str) -> "ForecastRun":
        """The run with the statistics of one series alone; that of shared ones as it is, without a name.

        Raises:
            InputError: the run does not keep statistics of such a series.
        """
        known = self.scaler.series
        require(bool(known) or not name, "--series", "be left out for a run with shared statistics", repr(name))
        if not known:
            return self
        expected = f"name a series of training, whose mean and standard deviation are used: {listed([*known], 10)}"
        require(name in known, "--series", expected, repr(name), "or train with --statistics shared")
        statistics = {"columns": list(self.scaler.columns), **_moments(self.scaler.of(name))}
        return replace(self, about={**self.about, "scaler": statistics, "series": name})

    def data_config(self, path: str = "") -> DataConfig:
        """The data of the run, or from `path` what the model reads; streamed if that file can be."""
        data, columns = self.config.data, self.trained.columns
        path = path or data.csv
        stream = data.stream and streamable(path)
        own = {"features": columns.read, "target": columns.target, "ignore": (), "past": ()}
        return replace(data, csv=path, **own, stream=stream, epoch_windows=data.epoch_windows if stream else 0)

    @property
    def facts(self) -> dict[str, Any]:
        data = self.config.data
        known = [self.features[at] for at in self.layout.known]
        own = {"known": known, "window": data.window, "horizon": data.horizon, "quantiles": list(self.config.levels)}
        return {**super().facts, **own}

    @property
    def export_options(self) -> dict[str, Any]:
        features, target = self.scaler.pick(self.features), self.scaler.pick(self.target)
        ahead = (np.tile(each, self.config.data.horizon) for each in (target.mean, target.scale))
        return {"standardise": Scaling(features.mean, features.scale), "restore": Scaling(*ahead)}

    @property
    def outputs(self) -> int:
        """The numbers that a forecast has, without quantiles: horizon * C."""
        return self.config.data.horizon * len(self.target)

    @cached_property
    def margins(self) -> np.ndarray | None:
        """Those of the calibrated interval (outputs,), if there is one."""
        path = self.directory / INTERVALS
        if not (self.config.data.interval and path.exists()):
            return None
        return np.array(json.loads(path.read_text(encoding="utf-8"))["margins"])

    def further(self, task: Any, predictions: np.ndarray, part: str) -> Table | None:
        return table(self, interval_scores(self, task, predictions, part), part)

    def bands(self, forecasts: np.ndarray) -> Bands:
        """Quantiles and ends of the interval, standardised, by level, of forecasts (..., outputs * Q)."""
        return bands(forecasts, self.outputs, self.config.levels, self.config.data.interval, self.margins)

    def forecast(self, inputs: Any, starts: Any) -> np.ndarray:
        """Forecasts (n, horizon * C) from the windows of `inputs` (N, F) at `starts` (n,); all standardised.

        An ensemble forecasts the mean of its members' forecasts.
        """
        return self.forecasts(inputs, starts).mean(axis=0, dtype=np.float64)

    def forecasts(self, inputs: Any, starts: Any) -> np.ndarray:
        """The forecasts of each member, (M, n, horizon * C)."""
        forecast, inputs = make_forecast(self.build(), self.layout), jnp.asarray(inputs)
        return np.stack([forecast(weights, inputs, starts) for weights in self.all_weights()])
