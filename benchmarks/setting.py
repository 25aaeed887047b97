"""Settings: what to measure, and how thoroughly."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from benchmarks.cases import CASES, ENGINE_CASES, Case
from benchmarks.contenders import CONTENDERS, ENGINE_CONTENDERS
from benchmarks.contenders.base import BACKWARD, FORWARD, STREAMING, TRAINING, Contender
from benchmarks.measures import COMPILE, MEASURES, MEMORY, Measure
from benchmarks.sampling import Plan


@dataclass(frozen=True)
class Setting:
    """Settings of `engine`."""

    plan: Plan = Plan()  # noqa: RUF009 immutable
    cases: Mapping[str, Case] = field(default_factory=lambda: ENGINE_CASES)
    contenders: Mapping[str, Contender] = field(default_factory=lambda: ENGINE_CONTENDERS)
    long: Case = Case(8, 16384, 64, 256)  # noqa: RUF009 immutable; for the memory of gradients
    lengths: tuple[int, ...] = (16, 256, 4096)  # for the time to compile
    sides: tuple[tuple[int, int], ...] = (
        (1, 64),
        (4, 64),
        (16, 64),
        (1, 256),
        (4, 256),
    )  # B, H of `directions`

    def present(self) -> dict[str, Contender]:
        """The contenders that can be measured here."""
        return {name: contender for name, contender in self.contenders.items() if not contender.absent()}

    def backends(self) -> list[str]:
        """The package's own kernels among the contenders."""
        return [contender.backend for contender in self.present().values() if contender.backend]


QUICK = Setting(
    Plan(budget=1.0, least=3),
    {name: case for name, case in ENGINE_CASES.items() if case.flops < 1e10},
    long=Case(8, 4096, 64, 128),
    lengths=(16, 1024),
    sides=((1, 64), (16, 64)),
)

Table = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Comparison:
    """Settings of `frameworks`. Rows share the `seconds` of the run; those for which no time is left are left out.

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

    def rows(self) -> list[tuple[str, str]]:
        """The case and measure of each row, in order."""
        return [
            (name, measure)
            for name, case in self.cases.items()
            for measure, row in self.measures.items()
            if row.serves(case) and name in self.only.get(measure, self.cases)
        ]

    def barred(self, case: str, measure: str) -> dict[str, str]:
        """Contenders that a row leaves out because they take too long to compile."""
        if measure in self.slow.get(case, ()):
            return {}
        return {
            name: f"takes about {contender.slow:.0f} s to compile: left out here"
            for name, contender in self.contenders.items()
            if contender.slow
        }


# Training at the largest case would take a minute, and updating its weights is a small part of that.
TRAINED = tuple(name for name in CASES if name != "largest")
FULL_COMPARISON = Comparison(
    seconds=1200.0,
    plan=Plan(budget=8.0, least=5, most=25, settled=0.25),
    only={TRAINING: TRAINED, COMPILE: ("tutorial", "medium", "two layers"), MEMORY: ("large", "long")},
    slow={"tutorial": (FORWARD, BACKWARD, TRAINING, COMPILE), "small": (FORWARD, BACKWARD), "streaming": (STREAMING,)},
)
QUICK_CASES = ("tutorial", "streaming", "unequal lengths", "small")
QUICK_COMPARISON = Comparison(
    seconds=165.0,
    plan=Plan(budget=2.5, least=3, most=12, settled=0.25),
    only={TRAINING: ("tutorial",), COMPILE: ("tutorial",), MEMORY: ("small",)},
    slow={"tutorial": (BACKWARD,)},
    cases={name: CASES[name] for name in QUICK_CASES},
)
