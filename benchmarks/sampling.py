"""Interleaved samples and their statistics."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from jax_lstm.timing import REST_SECONDS, Timing, interleaved, summary

Call = Callable[[], object]
RESAMPLES, CONFIDENCE = 2000, 0.95
WIDE = 0.2  # a ratio is unsteady if its quartiles are further apart than this, relative to the median


class Plan(NamedTuple):
    """How long to measure: the rounds that fit into `budget` seconds, between `least` and `most`."""

    budget: float = 5.0
    least: int = 3
    most: int = 20
    sample: float = 0.008  # least seconds of a sample: shorter calls are repeated
    settled: float = math.inf  # calls of at least this many seconds have no untimed call before each sample


@dataclass(frozen=True)
class Timed:
    """One comparison: seconds per call by contender and round, each from a sample of `calls` calls.

    Contenders in `failed` did not pass the gate, those in `not_offered` lack this; both have no samples. `memory` is in
    bytes, as the measure defines it. `parts` splits the seconds of a call; `notes` are remarks on a contender.
    """

    section: str
    case: str
    measure: str
    baseline: str
    seconds: dict[str, list[float]]
    calls: dict[str, int] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    flops: float = 0.0
    memory: dict[str, int] = field(default_factory=dict)
    shape: str = ""
    not_offered: dict[str, str] = field(default_factory=dict)
    parts: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)

    def timing(self, name: str) -> Timing:
        return summary(self.seconds[name])

    def ratios(self, name: str, baseline: str = "") -> list[float]:
        """Speed relative to the baseline by round; empty if one of the two was not timed."""
        theirs, own = self.seconds.get(baseline or self.baseline), self.seconds.get(name)
        return np.divide(theirs, own).tolist() if theirs and own else []

    def ratio(self, name: str, baseline: str = "") -> Timing | None:
        """Speed relative to the baseline: median and quartiles over rounds of the ratio within a round."""
        ratios = self.ratios(name, baseline)
        return summary(ratios) if ratios else None

    def interval(self, name: str) -> tuple[float, float] | None:
        """The 95 % bootstrap interval of the median ratio to the baseline; None for fewer than two rounds."""
        ratios = self.ratios(name)
        return bootstrap(ratios) if len(ratios) > 1 else None

    def doubt(self, name: str) -> str:
        """Why the ratio to the baseline allows no conclusion; empty if it does."""
        ratio, interval = self.ratio(name), self.interval(name)
        if name == self.baseline or ratio is None:
            return ""
        if interval is None or interval[0] <= 1.0 <= interval[1]:
            return "undecided"
        return "unsteady" if ratio.high - ratio.low > WIDE * ratio.median else ""

    def best_ratio(self, name: str) -> float | None:
        """Speed relative to the baseline from the fastest sample of each."""
        theirs, own = self.seconds.get(self.baseline), self.seconds.get(name)
        return min(theirs) / min(own) if theirs and own else None

    def gflops(self, name: str) -> float:
        return self.flops / self.timing(name).median / 1e9


def bootstrap(values: list[float]) -> tuple[float, float]:
    """The 95 % bootstrap interval of the median; for a few values it is about their range."""
    from scipy.stats import bootstrap as resampled  # JAX brings SciPy

    if max(values) == min(values):
        return values[0], values[0]
    found = resampled(
        (values,),
        np.median,
        n_resamples=RESAMPLES,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return float(found.low), float(found.high)


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
    """Seconds of a warm call: the least of three means over enough calls for the clock, or the first call if it is
    long.
    """
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


def geometric_mean(values: list[float]) -> float:
    return float(np.exp(np.mean(np.log(values))))
