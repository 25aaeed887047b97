"""Forward, and forward with backward, over sizes and precisions: ours on each kernel, and PyTorch's LSTM."""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from benchmarks.cases import Case, Problem, draw
from benchmarks.contenders.base import BACKWARD, FORWARD, Results, Runner, Work
from benchmarks.contenders.in_torch import device
from benchmarks.contenders.ours import ours
from benchmarks.contenders.torch_modules import in_torch
from benchmarks.device.precisions import PRECISIONS, Precision, computed_in, within
from benchmarks.gate import fault
from benchmarks.sampling import Plan, Timed, sample
from benchmarks.timed import operations
from jax_lstm.checks import InputError
from jax_lstm.kernels.registry import KERNELS, Request, choose

TORCH, PACKED = "torch", "torch packed"
MEASURES = (FORWARD, BACKWARD)


class Grid(NamedTuple):
    """Every H with every B, at T steps; inputs are as wide as the hidden layer."""

    hidden: tuple[int, ...] = (256, 1024, 64, 512, 768, 128, 384, 192)  # if time runs out, the rest of them
    batch: tuple[int, ...] = (16, 64, 1, 128)
    steps: int = 512
    precisions: tuple[str, ...] = tuple(PRECISIONS)

    def cases(self) -> Iterator[Case]:
        for hidden in self.hidden:
            for batch in self.batch:
                yield Case(batch, self.steps, hidden, hidden)


def kernels(platform: str) -> list[str]:
    """Ours that can run there, but for the textbook."""
    found = []
    for name in KERNELS:
        with suppress(InputError):
            choose(name, Request(platform, np.dtype("float32"), (1, 1, 1), None))
            found.append(name)
    return [name for name in found if name != "reference"]


def _runners(problem: Problem, precision: Precision, names: list[str]) -> tuple[dict[str, Runner], dict[str, str]]:
    """By contender; and why those that are missing could not be built."""
    full = np.full(problem.case.batch, problem.case.steps, np.int32)
    builds = {
        TORCH: lambda: in_torch(problem, dtype=precision.dtype, place=device()),
        PACKED: lambda: in_torch(problem._replace(lengths=full), dtype=precision.dtype, place=device()),
        **{name: lambda name=name: ours(name, precision.dtype)(problem) for name in names},
    }
    made, failed = {}, {}
    for name, build in builds.items():
        try:
            made[name] = build()
        except Exception as error:  # a framework may fail with anything
            failed[name] = _first_line(error)
    return made, failed


def rows(case: Case, grid: Grid, platform: str, plan: Plan, threads: int) -> Iterator[Timed]:
    """A row a precision and measure. All that JAX has to compile is compiled first, on many threads."""
    problem, names = draw(case), kernels(platform)
    built = {name: _runners(problem, PRECISIONS[name], names) for name in grid.precisions}
    _compile([within(PRECISIONS[name], runner[measure].run) for name, (made, _) in built.items()
              for who, runner in made.items() if who in names for measure in MEASURES], threads)  # fmt: skip

    @cache
    def expected(measure: str) -> Results:
        return in_torch(problem, dtype="float64", place=device())[measure].results()

    for precision, (made, broken) in built.items():
        for measure in MEASURES:
            works, failed, refused = _admitted(made, measure, precision, expected(measure))
            turns = {who: within(PRECISIONS[precision], work.run) for who, work in works.items()}
            seconds, calls = sample(turns, plan)
            name = f"H={case.hidden_size}, B={case.batch}"
            yield Timed(
                precision, name, measure, TORCH, seconds, calls, {**broken, **failed}, operations(case, measure),
                shape=case.shape, not_offered=refused,
            )  # fmt: skip


def _compile(calls: list[Any], threads: int) -> None:
    def tried(call: Any) -> None:
        with suppress(Exception):  # the gate will meet it again, and say so
            call()

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(tried, calls))


def _admitted(
    made: Mapping[str, Runner], measure: str, precision: str, expected: Results
) -> tuple[dict[str, Work], dict[str, str], dict[str, str]]:
    """The works that compute what PyTorch does in float64; why others do not; and why others do not serve the case."""
    works, failed, refused = {}, {}, {}
    for who, runner in made.items():
        try:
            with computed_in(PRECISIONS[precision]):
                wrong = fault(runner[measure].results(), expected, precision)
        except InputError as error:
            refused[who] = str(error)
            continue
        except Exception as error:  # as above
            wrong = _first_line(error)
        if wrong:
            failed[who] = wrong
        else:
            works[who] = runner[measure]
    return works, failed, refused


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]
