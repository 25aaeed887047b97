"""Baseline forecasts: persistence, seasonal-naive and ridge regression."""

import numpy as np

from jax_lstm.data.dataset import Dataset


def persistence(dataset: Dataset, starts: np.ndarray) -> np.ndarray:
    """Repeat the last value of each window; (n, horizon * C), standardised."""
    last = dataset.targets[starts + dataset.config.window - 1]
    return np.tile(last, (1, dataset.config.horizon))


def seasonal_naive(dataset: Dataset, starts: np.ndarray) -> np.ndarray | None:
    """Repeat the last season before each window's end; (n, horizon * C).

    None without a season, or if a series is too short for it.
    """
    config = dataset.config
    if config.season == 1:
        return None
    ahead = np.arange(config.horizon)
    seasons_back = ahead // config.season + 1
    rows = starts[:, None] + config.window + ahead - seasons_back * config.season
    first = dataset.first_rows[dataset.series_of(starts)]
    if (rows < first[:, None]).any():
        return None
    return dataset.targets[rows].reshape(len(starts), -1)


def ridge(dataset: Dataset, starts: np.ndarray) -> np.ndarray:
    """Ridge regression fitted to the training part, see `Ridge`; (n, horizon * C), standardised."""
    return dataset.ridge.forecast(dataset, starts)


BASELINES = {"persistence": persistence, "seasonal-naive": seasonal_naive, "ridge": ridge}
