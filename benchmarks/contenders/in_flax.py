"""Flax: `nnx.RNN` and `linen.RNN` over their cells; layers are stacked, directions in `Bidirectional`."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from flax import nnx

from benchmarks.cases import Problem
from benchmarks.contenders.base import Runner
from benchmarks.contenders.in_jax import Model, cut, directions, runner, torch_names, zeros
from jax_lstm import interop

PARTS = ("forward_rnn", "backward_rnn")


class Stack(nnx.Module):
    def __init__(self, layers: list[Any]):
        self.layers = nnx.List(layers)

    def __call__(self, xs: Any, carry: Any, seq_lengths: Any) -> Any:
        carries = []
        for layer in self.layers:
            last, xs = layer(xs, initial_carry=carry, seq_lengths=seq_lengths)
            carries.append(last)
        return xs, carries


def in_nnx(optimized: bool) -> Callable[[Problem], Runner]:
    cell_type = nnx.OptimizedLSTMCell if optimized else nnx.LSTMCell

    def build(problem: Problem) -> Runner:
        options: dict[str, Any] = {"time_major": True, "return_carry": True}

        def rnn(params: Any) -> nnx.RNN:
            gates, inputs = params.weight_ih.shape
            cell = cell_type(inputs, gates // 4, rngs=nnx.Rngs(0))
            nnx.update(cell, interop.to_nnx(params, optimized=optimized))
            return nnx.RNN(cell, **options)

        layers = [[rnn(params) for params in layer] for layer in problem.layers]
        stack = Stack([nnx.Bidirectional(*layer, **options) if len(layer) == 2 else layer[0] for layer in layers])
        graph, weights, rest = nnx.split(stack, nnx.Param, ...)
        start = (zeros(problem), zeros(problem))  # otherwise RNN needs a random key for its zeros
        carry = (start, start) if problem.case.bidirectional else start

        def apply(weights: Any, xs: Any) -> Any:
            ys, carries = nnx.merge(graph, weights, rest)(xs, carry, problem.lengths)
            return cut(ys, problem), carries

        def step(weights: Any, x: Any, carry: Any) -> Any:
            carry, y = nnx.merge(graph, weights, rest).layers[0].cell(carry, x)
            return y, carry

        def in_torch(weights: Any) -> dict[str, Any]:
            def of(layer: int, direction: int) -> Any:
                part = weights["layers"][layer]
                return interop.from_nnx((part[PARTS[direction]] if problem.case.bidirectional else part)["cell"])

            return torch_names(problem, of)

        return runner(Model(weights, apply, in_torch, step=step, start=start), problem)

    return build


def in_linen(problem: Problem) -> Runner:
    options: dict[str, Any] = {"time_major": True, "return_carry": True}

    def rnn() -> nn.RNN:
        return nn.RNN(nn.OptimizedLSTMCell(problem.case.hidden_size), **options)

    layer: Any = nn.Bidirectional(rnn(), rnn(), **options) if problem.case.bidirectional else rnn()
    cells = [[{"cell": interop.to_linen(params)} for params in layer] for layer in problem.layers]
    weights = [dict(zip(PARTS, each, strict=True)) if len(each) == 2 else each[0] for each in cells]
    lengths = None if problem.lengths is None else jnp.asarray(problem.lengths)

    def apply(weights: Any, xs: Any) -> Any:
        carries = []
        for own in weights:
            carry, xs = layer.apply({"params": own}, xs, seq_lengths=lengths)
            carries.append(carry)
        return cut(xs, problem), carries

    def step(weights: Any, x: Any, carry: Any) -> Any:
        carry, y = nn.OptimizedLSTMCell(problem.case.hidden_size).apply({"params": weights[0]["cell"]}, carry, x)
        return y, carry

    def in_torch(weights: Any) -> dict[str, Any]:
        def of(layer: int, direction: int) -> Any:
            part = weights[layer]
            return interop.from_linen((part[PARTS[direction]] if len(directions(problem)) == 2 else part)["cell"])

        return torch_names(problem, of)

    start = (zeros(problem), zeros(problem))
    return runner(Model(weights, apply, in_torch, step=step, start=start), problem)
