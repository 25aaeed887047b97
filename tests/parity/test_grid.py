"""Every combination of options against `torch.nn.LSTM` in float64: outputs, last states and all gradients.

The native kernel runs all of them. So does `scan`, which takes longer to compile: ten in the plain run, in which every
pair of options occurs, and the rest with `-m slow`.
"""

import functools
from itertools import product
from typing import Any, NamedTuple

import jax
import numpy as np
import pytest
from side_by_side import Case, Compared, assert_same, compare, torch, with_weights_of

import jax_lstm as jl
from jax_lstm.kernels.fused import unavailable

STEPS, BATCH, INPUT, HIDDEN = 5, 3, 4, 6
LENGTHS = {"no lengths": None, "sorted": np.array((5, 3, 1)), "unsorted": np.array((2, 5, 4))}
BOOLS = (False, True)


class Combination(NamedTuple):
    bias: bool
    bidirectional: bool
    batch_first: bool
    lengths: str
    state: bool
    proj_size: int
    num_layers: int


GRID = [Combination(*values) for values in product(BOOLS, BOOLS, BOOLS, LENGTHS, BOOLS, (0, 3), (1, 2))]


def is_slow(backend: str, of: Combination) -> bool:
    return backend == "scan" and GRID.index(of) % 21 != 0


RUNS = [(backend, each) for backend in ("native", "scan") for each in GRID]


@pytest.mark.parametrize(
    ("backend", "combination"),
    [
        pytest.param(*run, marks=[pytest.mark.slow] if is_slow(*run) else [], id="-".join(map(str, (run[0], *run[1]))))
        for run in RUNS
    ],
)
def test_is_pytorchs(backend: str, combination: Combination) -> None:
    if backend == "native" and unavailable():
        pytest.skip(unavailable())
    assert_same(compared(backend, is_slow(backend, combination))[combination], "float64")


@functools.cache
def compared(backend: str, slow: bool) -> dict[Combination, Compared]:
    """All combinations of a kernel in one program, which is called with sorted and with unsorted lengths."""
    found = {}
    for left_out in ("unsorted", "sorted"):
        chosen = [each for each in GRID if each.lengths != left_out and is_slow(backend, each) == slow]
        with jax.enable_x64(True):
            found |= dict(zip(chosen, compare([make(each, backend) for each in chosen]), strict=True))
    return found


def make(combination: Combination, backend: str) -> Case:
    bias, bidirectional, batch_first, lengths, with_state, proj_size, num_layers = combination
    torch.manual_seed(0)
    options: dict[str, Any] = {"bidirectional": bidirectional, "proj_size": proj_size}
    arguments = (INPUT, HIDDEN, num_layers, bias, batch_first)
    reference = torch.nn.LSTM(*arguments, **options).double()
    options |= {"param_dtype": "float64", "backend": backend}
    split = with_weights_of(reference, jl.LSTM, *arguments, **options)
    rng = np.random.default_rng(0)
    rows = num_layers * (2 if bidirectional else 1)
    x = rng.standard_normal((BATCH, STEPS, INPUT) if batch_first else (STEPS, BATCH, INPUT))
    sizes = (proj_size or HIDDEN, HIDDEN)
    state = tuple(rng.standard_normal((rows, BATCH, size)) for size in sizes) if with_state else None
    return Case(reference, *split, x, state, LENGTHS[lengths])
