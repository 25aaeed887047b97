"""An LSTM that forecasts many steps at once, and a linear model to compare it with."""

from collections.abc import Sequence

import jax
import numpy as np
from flax import nnx

import jax_lstm as jl
from jax_lstm.data import Dataset, input_windows, target_windows


class Forecaster(nnx.Module):
    """`jl.LSTMModel` on windows (B, W, C) minus their means; forecasts (B, horizon * C), with the means added.

    The mean of a window, by column, removes the drift of a series since training (as RevIN does, Kim et al. 2022,
    https://openreview.net/forum?id=cGDAkQo1C0p, which also scales and has parameters). The head forecasts all steps at
    once, from the last output of the LSTM, with dropout.
    """

    def __init__(self, columns: int, horizon: int, hidden_size: int, dropout: float, seed: int):
        rngs = nnx.Rngs(seed)
        self.model = jl.LSTMModel(columns, hidden_size, horizon * columns, rngs=rngs)
        self.dropout = nnx.Dropout(dropout, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        level = x.mean(axis=1, keepdims=True)
        ys, _ = self.model.lstm(x - level)
        steps = self.model.fc(self.dropout(ys[:, -1])).reshape(x.shape[0], -1, x.shape[2])
        return (steps + level).reshape(x.shape[0], -1)


def fit_linear(dataset: Dataset, ridges: Sequence[float]) -> dict[float, np.ndarray]:
    """For each penalty, the weights (C, W + 1, horizon) of a linear map from window to horizon, by column.

    The window's last value is subtracted from both, as in NLinear (Zeng et al. 2023,
    https://arxiv.org/abs/2205.13504); the weights solve the normal equations. A penalty is per training window.
    """
    x, y = _pairs(dataset, dataset.starts["train"])
    gram, moment = x.transpose(0, 2, 1) @ x, x.transpose(0, 2, 1) @ y
    penalty = x.shape[1] * np.eye(x.shape[2])
    return {ridge: np.linalg.solve(gram + ridge * penalty, moment) for ridge in ridges}


def linear_forecasts(dataset: Dataset, weights: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """(n, horizon * C), standardised."""
    x, _ = _pairs(dataset, starts)
    last = dataset.inputs[starts + dataset.config.window - 1]
    return ((x @ weights).transpose(1, 2, 0) + last[:, None]).reshape(len(starts), -1)


def best_linear(dataset: Dataset, ridges: Sequence[float]) -> tuple[float, np.ndarray]:
    """The ridge with the least squared error on the validation part, and its weights."""
    starts = dataset.starts["val"]
    truth = target_windows(dataset.targets, starts, dataset.config.window, dataset.config.horizon)
    return min(
        fit_linear(dataset, ridges).items(),
        key=lambda fit: float(np.mean((linear_forecasts(dataset, fit[1], starts) - truth) ** 2)),
    )


def _pairs(dataset: Dataset, starts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Windows (C, n, W + 1), with a one at their end, and horizons (C, n, horizon); both less the last value seen."""
    window, horizon, columns = dataset.config.window, dataset.config.horizon, dataset.input_size
    x = input_windows(dataset.inputs, starts, window).astype(np.float64)
    y = target_windows(dataset.targets, starts, window, horizon).reshape(len(starts), horizon, columns)
    last = x[:, -1:]
    x, y = (x - last).transpose(2, 0, 1), (y - last).transpose(2, 0, 1)
    return np.concatenate([x, np.ones((*x.shape[:2], 1))], axis=2), y
