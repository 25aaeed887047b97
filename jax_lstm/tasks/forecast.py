"""`--task forecast`: the rows that follow a window of a series."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jax_lstm.data import DataConfig, Dataset, Scaler, input_windows, load_dataset, target_windows
from jax_lstm.export import Scaling
from jax_lstm.models import LSTMModel
from jax_lstm.tasks.run import Run
from jax_lstm.tasks.scores import baseline_forecasts, score, truth_of
from jax_lstm.train.batches import shuffled
from jax_lstm.train.config import TrainConfig
from jax_lstm.train.step import mean_squared_error
from jax_lstm.train.task import Arrays, Predict, Scores, Task

WITHIN = 1.645  # standard deviations: nine tenths of a normal distribution
Forecast = Callable[[nnx.State, jax.Array, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Forecasting(Task):
    """Windows of a series, and the rows after each, with their mean squared error on the standardised scale."""

    config: TrainConfig
    dataset: Dataset

    @property
    def metric(self) -> str:
        return "mse"

    @property
    def unit(self) -> str:
        return "windows"

    @property
    def arrays(self) -> Arrays:
        return self.dataset.inputs, self.dataset.targets

    @property
    def about(self) -> dict[str, Any]:
        data, scaler = self.dataset, self.dataset.scaler
        statistics = {"columns": list(scaler.columns), "mean": scaler.mean.tolist(), "scale": scaler.scale.tolist()}
        step = None if data.times is None else (data.times[1] - data.times[0]) / np.timedelta64(1, "s")
        return {"features": list(data.features), "target": list(data.target), "scaler": statistics, "step": step}

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
        ]

    @property
    def warnings(self) -> Sequence[str]:
        return self.dataset.warnings

    def build(self, config: TrainConfig) -> LSTMModel:
        return build(config, self.dataset.input_size, self.dataset.output_size)

    def batches(self, config: TrainConfig, epoch: int, first: int = 0) -> Any:
        return shuffled(self.dataset.starts["train"], config, epoch)[first:]

    def gather(self, arrays: Arrays, rows: jax.Array) -> tuple[jax.Array, jax.Array]:
        return windows(self.dataset.config.window, self.dataset.config.horizon)(arrays, rows)

    def outputs(self, model: Any, batch: Any, carry: Any) -> tuple[jax.Array, Any]:
        return model(batch[0]), carry

    def cost(self, outputs: jax.Array, batch: Any) -> jax.Array:
        return mean_squared_error(outputs, batch[1])

    def size(self, part: str) -> int:
        return len(self.dataset.starts[part])

    def make_predict(self, model: LSTMModel, part: str) -> Predict:
        """The forecasts for every window of a part, (n, horizon * C), standardised."""
        forecast = make_forecast(model, self.dataset.config.window)
        return lambda params, arrays: forecast(params, arrays[0], self.dataset.starts[part])

    def combine(self, predictions: Sequence[np.ndarray]) -> np.ndarray:
        return np.asarray(predictions).mean(axis=0, dtype=np.float64)

    def score(self, predictions: np.ndarray, part: str) -> Scores:
        return score(predictions, truth_of(self.dataset, part), self.dataset.scaler.pick(self.dataset.target))

    @property
    def headings(self) -> dict[str, tuple[str, str]]:
        found = {name: (f"{name.upper()}\nstandardised", ".4f") for name in ("mse", "mae")}
        for column in self.dataset.target:
            found |= {f"{name} {column}": (f"{name.upper()}\n{column}", ".4g") for name in ("mse", "mae")}
        return found

    def baselines(self, part: str) -> dict[str, Scores]:
        return {name: self.score(values, part) for name, values in baseline_forecasts(self.dataset, part).items()}


def build(config: TrainConfig, input_size: int, output_size: int) -> LSTMModel:
    """The model with the initial weights that `config.seed` draws."""
    sizes = (input_size, config.model.hidden_size, output_size, config.model.num_layers)
    return LSTMModel(
        *sizes,
        dropout=config.model.dropout,
        dtype=config.compute_dtype,
        param_dtype=config.dtype,
        rngs=nnx.Rngs(config.seed),
    )


def windows(window: int, horizon: int) -> Callable[[Arrays, jax.Array], tuple[jax.Array, jax.Array]]:
    """What `make_run_steps` gathers of `inputs` (N, F) and `targets` (N, C): windows that begin at `starts` (B,)."""

    def gather(arrays: Arrays, starts: jax.Array) -> tuple[jax.Array, jax.Array]:
        inputs, targets = arrays
        return input_windows(inputs, starts, window), target_windows(targets, starts, window, horizon)

    return gather


def make_forecast(model: Any, window: int, batch_size: int = 512) -> Forecast:
    """Forecasts from windows: `(params, inputs, starts) -> (n, O)`; one program whatever the number of windows."""
    model.eval()
    graph, _, rest = nnx.split(model, nnx.Param, ...)

    @jax.jit
    def forecast_batch(params: nnx.State, inputs: jax.Array, starts: jax.Array) -> jax.Array:
        return nnx.merge(graph, params, rest)(input_windows(inputs, starts, window))

    def forecast(params: nnx.State, inputs: jax.Array, starts: np.ndarray) -> np.ndarray:
        batches = max(-(-len(starts) // batch_size), 1)
        padded = np.pad(starts, (0, batches * batch_size - len(starts))).reshape(batches, batch_size)
        return np.concatenate([forecast_batch(params, inputs, batch) for batch in padded])[: len(starts)]

    return forecast


def interval(members: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Where nine in ten such members lie, around their mean; None of one alone. The noise of the data is not in it."""
    if len(members) < 2:
        return None
    mean, around = members.mean(axis=0), WITHIN * members.std(axis=0, ddof=1)
    return mean - around, mean + around


def load(config: TrainConfig, about: dict[str, Any] | None = None) -> Forecasting:
    data, scaler = as_trained(config.data, about)
    return Forecasting(config, load_dataset(data, np.dtype(config.dtype), scaler))


def as_trained(data: DataConfig, about: dict[str, Any] | None) -> tuple[DataConfig, Scaler | None]:
    """What to read, and the statistics: of a trained model its own columns, in its order, whatever the file's is."""
    if about is None:
        return data, None
    return replace(data, features=tuple(about["features"]), target=tuple(about["target"])), scaler_of(about)


def scaler_of(about: dict[str, Any]) -> Scaler:
    """The scaler that `Forecasting.about` tells of."""
    statistics = about["scaler"]
    return Scaler(tuple(statistics["columns"]), np.array(statistics["mean"]), np.array(statistics["scale"]))


class ForecastRun(Run):
    """A run of `--task forecast`."""

    @property
    def features(self) -> tuple[str, ...]:
        return tuple(self.about["features"])

    @property
    def target(self) -> tuple[str, ...]:
        return tuple(self.about["target"])

    @property
    def scaler(self) -> Scaler:
        return scaler_of(self.about)

    @property
    def facts(self) -> dict[str, Any]:
        return {**super().facts, "window": self.config.data.window, "horizon": self.config.data.horizon}

    @property
    def export_options(self) -> dict[str, Any]:
        features, target = self.scaler.pick(self.features), self.scaler.pick(self.target)
        ahead = (np.tile(each, self.config.data.horizon) for each in (target.mean, target.scale))
        return {"standardise": Scaling(features.mean, features.scale), "restore": Scaling(*ahead)}

    def build(self) -> LSTMModel:
        return build(self.config, len(self.features), self.config.data.horizon * len(self.target))

    def forecast(self, inputs: Any, starts: Any) -> np.ndarray:
        """Forecasts (n, horizon * C) from the windows of `inputs` (N, F) at `starts` (n,); all standardised.

        Of an ensemble they are the mean of its members'.
        """
        return self.forecasts(inputs, starts).mean(axis=0, dtype=np.float64)

    def forecasts(self, inputs: Any, starts: Any) -> np.ndarray:
        """The same of each member, (M, n, horizon * C)."""
        forecast, inputs = make_forecast(self.build(), self.config.data.window), jnp.asarray(inputs)
        return np.stack([forecast(weights, inputs, starts) for weights in self.all_weights()])
