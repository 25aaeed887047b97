"""Samples taken in turns, and what one reads from them."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from jax_lstm.timing import REST_SECONDS, Timing, interleaved, summary

Call = Callable[[], object]


class Plan(NamedTuple):
    """How long to measure: as many rounds as fit into `budget` seconds, between `least` and `most`."""

    budget: float = 5.0
    least: int = 3
    most: int = 20
    sample: float = 0.008  # seconds that a sample lasts at least: shorter calls are repeated


@dataclass(frozen=True)
class Timed:
    """One comparison: the seconds of a call, by contender, round by round; `calls` of them are one sample.

    `failed` did not pass the gate and have no samples. `memory` are the bytes of temporary arrays, by the compiler.
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

    def timing(self, name: str) -> Timing:
        return summary(self.seconds[name])

    def ratio(self, name: str, baseline: str = "") -> Timing | None:
        """How many times as fast as the baseline: median and quartiles over rounds of the ratio within a round."""
        theirs, own = self.seconds.get(baseline or self.baseline), self.seconds.get(name)
        return summary(np.divide(theirs, own).tolist()) if theirs and own else None

    def best_ratio(self, name: str) -> float | None:
        """The same from the fastest sample of each."""
        theirs, own = self.seconds.get(self.baseline), self.seconds.get(name)
        return min(theirs) / min(own) if theirs and own else None

    def gflops(self, name: str) -> float:
        return self.flops / self.timing(name).median / 1e9


def sample(turns: Mapping[str, Call], plan: Plan, steps: int = 1) -> tuple[dict[str, list[float]], dict[str, int]]:
    """Seconds of a call, round by round, and the calls in a sample; of a step, where a turn makes so many `steps`."""
    lasting = {name: _duration(turn) for name, turn in turns.items()}
    repeats = {name: max(1, math.ceil(plan.sample / seconds)) for name, seconds in lasting.items()}
    a_round = sum(2 * repeats[name] * seconds + REST_SECONDS for name, seconds in lasting.items())
    rounds = int(np.clip(plan.budget / a_round, plan.least, plan.most)) if turns else 0
    taken = interleaved({name: _repeated(turn, repeats[name]) for name, turn in turns.items()}, rounds)
    calls = {name: repeats[name] * steps for name in turns}
    return {name: [value / calls[name] for value in values] for name, values in taken.items()}, calls


def _repeated(turn: Call, times: int) -> Call:
    def repeated() -> None:
        for _ in range(times):
            turn()

    return repeated


def _duration(turn: Call) -> float:
    """Seconds of a call when warm, the least of three, each a mean over enough calls for the clock."""
    began = time.perf_counter()
    turn()
    least = math.inf
    for _ in range(1 if time.perf_counter() - began > 0.5 else 3):
        began, count = time.perf_counter(), 0
        while count == 0 or time.perf_counter() - began < 0.002:
            turn()
            count += 1
        least = min(least, (time.perf_counter() - began) / count)
    return least


def geometric_mean(values: list[float]) -> float:
    return float(np.exp(np.mean(np.log(values))))
