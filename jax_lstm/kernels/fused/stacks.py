"""The fused operations on a stack of layers: one layer after the other, each a call of the operation.

This is how a stack runs on platforms whose lowering takes one layer at a time.
"""

from collections.abc import Callable, Iterable
from typing import Any

import jax.numpy as jnp

from jax_lstm.kernels.fused.arrays import Arrays, at_layer, by_layer, layer_of, without_layer

Run = Callable[..., Arrays]  # an operation: arrays, names of the results wanted, what was asked for


def upwards(run: Run, arrays: Arrays, wanted: Iterable[str], *asked: Any) -> Arrays:
    """`infer` and `forward`: a layer reads the outputs of the one below it."""
    return _in_order(run, list(enumerate(by_layer(arrays))), "xs", "ys", wanted, asked)


def tangents_upwards(run: Run, arrays: Arrays, wanted: Iterable[str], *asked: Any) -> Arrays:
    """`tangents`: a layer reads the tangent of the outputs of the one below it."""
    layers = by_layer(arrays)
    layers[0].setdefault("d_h0", jnp.zeros_like(layers[0]["h0"]))  # there may be no tangent in this layer
    return _in_order(run, list(enumerate(layers)), "d_xs", "d_ys", wanted, asked)


def downwards(run: Run, arrays: Arrays, wanted: Iterable[str], *asked: Any) -> Arrays:
    """`backward`: a layer reads the gradient of the inputs of the one above it. It ends at the last layer wanted."""
    lowest = min(map(layer_of, wanted))
    layers = list(enumerate(by_layer(arrays)))[lowest:]
    return _in_order(run, layers[::-1], "d_ys", "d_xs", wanted, asked)


def _in_order(
    run: Run, layers: list[tuple[int, Arrays]], read: str, written: str, wanted: Iterable[str], asked: tuple[Any, ...]
) -> Arrays:
    """Run numbered layers. From the second on, each takes as `read` what the one before it returned as `written`."""
    found: Arrays = {}
    passed: Arrays = {}
    for layer, own in layers:
        names = [without_layer(name) for name in wanted if layer_of(name) == layer]
        last = layer == layers[-1][0]
        results = run(passed | own, names if last or written in names else [*names, written], *asked)
        passed = {} if last else {read: results[written]}
        found |= {at_layer(name, layer): results[name] for name in names}
    return found
