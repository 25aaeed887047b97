"""The part `speed`: every contender at every case, measure by measure, within a time limit."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from benchmarks.core.cases import CASES, Case, draw
from benchmarks.core.compiling import clocked, stages, without_caches
from benchmarks.core.contenders import BASELINE, CONTENDERS
from benchmarks.core.contenders.base import BACKWARD, FORWARD, STREAMING, TRAINING, Contender
from benchmarks.core.gate import Lineup, admit, lineup
from benchmarks.core.measure import limits, of_case, refused, timed
from benchmarks.core.record import ABSENT, BYTES, SECONDS, Row
from benchmarks.core.sampling import Plan
from benchmarks.speed.memory import peak_bytes

PART = "speed"
COMPILE, MEMORY = "compile", "peak memory"
COMPILED = 3  # compilations that are timed
LATE = ABSENT + "the time was up"


@dataclass(frozen=True)
class Measure:
    """`rows` measures contenders at a case; `streamed` measures need streamed cases, the others all other cases.

    `aside` estimates the seconds besides its samples, on two cores.
    """

    rows: Callable[[str, Lineup, Plan], list[Row]]
    streamed: bool = False
    aside: float = 5.0

    def serves(self, case: Case) -> bool:
        return case.streamed == self.streamed


def _timed(measure: str) -> Callable[[str, Lineup, Plan], list[Row]]:
    def rows(name: str, lineup: Lineup, plan: Plan) -> list[Row]:
        admitted = admit(lineup, measure)
        return timed(PART, name, measure, admitted, plan, BASELINE, **of_case(lineup.case, measure))

    return rows


def _compile(name: str, lineup: Lineup, plan: Plan) -> list[Row]:
    """Gradients: seconds from a fresh build to the first result, interleaved; in all and by stage."""
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
                with clocked() as first:
                    work.run()
            for part, seconds in (taken | {"first call": first[0]}).items():
                parts[who].setdefault(part, []).append(seconds)
    about, rows = {"shape": lineup.case.shape}, []
    for who, taken in parts.items():
        whole = [sum(turn) for turn in zip(*taken.values(), strict=True)]
        rows.append(Row(PART, name, who, COMPILE, SECONDS, whole, about=about))
        rows += [Row(PART, name, who, f"{COMPILE}: {part}", SECONDS, each) for part, each in taken.items()]
    return [*rows, *refused(PART, name, COMPILE, admitted, about)]


def _memory(name: str, lineup: Lineup, plan: Plan) -> list[Row]:
    """Training: each contender in its own process."""
    admitted = admit(lineup, TRAINING)
    memory, failed = peak_bytes(lineup.case, list(admitted.works), TRAINING)
    about = {"shape": lineup.case.shape}
    rows = [Row(PART, name, who, MEMORY, BYTES, [size], about=about) for who, size in memory.items()]
    admitted = admitted._replace(failed=admitted.failed | failed)
    return [*rows, *refused(PART, name, MEMORY, admitted, about)]


MEASURES = {
    FORWARD: Measure(_timed(FORWARD)),
    BACKWARD: Measure(_timed(BACKWARD)),
    TRAINING: Measure(_timed(TRAINING)),
    STREAMING: Measure(_timed(STREAMING), streamed=True),
    COMPILE: Measure(_compile, aside=25.0),
    MEMORY: Measure(_memory, aside=30.0),
}
TIMED = (FORWARD, BACKWARD, TRAINING, STREAMING)
Table = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Setting:
    """What to measure. Rows share the `seconds` of the run; those for which no time is left are left out.

    `only`: the cases of a measure, if not all. `slow`: the measures, by case, that include contenders that are slow to
    compile.
    """

    seconds: float
    plan: Plan
    only: Table
    slow: Table
    cases: Mapping[str, Case] = field(default_factory=lambda: CASES)
    contenders: Mapping[str, Contender] = field(default_factory=lambda: CONTENDERS)
    measures: Mapping[str, Measure] = field(default_factory=lambda: MEASURES)

    def pairs(self) -> list[tuple[str, str]]:
        """Cases and measures, in order."""
        return [
            (name, measure)
            for name, case in self.cases.items()
            for measure, row in self.measures.items()
            if row.serves(case) and name in self.only.get(measure, self.cases)
        ]

    def barred(self, case: str, measure: str) -> dict[str, str]:
        """Contenders that take too long to compile for this case."""
        if measure in self.slow.get(case, ()):
            return {}
        slow = {name: contender.slow for name, contender in self.contenders.items() if contender.slow}
        return {name: f"takes about {seconds:.0f} s to compile: left out here" for name, seconds in slow.items()}


# Training at the largest case would take a minute, and updating its weights is a small part of that.
TRAINED = tuple(name for name in CASES if name != "largest")
FULL = Setting(
    seconds=1200.0,
    plan=Plan(budget=8.0, least=5, most=25, settled=0.25),
    only={TRAINING: TRAINED, COMPILE: ("tutorial", "medium", "two layers"), MEMORY: ("large", "long")},
    slow={"tutorial": (FORWARD, BACKWARD, TRAINING, COMPILE), "small": (FORWARD, BACKWARD), "streaming": (STREAMING,)},
)
QUICK = Setting(  # without memory, which takes a process for each contender, and more than a minute
    seconds=165.0,
    plan=Plan(budget=2.5, least=3, most=12, settled=0.25),
    only={TRAINING: ("tutorial",), COMPILE: ("tutorial",), MEMORY: ()},
    slow={"tutorial": (BACKWARD,)},
    cases={name: CASES[name] for name in ("tutorial", "streaming", "unequal lengths", "small")},
)


def compare(setting: Setting) -> Iterator[list[Row]]:
    """The rows of each case and measure, as the time allows."""
    began = time.monotonic()
    present = {name: contender for name, contender in setting.contenders.items() if not contender.absent()}
    yield limits(setting.plan._replace(budget=1.0))
    pairs = setting.pairs()
    for at, (name, measure) in enumerate(pairs):
        case = setting.cases[name]
        left = setting.seconds - (time.monotonic() - began)
        if left <= setting.measures[measure].aside:
            yield [Row(PART, name, who, measure, status=LATE, about={"shape": case.shape}) for who in present]
            continue
        share = (left - sum(setting.measures[kind].aside for _, kind in pairs[at:])) / (len(pairs) - at)
        plan = setting.plan._replace(budget=min(max(share, 0.0), setting.plan.budget))
        yield setting.measures[measure].rows(name, lineup(present, case, setting.barred(name, measure)), plan)
