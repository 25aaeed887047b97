"""Timing: contenders take turns in one process, so that a slow moment of the machine falls on all of them."""

import random
import time
from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

import numpy as np

REST_SECONDS = 0.02  # before each sample, at least: worker threads of the framework before are to stop spinning
LONGEST_REST = 0.5
STILL = 0.1  # of a core: what the process may use at rest


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
    """Seconds of each call, `samples` for each contender, taken in turns, in each round in another order.

    A contender must do all of its work before it returns (`jax.block_until_ready`). Before each sample the process
    comes to rest, and the contender runs once untimed, so that neither the caches nor the threads of the one before
    decide its time; only those that are `settled`, whose calls last so long that what went before does not count, have
    no untimed run. No contender always follows the same other one. `report` is called after every sample.
    """
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(samples):
        for name in random.Random(turn).sample(list(contenders), len(contenders)):
            rest()
            if name not in settled:
                contenders[name]()
            began = time.perf_counter()
            contenders[name]()
            seconds[name].append(time.perf_counter() - began)
            report()
    return seconds


def rest() -> None:
    """Wait until no thread of this process spins; ONNX Runtime's do for 40 ms after a call, PyTorch's for less."""
    time.sleep(REST_SECONDS)
    give_up = time.perf_counter() + LONGEST_REST
    while time.perf_counter() < give_up:
        began, busy = time.perf_counter(), time.process_time()
        time.sleep(REST_SECONDS / 4)
        if time.process_time() - busy < STILL * (time.perf_counter() - began):
            return


def summary(seconds: list[float]) -> Timing:
    low, median, high = np.quantile(seconds, [0.25, 0.5, 0.75])
    return Timing(float(median), float(low), float(high))
