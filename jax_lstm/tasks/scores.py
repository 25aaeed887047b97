"""Scores of forecasts: MSE, MAE and Huber, on the standardised and on the original scale."""

from collections.abc import Sequence

import numpy as np

from jax_lstm.data import Dataset, Scaler, target_windows
from jax_lstm.data.baselines import BASELINES

Scores = dict[str, float]


def score(
    forecasts: np.ndarray, truth: np.ndarray, scaler: Scaler, loss: str = "mse", levels: Sequence[float] = ()
) -> Scores:
    """Scores of standardised forecasts (n, horizon * C), or of quantiles at `levels` (n, horizon * C * Q).

    The forecast is the median of the quantiles, which have a `pinball` loss. `mse` and `mae`, and `huber` (delta 1) if
    that is the loss, are on the standardised scale; `mse COLUMN` and `mae COLUMN`, for each of C columns, on its own
    scale (units squared, units): that of `scaler`, shared or of each window.
    """
    pinball = {"pinball": pinball_of(forecasts, truth, levels)} if levels else {}
    forecasts = median(forecasts, truth.shape[1], levels)
    errors = (forecasts.astype(np.float64) - truth).reshape(len(truth), -1, len(scaler.columns))
    sizes = np.abs(errors)
    scores = {"mse": float(np.mean(errors**2)), "mae": float(np.mean(sizes))}
    if loss == "huber":
        scores["huber"] = float(np.mean(np.where(sizes < 1, errors**2 / 2, sizes - 0.5)))
    for at, name in enumerate(scaler.columns):
        column = errors[..., at] * scaler.scale[..., at, None]
        scores[f"mse {name}"], scores[f"mae {name}"] = float(np.mean(column**2)), float(np.mean(np.abs(column)))
    return pinball | scores


def median(forecasts: np.ndarray, outputs: int, levels: Sequence[float]) -> np.ndarray:
    """The median (..., outputs) of quantiles (..., outputs * Q); forecasts without quantiles as they are."""
    if forecasts.shape[-1] == outputs:
        return forecasts
    return forecasts.reshape(*forecasts.shape[:-1], outputs, len(levels))[..., list(levels).index(0.5)]


def pinball_of(forecasts: np.ndarray, truth: np.ndarray, levels: Sequence[float]) -> float:
    """Twice the mean pinball loss; a forecast without quantiles stands for all of them."""
    errors = truth[..., None] - forecasts.astype(np.float64).reshape(*truth.shape, -1)
    tau = np.asarray(levels)
    return 2 * float(np.mean(np.maximum(tau * errors, (tau - 1) * errors)))


def truth_of(dataset: Dataset, part: str) -> np.ndarray:
    """The standardised targets of every window of a part, (n, horizon * C)."""
    return target_windows(dataset.targets, dataset.starts[part], dataset.config.window, dataset.config.horizon)


def baseline_forecasts(dataset: Dataset, part: str) -> dict[str, np.ndarray]:
    """Forecasts of each baseline that this data allows, for every window of a part, (n, horizon * C)."""
    forecasts = {name: forecast(dataset, dataset.starts[part]) for name, forecast in BASELINES.items()}
    return {name: values for name, values in forecasts.items() if values is not None}
