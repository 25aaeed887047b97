"""The measures of `frameworks`, a row each; each makes one row of the record per case."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from benchmarks.cases import Case, draw
from benchmarks.contenders import BASELINE
from benchmarks.contenders.base import BACKWARD, FORWARD, STREAMING, TRAINING
from benchmarks.gate import Admitted, Lineup, admit
from benchmarks.memory import peak_bytes
from benchmarks.sampling import Plan, Timed
from benchmarks.stages import stages, without_caches
from benchmarks.timed import timed

COMPILE, MEMORY = "compile", "peak memory"
SECTION = "frameworks"
COMPILED = 3  # compilations that are timed


@dataclass(frozen=True)
class Measure:
    """`row` measures contenders at a case; `streamed` measures need streamed cases, the others all other cases.

    `aside` estimates the seconds of a row besides its samples, on two cores.
    """

    about: str
    row: Callable[[str, Lineup, Plan], Timed]
    streamed: bool = False
    aside: float = 5.0

    def serves(self, case: Case) -> bool:
        return case.streamed == self.streamed


def _timed(measure: str) -> Callable[[str, Lineup, Plan], Timed]:
    def row(name: str, lineup: Lineup, plan: Plan) -> Timed:
        return timed(SECTION, name, lineup.case, measure, admit(lineup, measure), plan, BASELINE)

    return row


def _compile(name: str, lineup: Lineup, plan: Plan) -> Timed:
    """Gradients: seconds from a fresh build to the first result, interleaved; `parts` has the stages."""
    admitted = admit(lineup, BACKWARD)
    parts: dict[str, dict[str, list[float]]] = {who: {} for who in admitted.works}
    problem = draw(lineup.case)
    for turn in range(min(plan.least, COMPILED)):
        for who in admitted.works:
            contender = lineup.contenders[who]
            if turn and contender.slow:
                continue
            work = contender.build(problem)[BACKWARD]
            with without_caches():
                taken = stages(work) if work.compiled else {}
                began = time.perf_counter()
                work.run()
                taken["first call"] = time.perf_counter() - began
            for part, seconds in taken.items():
                parts[who].setdefault(part, []).append(seconds)
    seconds = {who: [sum(turn) for turn in zip(*taken.values(), strict=True)] for who, taken in parts.items()}
    return replace(_without_baseline(name, COMPILE, lineup, admitted), seconds=seconds, parts=parts)


def _memory(name: str, lineup: Lineup, plan: Plan) -> Timed:
    """Training: each contender in its own process."""
    admitted = admit(lineup, TRAINING)
    memory, failed = peak_bytes(lineup.case, list(admitted.works), TRAINING)
    row = _without_baseline(name, MEMORY, lineup, admitted)
    return replace(row, memory=memory, failed=row.failed | failed)


def _without_baseline(name: str, measure: str, lineup: Lineup, admitted: Admitted) -> Timed:
    """A row whose figures are compared directly, without a baseline."""
    _, failed, not_offered = admitted
    return Timed(SECTION, name, measure, "", {}, failed=failed, not_offered=not_offered, shape=lineup.case.shape)


MEASURES = {
    FORWARD: Measure("the outputs of all steps and the last state", _timed(FORWARD)),
    BACKWARD: Measure("gradients by inputs, weights and biases", _timed(BACKWARD)),
    TRAINING: Measure("mean squared error, its gradients, one step of Adam", _timed(TRAINING)),
    STREAMING: Measure("one time step a call, the state carried along", _timed(STREAMING), streamed=True),
    COMPILE: Measure("trace, lower and compile gradients, and the first call", _compile, aside=25.0),
    MEMORY: Measure("what a training step needs beyond its weights and inputs", _memory, aside=30.0),
}
