"""Gradients in float32 where gates saturate: `native` loses no more digits than PyTorch does.

There gradients are small differences of large terms. With 256 inputs and weights from U(-1, 1), most gates are close to
0 or 1. The errors are taken against PyTorch in float64; of two float32 computations that differ only in the order of
their sums, one is as often the better.
"""

import copy
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from side_by_side import torch

import jax_lstm as jl
from jax_lstm.kernels.fused import unavailable

SIZES = {"many inputs": (256, 2, 3, 1), "large weights": (4, 2, 3, 1)}  # input, hidden, layers, projection
SCALE = {"many inputs": 1.0, "large weights": 8.0}
STEPS, ROWS, SEEDS = 2, 3, 60


@pytest.mark.skipif(bool(unavailable()), reason=unavailable() or "")
@pytest.mark.parametrize("kind", SIZES)
def test_errors_are_like_pytorchs(kind: str) -> None:
    inputs, hidden, layers, projected = SIZES[kind]
    single = torch.nn.LSTM(inputs, hidden, layers, batch_first=True, proj_size=projected)
    double = copy.deepcopy(single).double()

    @jax.jit
    def gradients(params: dict[str, jax.Array], x: jax.Array, d: list[jax.Array]) -> dict[str, jax.Array]:
        def loss(params: dict[str, jax.Array]) -> jax.Array:
            ys, state = jl.functional.lstm(params, x, batch_first=True, backend="native")
            return jnp.sum(ys * d[0]) + jnp.sum(state.h * d[1]) + jnp.sum(state.c * d[2])

        return jax.grad(loss)(params)

    ratios = []
    for seed in range(SEEDS):
        rng = np.random.default_rng(seed)
        with torch.no_grad():
            for ours, wide in zip(single.parameters(), double.parameters(), strict=True):
                ours.copy_(torch.tensor(rng.uniform(-SCALE[kind], SCALE[kind], tuple(ours.shape))))
                wide.copy_(ours)
        x = rng.standard_normal((ROWS, STEPS, inputs)).astype(np.float32)
        shapes = ((ROWS, STEPS, projected), (layers, ROWS, projected), (layers, ROWS, hidden))
        d = [rng.standard_normal(shape).astype(np.float32) for shape in shapes]
        exact = by_torch(double, x, d)
        params = {name: jnp.asarray(weight.detach().numpy()) for name, weight in single.named_parameters()}
        ratios.append(error(gradients(params, x, d), exact) / error(by_torch(single, x, d), exact))
    assert np.median(ratios) < 1.5
    assert np.quantile(ratios, 0.9) < 4


def by_torch(module: Any, x: np.ndarray, d: list[np.ndarray]) -> dict[str, np.ndarray]:
    module.zero_grad()
    dtype = module.weight_ih_l0.dtype
    ys, (h, c) = module(torch.tensor(x, dtype=dtype))
    torch.autograd.backward([ys, h, c], [torch.tensor(each, dtype=dtype) for each in d])
    return {name: weight.grad.numpy() for name, weight in module.named_parameters()}


def error(found: dict[str, Any], exact: dict[str, np.ndarray]) -> float:
    """The largest over the arrays, relative to the largest entry of each."""
    return max(float(np.abs(np.asarray(found[name]) - each).max() / np.abs(each).max()) for name, each in exact.items())
