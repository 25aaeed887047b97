"""How good forecasts are: MSE and MAE, on the standardised and on the original scale."""

import numpy as np

from jax_lstm.data import Dataset, Scaler, target_windows
from jax_lstm.data.baselines import BASELINES

Scores = dict[str, float]


def score(forecasts: np.ndarray, truth: np.ndarray, scaler: Scaler) -> Scores:
    """`mse` and `mae` of standardised (n, horizon * C) forecasts; and for each of C columns, on its own scale,
    `mse COLUMN` (units squared) and `mae COLUMN` (units).
    """
    errors = (forecasts.astype(np.float64) - truth).reshape(len(truth), -1, len(scaler.columns))
    scores = {"mse": float(np.mean(errors**2)), "mae": float(np.mean(np.abs(errors)))}
    for at, name in enumerate(scaler.columns):
        of_column = errors[..., at] * scaler.scale[at]
        scores[f"mse {name}"], scores[f"mae {name}"] = float(np.mean(of_column**2)), float(np.mean(np.abs(of_column)))
    return scores


def truth_of(dataset: Dataset, part: str) -> np.ndarray:
    """The standardised targets of every window of a part, (n, horizon * C)."""
    return target_windows(dataset.targets, dataset.starts[part], dataset.config.window, dataset.config.horizon)


def baseline_forecasts(dataset: Dataset, part: str) -> dict[str, np.ndarray]:
    """What each baseline that can serve this data forecasts for every window of a part, (n, horizon * C)."""
    forecasts = {name: forecast(dataset, dataset.starts[part]) for name, forecast in BASELINES.items()}
    return {name: values for name, values in forecasts.items() if values is not None}
