"""Every combination of options against `torch.nn.LSTM` in float64: outputs, last states and all gradients.

The native kernel runs all of them. So does `scan`, which takes longer to compile, with `-m slow`: ten in the plain run.
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
CHUNK = 32  # combinations a program


class Combination(NamedTuple):
    bias: bool
    bidirectional: bool
    batch_first: bool
    lengths: str
    state: bool
    proj_size: int
    num_layers: int


GRID = [Combination(*values) for values in product(BOOLS, BOOLS, BOOLS, LENGTHS, BOOLS, (0, 3), (1, 2))]


FEW = GRID[::21]  # every pair of options occurs in these


@pytest.mark.parametrize("combination", GRID, ids=lambda of: "-".join(map(str, of)))
@pytest.mark.skipif(bool(unavailable()), reason=unavailable())
def test_native_is_pytorchs(combination: Combination) -> None:
    assert_same(compared("native", tuple(GRID))[combination], "float64")


@pytest.mark.parametrize("combination", FEW, ids=lambda of: "-".join(map(str, of)))
def test_scan_is_pytorchs(combination: Combination) -> None:
    assert_same(compared("scan", tuple(FEW))[combination], "float64")


@pytest.mark.slow
@pytest.mark.parametrize("combination", GRID, ids=lambda of: "-".join(map(str, of)))
def test_scan_is_pytorchs_on_all(combination: Combination) -> None:
    assert_same(compared("scan", tuple(GRID))[combination], "float64")


@functools.cache
def compared(backend: str, combinations: tuple[Combination, ...]) -> dict[Combination, Compared]:
    """Programs of CHUNK combinations each; those of sorted and of unsorted lengths are the same ones."""
    found = {}
    with jax.enable_x64(True):
        for lengths in LENGTHS:
            alike = [each for each in combinations if each.lengths == lengths]
            for chunk in (alike[at : at + CHUNK] for at in range(0, len(alike), CHUNK)):
                found |= dict(zip(chunk, compare([make(each, backend) for each in chunk]), strict=True))
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
