"""ETTh1 by the Informer protocol: 12, 4 and 4 months of 30 days, scaled by the first part; all test windows."""

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from benchmarks.accuracy.files import found
from benchmarks.accuracy.forecaster import Forecaster, best_linear, linear_forecasts
from benchmarks.accuracy.published import ETTH1, HORIZONS
from benchmarks.accuracy.row import OURS, Figures, Job, Row
from jax_lstm.data import DataConfig, Dataset, load_dataset
from jax_lstm.data.baselines import persistence
from jax_lstm.models.forecast_model import Layout
from jax_lstm.tasks.scores import score, truth_of
from jax_lstm.tasks.windows import make_forecast, windows
from jax_lstm.train.batches import shuffled
from jax_lstm.train.config import OptimConfig, TrainConfig
from jax_lstm.train.optimizer import make_optimizer
from jax_lstm.train.step import init_state, make_run_steps, make_step, mse

COLUMNS = ("HUFL", "HULL", "MUFL", "MULL", "LUFL", "LULL", "OT")
TABLES = {"univariate": ("OT",), "multivariate": COLUMNS}
SPLIT = "8640,2880,2880"
URL = "https://github.com/zhouhaoyi/ETDataset"


@dataclass(frozen=True)
class Forecasting:
    """One configuration for both tables and all horizons, chosen on the validation part."""

    horizons: tuple[int, ...] = HORIZONS
    window: int = 96
    hidden_size: int = 32
    dropout: float = 0.2
    learning_rate: float = 3e-3
    weight_decay: float = 0.01
    batch_size: int = 64
    epochs: int = 10  # the cosine schedule ends here
    patience: int = 3
    ridges: tuple[float, ...] = (1e-6, 1e-4, 1e-2, 1.0)  # of the linear model

    def train_config(self, seed: int) -> TrainConfig:
        optim = OptimConfig(
            "adamw", self.learning_rate, (f"weight_decay={self.weight_decay}",), "cosine", final_rate=0.01
        )
        return TrainConfig(
            optim=optim, batch_size=self.batch_size, epochs=self.epochs, patience=self.patience, seed=seed
        )


def csv_file() -> Path:
    """ETTh1.csv."""
    return found("ETTh1.csv", "ETTH1_CSV", f"{URL} (CC BY-ND 4.0)")


def load(table: str, horizon: int, window: int) -> Dataset:
    columns = TABLES[table]
    data = DataConfig(
        str(csv_file()), columns, columns, "date", window=window, horizon=horizon, split=SPLIT, calendar="off"
    )
    return load_dataset(data)


def jobs(setting: Forecasting, seeds: int) -> Iterator[Job]:
    for table in TABLES:
        for horizon in setting.horizons:
            for who in BASELINES:
                config = {"window": setting.window} | ({"ridges": list(setting.ridges)} if who == "linear" else {})
                run = partial(_baseline, table, horizon, who, setting, config)
                yield Job("etth1", table, horizon, who, None, config, run)
            config = {name: value for name, value in asdict(setting).items() if name not in ("horizons", "ridges")}
            for seed in range(seeds):
                run = partial(_lstm, table, horizon, seed, setting, config)
                yield Job("etth1", table, horizon, OURS, seed, config, run)


def _baseline(table: str, horizon: int, who: str, setting: Forecasting, config: dict[str, Any]) -> Row:
    began, dataset = time.monotonic(), load(table, horizon, setting.window)
    forecasts, further = BASELINES[who](dataset, setting)
    figures = {**_scores(dataset, "test", forecasts), **further}
    return _row(table, horizon, who, None, figures, config, time.monotonic() - began)


def _persistence(dataset: Dataset, setting: Forecasting) -> tuple[np.ndarray, Figures]:
    return persistence(dataset, dataset.starts["test"]), {}


def _linear(dataset: Dataset, setting: Forecasting) -> tuple[np.ndarray, Figures]:
    ridge, weights = best_linear(dataset, setting.ridges)
    return linear_forecasts(dataset, weights, dataset.starts["test"]), {"ridge": ridge}


BASELINES = {"persistence": _persistence, "linear": _linear}


def _lstm(table: str, horizon: int, seed: int, setting: Forecasting, config: dict[str, Any]) -> Row:
    began, dataset = time.monotonic(), load(table, horizon, setting.window)
    model: Any = Forecaster(dataset.input_size, horizon, setting.hidden_size, setting.dropout, seed)
    best, curve = fit(model, dataset, setting.train_config(seed))
    forecasts = make_forecast(model, layout_of(dataset))(best, jnp.asarray(dataset.inputs), dataset.starts["test"])
    figures = _scores(dataset, "test", forecasts)
    figures |= {"validation mse": min(curve["validation"]), "epochs": float(len(curve["epoch"]))}
    return _row(table, horizon, OURS, seed, figures, config, time.monotonic() - began, curve)


def fit(model: Any, dataset: Dataset, config: TrainConfig) -> tuple[Any, dict[str, list[float]]]:
    """Train with early stopping; returns the parameters with the least validation MSE, and the MSE of every epoch.

    The test part is not used.
    """
    steps = shuffled(dataset.starts["train"], config, 0).shape[:2]
    optimizer = make_optimizer(config.optim, config.epochs * steps[0] * steps[1], nnx.state(model, nnx.Param))
    layout = layout_of(dataset)
    run_steps = make_run_steps(make_step(model, optimizer, _loss), windows(layout))
    forecast, truth = make_forecast(model, layout), truth_of(dataset, "val")
    inputs, targets = jnp.asarray(dataset.inputs), jnp.asarray(dataset.targets)
    state = init_state(model, optimizer)
    best, curve = state.params, {"epoch": [], "train": [], "validation": []}
    for epoch in range(config.epochs):
        losses = []
        for starts in shuffled(dataset.starts["train"], config, epoch):
            state, metrics = run_steps(state, (inputs, targets), jnp.asarray(starts))
            losses.append(np.asarray(metrics["loss"]))
        forecasts = forecast(state.params, inputs, dataset.starts["val"])
        curve["epoch"].append(float(epoch + 1))
        curve["train"].append(float(np.mean(losses)))
        curve["validation"].append(float(np.mean((forecasts.astype(np.float64) - truth) ** 2)))
        at = int(np.argmin(curve["validation"]))
        if at == epoch:
            best = jax.tree.map(jnp.copy, state.params)  # the next call donates the state
        if epoch - at >= config.patience:
            break
    return best, curve


def layout_of(dataset: Dataset) -> Layout:
    return dataset.columns.layout(dataset.config.window, dataset.config.horizon)


def _loss(model: Any, batch: Any, carry: Any) -> tuple[jax.Array, Any]:
    """Mean squared error; no column is known ahead."""
    (x, _), y = batch
    return mse(model, (x, y), carry)


def _scores(dataset: Dataset, part: str, forecasts: np.ndarray) -> Figures:
    scores = score(forecasts, truth_of(dataset, part), dataset.scaler.pick(dataset.target))
    return {"mse": scores["mse"], "mae": scores["mae"], "windows": float(len(forecasts))}


def _row(
    table: str,
    horizon: int,
    who: str,
    seed: int | None,
    figures: Figures,
    config: dict[str, Any],
    seconds: float,
    curve: dict[str, list[float]] | None = None,
) -> Row:
    mse, mae = ETTH1[table][horizon]
    return Row(
        "etth1", table, horizon, who, seed, figures, seconds, config, {"mse": mse, "mae": mae}, curve=curve or {}
    )
