"""What to measure, and how thoroughly."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from benchmarks.cases import CASES, Case
from benchmarks.contenders import CONTENDERS, Contender
from benchmarks.sampling import Plan


@dataclass(frozen=True)
class Setting:
    plan: Plan = Plan()  # noqa: RUF009 immutable
    cases: Mapping[str, Case] = field(default_factory=lambda: CASES)
    contenders: Mapping[str, Contender] = field(default_factory=lambda: CONTENDERS)
    long: Case = Case(8, 16384, 64, 256)  # noqa: RUF009 immutable; for the memory of gradients
    lengths: tuple[int, ...] = (16, 256, 4096)  # for the time to compile

    def present(self) -> dict[str, Contender]:
        """The contenders that can be measured here."""
        return {name: contender for name, contender in self.contenders.items() if not contender.absent()}

    def backends(self) -> list[str]:
        """Our own kernels among them."""
        return [contender.backend for contender in self.present().values() if contender.backend]


QUICK = Setting(
    Plan(budget=1.0, least=3),
    {name: case for name, case in CASES.items() if case.flops < 1e10},
    long=Case(8, 4096, 64, 128),
    lengths=(16, 1024),
)
