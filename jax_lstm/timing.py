"""Timing of contenders that take turns in one process, so that noise from the machine affects all of them alike."""

import random
import time
from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

import numpy as np

REST_SECONDS = 0.02  # least wait before a sample, for worker threads of the last framework to stop spinning
LONGEST_REST = 0.5
STILL = 0.1  # CPU use below which the process counts as idle, in cores


class Timing(NamedTuple):
    """Median, lower and upper quartile of the samples, in seconds."""

    median: float
    low: float
    high: float


def interleaved(
    contenders: Mapping[str, Callable[[], object]],
    samples: int,
    report: Callable[[], None] = lambda: None,
    settled: Collection[str] = (),
) -> dict[str, list[float]]:
    """Time `samples` calls of each contender, in seconds, in rounds that are shuffled differently.

    A contender must finish its work before it returns (`jax.block_until_ready`). Before each sample the process waits
    until it is idle, and the contender runs once untimed, so that caches and threads of the previous one do not affect
    it. Contenders in `settled` skip the untimed run: their calls take so long that it makes no difference. `report` is
    called after every sample.
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
    """Wait until no thread of this process spins; ONNX Runtime's spin for 40 ms after a call, PyTorch's for less."""
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
