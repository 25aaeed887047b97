"""What the compiler costs and saves: the memory of gradients with and without remat, and the time to compile over T."""

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import jax

from benchmarks.cases import Case, draw
from benchmarks.contenders import Contender, Runner, ours
from benchmarks.gate import admit
from benchmarks.layers import timed
from benchmarks.sampling import Timed
from benchmarks.setting import Setting

REMAT = {
    "keep all": Contender(ours("scan"), ""),
    "gates": Contender(ours("scan", remat="gates"), ""),
    "chunks": Contender(ours("scan", remat="chunks"), ""),
}


def remat(setting: Setting) -> Iterator[Timed]:
    """Gradients of a long sequence: all kept, or computed again; seconds and memory."""
    runners, failed = admit(REMAT, setting.long)
    plan = setting.plan._replace(least=min(3, setting.plan.least))
    rows = timed("remat", "long", setting.long, runners, failed, plan, "keep all", ("forward+backward",))
    memory = {name: _temporary_bytes(runner) for name, runner in runners.items()}
    yield from (replace(row, memory=memory) for row in rows)


def compiling(setting: Setting) -> Iterator[Timed]:
    """Seconds to trace, lower and compile forward+backward, over T; in turns, caches cleared."""
    present = {name: contender for name, contender in setting.present().items() if contender.backend}
    for steps in setting.lengths if present else ():
        case = Case(32, steps, 32, 64)
        problem = draw(case)
        seconds: dict[str, list[float]] = {name: [] for name in present}
        for _ in range(setting.plan.least):
            for name, contender in present.items():
                seconds[name].append(_compile_seconds(contender.build(problem)))
        baseline = next(iter(present))
        yield Timed("compiling", f"T={steps}", "compile", baseline, seconds, shape=case.shape)


def _temporary_bytes(runner: Runner) -> int:
    function, arguments = _compiled(runner)
    return int(function.lower(*arguments).compile().memory_analysis().temp_size_in_bytes)


def _compile_seconds(runner: Runner) -> float:
    function, arguments = _compiled(runner)
    jax.clear_caches()  # what was compiled before must not shorten it
    began = time.perf_counter()
    function.lower(*arguments).compile()
    return time.perf_counter() - began


def _compiled(runner: Runner) -> tuple[Any, tuple[Any, ...]]:
    assert runner.compiled is not None, "ours are compiled"
    return runner.compiled
