"""Forecast intervals: margins from the errors of recent forecasts, and how well intervals cover the truth.

Split-conformal prediction (https://arxiv.org/abs/2107.07511) takes the quantile of errors on windows that chose neither
weights nor penalty. Series drift, so the errors here are the most recent ones that are known when a forecast is made.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jax_lstm.tasks.scores import median

Bands = dict[float, np.ndarray]  # by level: the quantile of each output, (..., outputs)
RECENT = 500  # windows of each series whose errors give the margins
RESAMPLES, WITHIN = 1000, (0.05, 0.95)  # of the block bootstrap
BLOCKS = 5  # in fewer the bootstrap says nothing
COARSE = 50  # windows; with fewer the coverage of 90% varies by 4% (one standard deviation) from chance alone


def ends(interval: float) -> tuple[float, float]:
    """The levels of the two ends of an interval: 0.05 and 0.95 of 0.9."""
    return round((1 - interval) / 2, 10), round((1 + interval) / 2, 10)


def bands(
    forecasts: np.ndarray,
    outputs: int,
    levels: Sequence[float],
    interval: float = 0.0,
    margins: np.ndarray | None = None,
) -> Bands:
    """The quantiles beside the median in forecasts (..., outputs * Q).

    With `margins` (..., outputs) among them the ends of a calibrated `interval`.
    """
    split = forecasts.reshape(*forecasts.shape[:-1], outputs, -1)
    found = {level: split[..., at] for at, level in enumerate(levels) if level != 0.5}
    if margins is not None:
        low, high = ends(interval)
        middle = median(forecasts, outputs, levels)
        found[low] = found.get(low, middle) - margins
        found[high] = found.get(high, middle) + margins
    return dict(sorted(found.items()))


def errors_of(forecasts: np.ndarray, truth: np.ndarray, levels: Sequence[float], interval: float) -> np.ndarray:
    """How far the truth (n, outputs) lies outside each interval without margins; negative inside of quantiles.

    For quantiles this is conformalised quantile regression (https://arxiv.org/abs/1905.03222).
    """
    found = bands(forecasts.astype(np.float64), truth.shape[1], levels, interval, np.zeros(truth.shape[1]))
    low, high = (found[level] for level in ends(interval))
    return np.maximum(low - truth, truth - high)


def margins_of(errors: np.ndarray, interval: float) -> np.ndarray:
    """The margin (outputs,) that errors (n, outputs) exceed as rarely as the interval asks: their quantile at
    (n + 1) * interval / n, or the largest if there are too few for that.
    """
    rank = min(int(np.ceil((len(errors) + 1) * interval)), len(errors)) - 1
    return np.partition(errors, rank, axis=0)[rank]


def recent_margins(
    errors: np.ndarray, known: np.ndarray, now: np.ndarray, interval: float, recent: int, step: int
) -> np.ndarray:
    """The margins (m, outputs) for forecasts made at the times `now` (m,), ascending.

    Each comes from the `recent` latest of the errors (n, outputs) that are known by then, at the times `known` (n,).
    They are computed anew every `step` forecasts.
    """
    order = np.argsort(known, kind="stable")
    errors, known = errors[order], known[order]
    found = []
    for begin in range(0, len(now), step):
        count = max(int(np.searchsorted(known, now[begin], "right")), 1)
        margins = margins_of(errors[max(count - recent, 0) : count], interval)
        found.append(np.repeat(margins[None], min(step, len(now) - begin), axis=0))
    return np.concatenate(found)


def least_windows(interval: float) -> int:
    """The fewest errors (n) of which one is the quantile at (n + 1) * interval / n."""
    return int(np.ceil(round(interval / (1 - interval), 9)))


class Coverage(NamedTuple):
    """How intervals did on some windows: the share of the truth inside, with a 90 % block-bootstrap interval of that
    share, the mean width, and the interval score (https://doi.org/10.1198/016214506000001437), lower is better.

    With fewer than `BLOCKS` blocks of windows the bootstrap interval is NaN.
    """

    share: float
    low: float
    high: float
    width: float
    score: float


def coverage(low: np.ndarray, high: np.ndarray, truth: np.ndarray, interval: float, block: int) -> Coverage:
    """Of intervals (n, outputs) of successive windows; the bootstrap draws blocks of `block` windows."""
    below, above = np.maximum(low - truth, 0), np.maximum(truth - high, 0)
    score = (high - low) + 2 / (1 - interval) * (below + above)
    inside = ((truth >= low) & (truth <= high)).mean(axis=1)
    least = most = float("nan")
    if len(inside) >= BLOCKS * block:
        least, most = _bootstrap(inside, block)
    return Coverage(float(inside.mean()), least, most, float((high - low).mean()), float(score.mean()))


def _bootstrap(inside: np.ndarray, block: int) -> tuple[float, float]:
    """The 90 % interval of the mean of `inside`, from blocks of successive values."""
    starts = np.random.default_rng(0).integers(0, len(inside), (RESAMPLES, -(-len(inside) // block)))
    sums = np.concatenate([[0], np.cumsum(np.concatenate([inside, inside[:block]]))])
    means = (sums[starts + block] - sums[starts]).sum(axis=1) / (starts.shape[1] * block)
    least, most = map(float, np.quantile(means, WITHIN))
    return least, most


def suffix(level: float) -> str:
    """What the column of a quantile is called after its target: "_05" for 0.05, "_975" for 0.975."""
    return "_" + f"{level:.10f}".partition(".")[2].rstrip("0").ljust(2, "0")
