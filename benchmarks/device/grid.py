"""Speed over sizes and precisions, forward and forward+backward: our kernels and PyTorch's LSTM."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np

from benchmarks.core.cases import Case, Problem, draw
from benchmarks.core.contenders.base import BACKWARD, FORWARD, Results, Runner, Work, refusal
from benchmarks.core.contenders.in_jax import ours
from benchmarks.core.contenders.in_torch import device, in_torch
from benchmarks.core.gate import LIMITS, Admitted, first_line
from benchmarks.core.measure import of_case, timed
from benchmarks.core.record import Row
from benchmarks.core.sampling import Call, Plan
from jax_lstm.checks import InputError
from jax_lstm.kernels import KERNELS
from jax_lstm.tolerances import difference


class Precision(NamedTuple):
    """`dtype` of weights, inputs and outputs; `matmul` is JAX's name of the precision of float32 products."""

    dtype: str
    matmul: str
    tf32: bool


PRECISIONS = {
    "TF32": Precision("float32", "tensorfloat32", True),
    "bfloat16": Precision("bfloat16", "default", True),
    "float32": Precision("float32", "highest", False),
    "float16": Precision("float16", "default", True),
}


@contextmanager
def computed_in(precision: Precision) -> Any:
    """Set the matmul precision of both frameworks in a context."""
    import torch

    torch.backends.cuda.matmul.allow_tf32 = precision.tf32
    flags = torch.backends.cudnn.flags(enabled=True, allow_tf32=precision.tf32)
    with flags, jax.default_matmul_precision(precision.matmul):
        yield


TORCH, PACKED = "torch", "torch packed"
TORCH_HAS = ("gpu", "cpu")  # JAX's platforms on which PyTorch runs too
HUNGRY = ("cudnn",)  # JAX's binding allocates several times the memory that cuDNN needs
MEASURES = (FORWARD, BACKWARD)


class Grid(NamedTuple):
    """Every H with every B, at T steps; I is H."""

    hidden: tuple[int, ...] = (256, 1024, 64, 512, 768, 128, 384, 192)  # time may run out: the rest last
    batch: tuple[int, ...] = (16, 64, 1, 128)
    steps: int = 512
    precisions: tuple[str, ...] = tuple(PRECISIONS)

    def cases(self) -> Iterator[Case]:
        for hidden in self.hidden:
            for batch in self.batch:
                yield Case(batch, self.steps, hidden, hidden)


def kernels() -> list[str]:
    """Our kernels that run on this platform; without "reference", and "plain", which computes what "scan" computes."""
    return [name for name in KERNELS if name not in ("reference", "plain") and not refusal(name)]


def _runners(
    problem: Problem, precision: Precision, names: list[str], platform: str
) -> tuple[dict[str, Runner], dict[str, str]]:
    """The measures by contender, and why the others could not be built."""
    full = np.full(problem.case.batch, problem.case.steps, np.int32)
    theirs = {
        TORCH: lambda: in_torch(problem, dtype=precision.dtype, place=device()),
        PACKED: lambda: in_torch(problem._replace(lengths=full), dtype=precision.dtype, place=device()),
    }
    builds = {
        **(theirs if platform in TORCH_HAS else {}),
        **{name: lambda name=name: ours(name, precision.dtype)(problem) for name in names},
    }
    made, failed = {}, {}
    for name, build in builds.items():
        try:
            made[name] = build()
        except Exception as error:  # frameworks raise anything
            failed[name] = first_line(error)
    return made, failed


class Error(NamedTuple):
    """The largest relative difference; or what was raised, or why the case is not supported (`refused`)."""

    relative: float
    text: str = ""
    refused: bool = False


def rows(case: Case, grid: Grid, platform: str, plan: Plan, threads: int) -> Iterator[list[Row]]:
    """A row for each precision and measure. Everything in JAX is compiled first, on many threads.

    PyTorch is the baseline, so it is timed even if it differs from float64 by more than the limit. Then this is noted,
    and ours may differ by twice as much as PyTorch.
    """
    problem, names, name = draw(case), kernels(), f"H={case.hidden_size}, B={case.batch}"
    built = {name: _runners(problem, PRECISIONS[name], names, platform) for name in grid.precisions}
    jobs = [(name, who, measure) for name, (made, _) in built.items() for who in made for measure in MEASURES]
    calls = {(name, who, measure): built[name][0][who][measure].run for name, who, measure in jobs if who in names}
    _compile(calls, threads)
    place = device() if platform in TORCH_HAS else "cpu"
    expected = {measure: in_torch(problem, dtype="float64", place=place)[measure].results() for measure in MEASURES}
    for precision, (made, broken) in built.items():
        errors = _errors(made, precision, expected, threads)
        for measure in MEASURES:
            limit = LIMITS[precision]["outputs" if measure == FORWARD else "gradient"]
            admitted = _judged({who: (made[who][measure], errors[who, measure]) for who in made}, limit)
            admitted.failed.update(broken)
            with computed_in(PRECISIONS[precision]):
                found = timed(precision, name, measure, admitted, plan, TORCH, **of_case(case, measure))
            yield found


def _judged(works: Mapping[str, tuple[Work, Error]], limit: float) -> Admitted:
    """Those to time, with notes, and why others are not timed; see `rows`."""
    theirs = works[TORCH][1].relative if TORCH in works else 0.0
    allowed = max(limit, 2 * theirs) if np.isfinite(theirs) else limit
    found = Admitted({}, {}, {})
    for who, (work, error) in works.items():
        compared_with = who in (TORCH, PACKED) and np.isfinite(error.relative)
        if error.refused:
            found.not_offered[who] = error.text
        elif compared_with and error.relative > limit:
            found.works[who] = work._replace(note=partial(_off, error, limit))
        elif compared_with or error.relative <= allowed:
            found.works[who] = work
        else:
            found.failed[who] = error.text or _off(error, allowed)
    return found


def _off(error: Error, limit: float) -> str:
    return f"off by {error.relative:.1e}, more than {limit:.0e}"


def _in_turn(jobs: Sequence[Any], alone: Callable[[Any], bool], call: Callable[[Any], Any], threads: int) -> Any:
    """`call` every job: on threads, except those for which `alone` is true, which run one after the other."""
    together = [job for job in jobs if not alone(job)]
    with ThreadPoolExecutor(threads) as pool:
        done = dict(zip(together, pool.map(call, together), strict=True))
    return {job: done[job] if job in done else call(job) for job in jobs}


def _compile(calls: Mapping[tuple[str, str, str], Call], threads: int) -> None:
    """Call each once, in the matmul precision of its name, which is local to a thread."""

    def tried(job: tuple[str, str, str]) -> None:
        matmul = PRECISIONS[job[0]].matmul
        with jax.default_matmul_precision(matmul), suppress(Exception):  # `_errors` reports it
            calls[job]()

    _in_turn(list(calls), lambda job: job[1] in HUNGRY, tried, threads)


def _errors(
    made: Mapping[str, Runner], precision: str, expected: Mapping[str, Results], threads: int
) -> dict[tuple[str, str], Error]:
    """Errors by contender and measure, against PyTorch in float64; on threads, since comparing is slow."""

    def found(job: tuple[str, str]) -> Error:
        who, measure = job
        try:
            with jax.default_matmul_precision(PRECISIONS[precision].matmul):  # local to a thread
                results = made[who][measure].results()
            return Error(max(difference(results[name], want).relative for name, want in expected[measure].items()))
        except InputError as error:
            return Error(np.inf, str(error), refused=True)
        except Exception as error:  # frameworks raise anything
            return Error(np.inf, first_line(error))

    jobs = [(who, measure) for who in made for measure in MEASURES]
    with computed_in(PRECISIONS[precision]):
        return _in_turn(jobs, lambda job: job[0] in HUNGRY, found, threads)
