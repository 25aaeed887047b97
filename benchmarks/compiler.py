"""The memory of gradients with and without remat, and compile time over T."""

from collections.abc import Iterator
from dataclasses import replace

from benchmarks.cases import Case, draw
from benchmarks.contenders.base import BACKWARD, Contender, Work
from benchmarks.contenders.ours import ours
from benchmarks.gate import admit, lineup
from benchmarks.sampling import Timed
from benchmarks.setting import Setting
from benchmarks.stages import jitted, stages
from benchmarks.timed import timed
from jax_lstm.kernels import Scan

REMAT = {
    "keep all": Contender(ours("scan"), ""),
    "gates": Contender(ours(Scan(remat="gates")), ""),
    "chunks": Contender(ours(Scan(remat="chunks")), ""),
}


def remat(setting: Setting) -> Iterator[Timed]:
    """Time and memory of the gradients of a long sequence, with each `remat`."""
    admitted = admit(lineup(REMAT, setting.long), BACKWARD)
    plan = setting.plan._replace(least=min(3, setting.plan.least))
    row = timed("remat", "long", setting.long, BACKWARD, admitted, plan, "keep all")
    yield replace(row, memory={name: _temporary_bytes(work) for name, work in admitted.works.items()})


def compiling(setting: Setting) -> Iterator[Timed]:
    """Seconds to trace, lower and compile forward+backward over T; contenders take turns, with cleared caches."""
    present = {name: contender for name, contender in setting.present().items() if contender.backend}
    for steps in setting.lengths if present else ():
        case = Case(32, steps, 32, 64)
        problem = draw(case)
        seconds: dict[str, list[float]] = {name: [] for name in present}
        for _ in range(setting.plan.least):
            for name, contender in present.items():
                seconds[name].append(sum(stages(contender.build(problem)[BACKWARD]).values()))
        baseline = next(iter(present))
        yield Timed("compiling", f"T={steps}", "compile", baseline, seconds, shape=case.shape)


def _temporary_bytes(work: Work) -> int:
    function, arguments = jitted(work)
    return int(function.lower(*arguments).compile().memory_analysis().temp_size_in_bytes)
