"""Baseline forecasts: persistence, seasonal-naive and a linear model."""

import numpy as np

from jax_lstm.data.dataset import Dataset, input_windows, target_windows

CHUNK = 4096  # windows held in memory at once
RIDGE = 1e-6  # per window; keeps the normal equations solvable for constant or collinear columns


def persistence(dataset: Dataset, starts: np.ndarray) -> np.ndarray:
    """Repeat the last value of each window; (n, horizon * C), standardised."""
    last = dataset.targets[starts + dataset.config.window - 1]
    return np.tile(last, (1, dataset.config.horizon))


def seasonal_naive(dataset: Dataset, starts: np.ndarray) -> np.ndarray | None:
    """Repeat the last season before each window's end; (n, horizon * C), or None if a series is too short for that."""
    config = dataset.config
    ahead = np.arange(config.horizon)
    seasons_back = ahead // config.season + 1
    rows = starts[:, None] + config.window + ahead - seasons_back * config.season
    first = dataset.first_rows[np.searchsorted(dataset.first_rows, starts, side="right") - 1]
    if (rows < first[:, None]).any():
        return None
    return dataset.targets[rows].reshape(len(starts), -1)


def linear(dataset: Dataset, starts: np.ndarray) -> np.ndarray:
    """Least squares on the flattened window, fitted to the training part; (n, horizon * C), standardised."""
    config, size = dataset.config, dataset.config.window * dataset.input_size + 1
    gram, moment = np.zeros((size, size)), np.zeros((size, dataset.output_size))
    train = dataset.starts["train"]
    for begin in range(0, len(train), CHUNK):
        part = train[begin : begin + CHUNK]
        x = _flat_with_one(input_windows(dataset.inputs, part, config.window))
        gram += x.T @ x
        moment += x.T @ target_windows(dataset.targets, part, config.window, config.horizon)
    weights = np.linalg.solve(gram + RIDGE * len(train) * np.eye(size), moment)
    forecasts = []
    for begin in range(0, len(starts), CHUNK):
        x = input_windows(dataset.inputs, starts[begin : begin + CHUNK], config.window)
        forecasts.append(_flat_with_one(x) @ weights)
    return np.concatenate(forecasts)


def _flat_with_one(x: np.ndarray) -> np.ndarray:
    flat = x.reshape(len(x), -1).astype(np.float64)
    return np.concatenate([flat, np.ones((len(flat), 1))], axis=1)


BASELINES = {"persistence": persistence, "seasonal-naive": seasonal_naive, "linear": linear}
