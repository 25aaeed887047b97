"""Timing: contenders take turns in one process, so that a slow moment of the machine falls on all of them."""

import time
from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

import numpy as np

REST_SECONDS = 0.02  # before each sample: worker threads of the framework before stop spinning


class Timing(NamedTuple):
    """Seconds: the median of the samples, and their lower and upper quartile."""

    median: float
    low: float
    high: float


def interleaved(
    contenders: Mapping[str, Callable[[], object]],
    samples: int,
    report: Callable[[], None] = lambda: None,
    settled: Collection[str] = (),
) -> dict[str, list[float]]:
    """Seconds of each call, `samples` for each contender, taken in turns whose order changes from round to round.

    A contender must do all of its work before it returns (`jax.block_until_ready`). Before each sample it rests and
    then runs once untimed, so that neither the caches nor the threads of the one before decide its time; only those
    that are `settled`, whose calls last so long that what went before does not count, have no untimed run. `report` is
    called after every sample.
    """
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    names = list(contenders)
    for turn in range(samples):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            time.sleep(REST_SECONDS)
            if name not in settled:
                contenders[name]()
            began = time.perf_counter()
            contenders[name]()
            seconds[name].append(time.perf_counter() - began)
            report()
    return seconds


def summary(seconds: list[float]) -> Timing:
    low, median, high = np.quantile(seconds, [0.25, 0.5, 0.75])
    return Timing(float(median), float(low), float(high))
