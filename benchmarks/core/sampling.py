"""Interleaved samples, and ratios of them with intervals."""

import functools
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from jax_lstm.timing import REST_SECONDS, interleaved

Call = Callable[[], object]
RESAMPLES, LEVEL = 2000, (0.025, 0.975)
WIDE = 0.2  # a ratio is unsteady if its quartiles are further apart than this, relative to the median


class Plan(NamedTuple):
    """How long to measure: the rounds that fit into `budget` seconds, between `least` and `most`."""

    budget: float = 5.0
    least: int = 3
    most: int = 20
    sample: float = 0.008  # least seconds of a sample: shorter calls are repeated
    settled: float = math.inf  # calls of at least this many seconds have no untimed call before each sample


class Ratio(NamedTuple):
    """The median of ratios within rounds, with its 95 % bootstrap interval.

    `doubt`: why it allows no conclusion: "undecided", 1 lies in the interval; "unsteady", the quartiles of the ratios
    are further apart than a fifth. Empty if it does.
    """

    median: float
    low: float
    high: float
    doubt: str = ""

    def __str__(self) -> str:
        return f"{'~' * bool(self.doubt)}{self.median:.2f}"

    @property
    def winner(self) -> int:
        """1: faster than the baseline; -1: slower; 0: undecided."""
        return (self.low > 1) - (self.high < 1)


@functools.lru_cache(maxsize=4096)
def ratio(theirs: tuple[float, ...], own: tuple[float, ...]) -> Ratio:
    """The speed of `own` seconds relative to `theirs`."""
    ratios = np.divide(theirs, own)
    low, median, high = np.quantile(ratios, [0.25, 0.5, 0.75])
    if theirs == own:
        return Ratio(1.0, 1.0, 1.0)
    medians = np.median(_resampled(ratios), axis=1)
    first, last = np.quantile(medians, LEVEL)
    undecided = len(ratios) < 2 or first <= 1 <= last
    doubt = "undecided" if undecided else "unsteady" if high - low > WIDE * median else ""
    return Ratio(float(median), float(first), float(last), doubt)


def mean_ratio(pairs: Sequence[tuple[Sequence[float], Sequence[float]]]) -> Ratio:
    """The geometric mean over cases of the median ratios, with an interval over the rounds of each case.

    In doubt if 1 lies in the interval, or a third of the cases are in doubt.
    """
    each = [ratio(tuple(theirs), tuple(own)) for theirs, own in pairs]
    logs = np.mean([np.log(np.median(_resampled(np.divide(*pair)), axis=1)) for pair in pairs], axis=0)
    low, high = np.exp(np.quantile(logs, LEVEL))
    doubt = "undecided" if low <= 1 <= high else "unsteady" if 3 * sum(bool(r.doubt) for r in each) >= len(each) else ""
    return Ratio(geometric_mean([found.median for found in each]), float(low), float(high), doubt)


def _resampled(values: np.ndarray) -> np.ndarray:
    chosen = np.random.default_rng(0).integers(0, len(values), (RESAMPLES, len(values)))
    return values[chosen]


def geometric_mean(values: Sequence[float]) -> float:
    return float(np.exp(np.mean(np.log(values))))


def sample(turns: Mapping[str, Call], plan: Plan, steps: int = 1) -> tuple[dict[str, list[float]], dict[str, int]]:
    """Seconds per call (per step if a call makes `steps` steps) by round, and the number of calls in a sample."""
    lasting = {name: _duration(turn) for name, turn in turns.items()}
    settled = {name for name, seconds in lasting.items() if seconds >= plan.settled}
    repeats = {name: max(1, math.ceil(plan.sample / seconds)) for name, seconds in lasting.items()}
    turns_of = {name: 1 if name in settled else 2 for name in lasting}
    a_round = sum(turns_of[name] * repeats[name] * seconds + 1.25 * REST_SECONDS for name, seconds in lasting.items())
    rounds = int(np.clip(plan.budget / a_round, plan.least, plan.most)) if turns else 0
    taken = interleaved({name: _repeated(turn, repeats[name]) for name, turn in turns.items()}, rounds, settled=settled)
    calls = {name: repeats[name] * steps for name in turns}
    return {name: [value / calls[name] for value in values] for name, values in taken.items()}, calls


def _repeated(turn: Call, times: int) -> Call:
    def repeated() -> None:
        for _ in range(times):
            turn()

    return repeated


def _duration(turn: Call) -> float:
    """Seconds of a warm call: the least of three means over enough calls for the clock, or the first if it is long."""
    began = time.perf_counter()
    turn()
    least = time.perf_counter() - began
    for _ in range(3 if least < 0.5 else 0):
        began, count = time.perf_counter(), 0
        while count == 0 or time.perf_counter() - began < 0.002:
            turn()
            count += 1
        least = min(least, (time.perf_counter() - began) / count)
    return least
