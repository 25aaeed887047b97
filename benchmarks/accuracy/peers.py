"""Forecasters of other projects on the windows of ours, trained until validation no longer improves.

Each gets the same standardised rows, without other columns, and forecasts (n, horizon, C) what follows the rows
`present` (n,). It reads three horizons, which is the default of neuralforecast's recurrent models, and trains by MSE;
the rest are its defaults.
"""

import logging
import warnings
from typing import Any

import numpy as np

from jax_lstm.checks import require_extra
from jax_lstm.data.dataset import Dataset
from jax_lstm.data.split import bounds_of

READ = 3  # horizons
PATIENCE = 10  # checks of validation without a lower loss, each after an epoch or STEPS_A_CHECK, whichever is longer
STEPS_A_CHECK = 100  # neuralforecast's default
STEPS, EPOCHS = 5000, 200  # at most, whichever is longer
BATCH = 32  # Darts' default
TRAINER: dict[str, Any] = {
    "accelerator": "cpu", "logger": False, "enable_progress_bar": False, "enable_model_summary": False,
}  # fmt: skip


def errors(who: str, data: Dataset, seed: int) -> dict[str, float]:
    """MSE and MAE of the windows of the test part, standardised."""
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    present = data.starts["test"] + data.config.window - 1
    package, _, kind = who.partition(" ")
    forecast = {"neuralforecast": _neuralforecast, "Darts": _darts}[package]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        forecasts = forecast(kind, data, seed, present)
    ahead = present[:, None] + 1 + np.arange(data.config.horizon)
    error = forecasts.astype(np.float64) - data.targets[ahead]
    return {"mse": float(np.square(error).mean()), "mae": float(np.abs(error).mean())}


def _neuralforecast(kind: str, data: Dataset, seed: int, present: np.ndarray) -> np.ndarray:
    import pandas as pd

    library, models, losses = (
        require_extra(name, "peers", f"neuralforecast's {kind}")
        for name in ("neuralforecast", "neuralforecast.models", "neuralforecast.losses.pytorch")
    )
    (rows, columns), horizon = data.targets.shape, data.config.horizon
    _, train_end, test_begin, _ = bounds_of(rows, data.config, "")
    model = getattr(models, kind)(
        h=horizon, input_size=READ * horizon, loss=losses.MSE(), max_steps=STEPS, early_stop_patience_steps=PATIENCE,
        val_check_steps=STEPS_A_CHECK, random_seed=seed, alias="forecast", enable_checkpointing=False, **TRAINER,
    )  # fmt: skip
    columns_of, rows_of = np.divmod(np.arange(rows * columns), rows)
    frame = pd.DataFrame({"unique_id": columns_of, "ds": rows_of, "y": data.targets.T.ravel()})
    made = library.NeuralForecast(models=[model], freq=1).cross_validation(
        frame, n_windows=None, step_size=1, val_size=test_begin - train_end, test_size=rows - test_begin
    )
    ordered = made.sort_values(["cutoff", "ds", "unique_id"])["forecast"].to_numpy().reshape(-1, horizon, columns)
    return ordered[np.searchsorted(np.unique(made["cutoff"]), present)]


def _darts(kind: str, data: Dataset, seed: int, present: np.ndarray) -> np.ndarray:
    library, models, callbacks = (
        require_extra(name, "peers", f"Darts' {kind}")
        for name in ("darts", "darts.models", "pytorch_lightning.callbacks")
    )
    horizon = data.config.horizon
    _, train_end, test_begin, _ = bounds_of(len(data.targets), data.config, "")
    steps = -(-(train_end - (READ + 1) * horizon + 1) // BATCH)  # of an epoch
    stopping = callbacks.EarlyStopping("val_loss", patience=PATIENCE * max(1, STEPS_A_CHECK // steps))
    model = getattr(models, f"{kind}Model")(
        READ * horizon, horizon, model="LSTM", random_state=seed, batch_size=BATCH,
        n_epochs=max(EPOCHS, STEPS // steps), pl_trainer_kwargs={**TRAINER, "callbacks": [stopping]},
    )  # fmt: skip
    series = library.TimeSeries.from_values(data.targets)
    model.fit(series[:train_end], val_series=series[train_end - READ * horizon : test_begin])
    made = model.historical_forecasts(
        series, start=test_begin, start_format="position", forecast_horizon=horizon, retrain=False,
        last_points_only=False,
    )  # fmt: skip
    return np.stack([one.values() for one in made])[present + 1 - test_begin]
