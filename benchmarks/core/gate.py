"""The gate: contenders whose results differ from a float64 LSTM are not timed.

The oracle is PyTorch's LSTM in float64 with autograd, and its Adam. It shares no code with the contenders in JAX, nor
the kernel of PyTorch's float32 LSTM, which is oneDNN's. Tests run every contender against it.
"""

import functools
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from benchmarks.core.cases import Case, draw
from benchmarks.core.contenders.base import FORWARD, STREAMING, TRAINING, Contender, Results, Runner, Work
from benchmarks.core.contenders.in_torch import in_torch
from jax_lstm.tolerances import TOLERANCES, difference

BFLOAT16 = 3e-2  # an 8-bit mantissa, rounded at each of about a hundred steps; as in the tests of the kernels
FLOAT16 = 1e-2
# Adam's first steps are as large for an entry whose gradient is rounding noise as for any other. A few in a million
# differ for that reason, so updates are compared by the norm of the difference instead of the largest difference.
UPDATES = 1e-2
LIMITS = {
    "float32": {
        "outputs": TOLERANCES["outputs"].float32,
        "gradient": TOLERANCES["gradients"].float32,
        "update": UPDATES,
    },
    "bfloat16": {"outputs": BFLOAT16, "gradient": BFLOAT16, "update": UPDATES},
    # An 11-bit mantissa; in TF32, of the factors of every product.
    "float16": {"outputs": FLOAT16, "gradient": FLOAT16, "update": UPDATES},
    "TF32": {"outputs": FLOAT16, "gradient": FLOAT16, "update": UPDATES},
}


class Lineup(NamedTuple):
    """The contenders for one case: those that were built, and why the others were not."""

    case: Case
    contenders: Mapping[str, Contender]
    runners: dict[str, Runner]
    failed: dict[str, str]
    not_offered: dict[str, str]


class Admitted(NamedTuple):
    """The contenders that passed the gate for one measure, and why the others did not."""

    works: dict[str, Work]
    failed: dict[str, str]
    not_offered: dict[str, str]


@functools.lru_cache(maxsize=4)  # a case is checked several times in a row
def oracle(case: Case, measure: str, biases: int = 2) -> Results:
    """The expected results of a measure, for the problem that `draw` makes."""
    measure = FORWARD if measure == STREAMING else measure  # a sequence fed step by step has the same outputs
    return in_torch(draw(case), dtype="float64", biases=biases)[measure].results()


def fault(results: Results, expected: Results, dtype: str = "float32") -> str:
    """How `results` differ from `expected`; empty if they pass."""
    for name, want in expected.items():
        kind = name.partition(" of ")[0]
        limit = LIMITS[dtype][kind]
        if results[name].shape != want.shape:
            return f"{name}: shape {results[name].shape}, not {want.shape}"
        relative = _apart(results[name], want) if kind == "update" else difference(results[name], want).relative
        if not relative <= limit:
            return f"{name}: off by {relative:.1e}, more than {limit:.0e}"
    return ""


def lineup(contenders: Mapping[str, Contender], case: Case, barred: Mapping[str, str] | None = None) -> Lineup:
    """Build the contenders that support the case and are not `barred`; one that raises has failed."""
    problem = draw(case)
    runners, failed, not_offered = {}, {}, {}
    for name, contender in contenders.items():
        if reason := (barred or {}).get(name) or contender.refuses(case):
            not_offered[name] = reason
            continue
        try:
            runners[name] = contender.build(problem)
        except Exception as error:  # frameworks raise anything
            failed[name] = first_line(error)
    return Lineup(case, contenders, runners, failed, not_offered)


def admit(lineup: Lineup, measure: str) -> Admitted:
    """Run a measure and check its results; a contender that raises has failed."""
    works, failed, not_offered = {}, dict(lineup.failed), dict(lineup.not_offered)
    for name, runner in lineup.runners.items():
        contender = lineup.contenders[name]
        if measure not in runner:
            not_offered[name] = contender.lacks or f"it has no {measure}"
            continue
        expected = oracle(lineup.case, measure, contender.biases if measure == TRAINING else 2)
        try:
            if wrong := fault(runner[measure].results(), expected, contender.dtype):
                failed[name] = wrong
            else:
                works[name] = runner[measure]
        except Exception as error:  # as above
            failed[name] = first_line(error)
    return Admitted(works, failed, not_offered)


def _apart(got: np.ndarray, want: np.ndarray) -> float:
    """The norm of the difference, relative to the norm of `want`."""
    distance, length = float(np.linalg.norm(got - want)), float(np.linalg.norm(want))
    return distance / length if np.isfinite(distance) and length else np.inf


def first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]
