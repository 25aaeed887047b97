"""How a loop computes the pre-activations of the gates: where and in which form it multiplies by the weights.

A projection takes the transposed weights and `xs`. It returns what the loop reads in place of `xs`, and the
pre-activations as a function of one step of that and `h`.
"""

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jax_lstm.kernels.primitives import time_major
from jax_lstm.kernels.reference import product, sum_of_biases
from jax_lstm.params import LSTMParams

Gates = list[jax.Array]  # i, f, g, o, each (B, H)
Projection = Callable[[LSTMParams, jax.Array], tuple[Any, Callable[[Any, jax.Array], Gates]]]

CACHED = 2**20  # most values computed before the loop that are still in a cache when their step reads them


def projection_on_cpu(params: LSTMParams, xs: jax.Array) -> Projection:
    """The projection that was fastest on a CPU; other platforms use `project_before`.

    That leaves them one product a step (Appleyard et al. 2016, https://arxiv.org/abs/1604.01946).
    """
    steps, rows = (size if isinstance(size, int) else math.inf for size in xs.shape[:2])
    if rows <= 2 or (rows <= 16 and steps * rows * len(params.weight_hh) <= CACHED):
        return project_before
    columns = params.weight_ih.shape[1] + params.weight_hh.shape[1]
    if columns < 256:
        return project_joined
    return project_transposed if columns >= 1024 and rows < 128 else project_apart


def project_before(weights: LSTMParams, xs: jax.Array) -> Any:
    """One product with the inputs of all steps, before the loop; an array a gate, since XLA vectorises no slices."""
    bias = sum_of_biases(weights, 3)
    by_gate = jnp.split(weights.weight_ih, 4, axis=1)
    biases = [0.0] * 4 if isinstance(bias, float) else jnp.split(bias, 4, axis=-1)
    inputs = [time_major.bind(product(xs, weight) + bias) for weight, bias in zip(by_gate, biases, strict=True)]
    return inputs, lambda x, h: [a + b for a, b in zip(x, split_gates(product(h, weights.weight_hh)), strict=True)]


def project_joined(weights: LSTMParams, xs: jax.Array) -> Any:
    """In the loop, one product of `x` and `h` joined: for small weights."""
    joined, bias = jnp.concatenate([weights.weight_ih, weights.weight_hh]), sum_of_biases(weights, 2)
    return xs, lambda x, h: split_gates(product(jnp.concatenate([x, h.astype(x.dtype)], axis=-1), joined) + bias)


def project_apart(weights: LSTMParams, xs: jax.Array) -> Any:
    """In the loop, a product of `x` and one of `h`."""
    return xs, functools.partial(pre_activations, weights)


def project_transposed(weights: LSTMParams, xs: jax.Array) -> Any:
    """In the loop, two products with the weights on the left, as they lie in memory: for large weights."""
    weight_ih, weight_hh, bias = weights.weight_ih.T, weights.weight_hh.T, sum_of_biases(weights, 2)

    def gates(x: jax.Array, h: jax.Array) -> Gates:
        return split_gates((product(weight_ih, x.T) + product(weight_hh, h.astype(x.dtype).T)).T + bias)

    return xs, gates


def pre_activations(weights: LSTMParams, x: jax.Array, h: jax.Array) -> Gates:
    return split_gates(product(x, weights.weight_ih) + product(h, weights.weight_hh) + sum_of_biases(weights, 2))


def split_gates(gates: jax.Array) -> Gates:
    return jnp.split(gates, 4, axis=-1)
