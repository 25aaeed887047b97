"""Every combination of options against `torch.nn.LSTM` in float64: outputs, last states and all gradients.

Each combination runs on one of the two kernels, like the squares of a chessboard, and on the other one with `-m slow`.
"""

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
import pytest
from flax import nnx
from side_by_side import assert_same, torch

import jax_lstm as jl
from jax_lstm.kernels.fused import unavailable

STEPS, BATCH, INPUT, HIDDEN = 5, 3, 4, 6
LENGTHS = {"no lengths": None, "sorted": (5, 3, 1), "unsorted": (2, 5, 4)}
OPTIONS = ("bias", "bidirectional", "batch_first", "lengths", "state", "proj_size", "num_layers")
VALUES = ((True, False), (False, True), (False, True), tuple(LENGTHS), (False, True), (0, 3), (1, 2))
BACKENDS = ("native", "scan")


def grid() -> Iterator[Any]:
    for places in product(*(range(len(values)) for values in VALUES)):
        chosen = [values[at] for values, at in zip(VALUES, places, strict=True)]
        for at, backend in enumerate(BACKENDS):
            yield pytest.param(backend, *chosen, marks=[pytest.mark.slow] if (sum(places) + at) % 2 else [])


@pytest.mark.parametrize(("backend", *OPTIONS), grid())
def test_is_pytorchs(
    backend: str, bias: bool, bidirectional: bool, batch_first: bool, lengths: str, state: bool, proj_size: int,
    num_layers: int, x64: None,
) -> None:  # fmt: skip
    if backend == "native" and unavailable():
        pytest.skip(unavailable())
    torch.manual_seed(0)
    options: dict[str, Any] = {"bidirectional": bidirectional, "proj_size": proj_size}
    ours: dict[str, Any] = {"param_dtype": "float64", "backend": backend, "rngs": nnx.Rngs(0)}
    reference = torch.nn.LSTM(INPUT, HIDDEN, num_layers, bias, batch_first, **options).double()
    lstm = jl.LSTM(INPUT, HIDDEN, num_layers, bias, batch_first, **options, **ours)
    jl.load_state_dict(lstm, reference.state_dict())
    rng = np.random.default_rng(0)
    rows = num_layers * (2 if bidirectional else 1)
    x = rng.standard_normal((BATCH, STEPS, INPUT) if batch_first else (STEPS, BATCH, INPUT))
    given = [rng.standard_normal((rows, BATCH, size)) for size in (proj_size or HIDDEN, HIDDEN)] if state else None
    assert_same(reference, *nnx.split(lstm), x, given, LENGTHS[lengths])
