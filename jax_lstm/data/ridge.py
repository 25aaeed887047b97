"""Ridge regression from a window to the rows after it: a strong baseline, and where a forecaster's training starts."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from jax_lstm.models.forecast_model import Layout, Normalise, linear_inputs, linear_size, normalised

CHUNK = 2**22  # numbers of inputs held in memory at once
PENALTIES = 10.0 ** np.arange(-8, 3)  # per window, beside inputs of unit variance
CLEARLY = 0.05  # lower, as a fraction of the validation error
MOST_INPUTS = 2048  # above, covariates are left to the LSTM: the cost grows with the third power
LEAST_HORIZONS = 4  # in horizons: with fewer validation windows, these are weak evidence
MARGIN = 0.01  # of the error, by which a choice must then be better
MOST_LAGS = 48  # rows of covariates
MOST_ERRORS = 4096  # windows whose errors give the quantiles
HELD_OUT = 0.1  # of the training windows, if there is no validation part


@dataclass(frozen=True)
class Ridge:
    """A linear map from the inputs of `linear_inputs` to the horizon of a target, which targets share.

    `weight` (horizon, I), `bias` (horizon,); `lags` rows of covariates are among the inputs. `loss` is the mean squared
    error on the windows that chose `penalty` and `lags`.
    """

    layout: Layout
    normalise: Normalise
    weight: np.ndarray
    bias: np.ndarray
    lags: int
    penalty: float
    loss: float

    def forecast(self, dataset: Any, starts: np.ndarray) -> np.ndarray:
        """Forecasts (n, horizon * C) for the windows at `starts`, standardised."""
        found = [
            (x @ self.weight.T + self.bias) * scale + centre
            for x, _, centre, scale in _inputs(dataset, starts, self.layout, self.normalise, self.lags)
        ]
        return np.concatenate(found).swapaxes(1, 2).reshape(len(starts), -1)

    def error_quantiles(self, dataset: Any, levels: Sequence[float]) -> np.ndarray:
        """The quantiles of the normalised errors (horizon, Q), over training windows and targets."""
        starts = dataset.starts["train"]
        starts = starts[:: -(-len(starts) // MOST_ERRORS)]
        errors = [
            y - x @ self.weight.T - self.bias
            for x, y, _, _ in _inputs(dataset, starts, self.layout, self.normalise, self.lags)
        ]
        return np.quantile(np.concatenate(errors), levels, axis=(0, 1)).T


class Sums(NamedTuple):
    """Sums over windows and targets, weighted by the squared scale: of all products of inputs x, outputs y and 1."""

    xx: np.ndarray
    xy: np.ndarray
    x: np.ndarray
    y: np.ndarray
    yy: float
    weight: float
    rows: int

    def first(self, inputs: int) -> "Sums":
        """For the first inputs alone."""
        return self._replace(xx=self.xx[:inputs, :inputs], xy=self.xy[:inputs], x=self.x[:inputs])


def margin(dataset: Any) -> float:
    """The fraction of the validation error by which a longer window or an epoch must be better to be chosen."""
    return 0.0 if len(dataset.starts["val"]) >= LEAST_HORIZONS * dataset.config.horizon else MARGIN


def best_ridge(dataset: Any) -> Ridge:
    """With a window's last value subtracted, unless mean and standard deviation are clearly better."""
    last, mean = fit_ridge(dataset, "last"), fit_ridge(dataset, "mean")
    return mean if mean.loss < (1 - CLEARLY) * last.loss else last


def fit_ridge(dataset: Any, normalise: Normalise = "last") -> Ridge:
    """Fit to the training part of a `Dataset`; the validation part chooses the penalty and whether to use covariates.

    Without a validation part the last training windows choose, and the others are fitted.
    """
    config = dataset.config
    layout = dataset.columns.layout(config.window, config.horizon)
    lags = (-1,) if margin(dataset) else (-1, 0, min(config.season, config.window, MOST_LAGS))
    sizes = {linear_size(layout, one): one for one in reversed(lags)}  # each is the first part of the next
    sizes = {size: one for size, one in sorted(sizes.items()) if size <= MOST_INPUTS or one < 0}
    fitted, chosen = parts_to_choose(dataset)
    train, val = (_sums(dataset, starts, layout, normalise, max(sizes.values())) for starts in (fitted, chosen))
    found = [
        Ridge(layout, normalise, weight.T, bias, used, penalty, loss)
        for size, used in sizes.items()
        for penalty, weight, bias, loss in _paths(train.first(size), val.first(size))
    ]
    return min(found, key=lambda one: one.loss)


def parts_to_choose(dataset: Any) -> tuple[np.ndarray, np.ndarray]:
    """The starts of the windows to fit, and of those by which to choose between fits."""
    train, val = dataset.starts["train"], dataset.starts["val"]
    if len(val):
        return train, val
    end = max(int(len(train) * (1 - HELD_OUT)), 1)
    apart = train[end + dataset.config.horizon :]  # so that no target is in both
    return train[:end], apart if len(apart) else train


def _paths(train: Sums, val: Sums) -> Iterator[tuple[float, np.ndarray, np.ndarray, float]]:
    """For each penalty: the weight (I, horizon), the bias, and the mean squared error on the other windows."""
    mean_x, mean_y = train.x / train.weight, train.y / train.weight
    gram = train.xx - np.outer(train.x, mean_x)
    values, vectors = np.linalg.eigh(gram)
    projected = vectors.T @ (train.xy - np.outer(train.x, mean_y))
    for penalty in PENALTIES:
        weight = vectors @ (projected / (np.maximum(values, 0) + penalty * train.weight)[:, None])
        bias = mean_y - mean_x @ weight
        squares = np.sum((val.xx @ weight) * weight) + val.weight * bias @ bias + 2 * val.x @ weight @ bias
        loss = (squares - 2 * np.sum(val.xy * weight) - 2 * val.y @ bias + val.yy) / (val.rows * len(bias))
        yield float(penalty), weight, bias, float(loss)


def _sums(dataset: Any, starts: np.ndarray, layout: Layout, normalise: Normalise, lags: int) -> Sums:
    total: Any = None
    for x, y, _, scale in _inputs(dataset, starts, layout, normalise, lags):
        scales = np.broadcast_to(scale, (*x.shape[:2], 1)).reshape(-1, 1)
        x, y = x.reshape(-1, x.shape[2]) * scales, y.reshape(-1, y.shape[2]) * scales
        parts = x.T @ x, x.T @ y, scales[:, 0] @ x, scales[:, 0] @ y, np.sum(y**2), np.sum(scales**2), len(x)
        total = parts if total is None else tuple(a + b for a, b in zip(total, parts, strict=True))
    return Sums(*total)


def _inputs(dataset: Any, starts: np.ndarray, layout: Layout, normalise: Normalise, lags: int) -> Iterator[Any]:
    """In pieces: inputs (n, C, I), normalised targets (n, C, horizon), and centre and scale (n, C, 1)."""
    window, horizon = layout.window, layout.horizon
    targets = range(dataset.targets.shape[1])
    size = max(CHUNK // (linear_size(layout, lags) * len(targets)), 1)
    for begin in range(0, len(starts), size):
        rows = starts[begin : begin + size, None] + np.arange(window + horizon, dtype=np.int32)
        seen, after = dataset.targets[rows[:, :window]], dataset.targets[rows[:, window:]]
        x = dataset.inputs[rows[:, :window]] if lags >= 0 else dataset.inputs[:0]
        ahead = dataset.inputs[rows[:, window:]][:, :, np.array(layout.known, int)] if lags >= 0 else x
        own, centre, scale = (np.asarray(each, np.float64) for each in normalised(seen, targets, normalise))
        inputs = linear_inputs(own, x, ahead, layout, lags)
        yield inputs, ((after - centre) / scale).swapaxes(1, 2), centre.swapaxes(1, 2), scale.swapaxes(1, 2)
