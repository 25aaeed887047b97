"""Equinox: its cell under `lax.scan`, once per layer and direction, as in its documentation."""

from typing import Any

import jax
import jax.numpy as jnp

from benchmarks.cases import Problem
from benchmarks.contenders.base import Runner
from benchmarks.contenders.in_jax import Model, directions, runner, torch_names, zeros
from jax_lstm import interop
from jax_lstm.params import LSTMParams


def in_equinox(problem: Problem) -> Runner:
    import equinox

    cells = [
        [equinox.nn.LSTMCell(p.weight_ih.shape[1], problem.case.hidden_size, key=jax.random.key(0)) for p in layer]
        for layer in problem.layers
    ]
    weights = [[interop.to_equinox(params) for params in layer] for layer in problem.layers]
    start = (zeros(problem), zeros(problem))

    def filled(weights: Any, layer: int, direction: int) -> Any:
        parts = lambda cell: [cell.weight_ih, cell.weight_hh, cell.bias]  # noqa: E731
        return equinox.tree_at(parts, cells[layer][direction], weights[layer][direction])

    def apply(weights: Any, xs: Any) -> Any:
        states = []
        for layer in range(problem.case.num_layers):
            sides = []
            for direction, reverse in enumerate(directions(problem)):
                cell = filled(weights, layer, direction)

                def step(state: Any, x: Any, cell: Any = cell) -> Any:
                    state = jax.vmap(cell)(x, state)
                    return state, state[0]

                state, ys = jax.lax.scan(step, start, xs, reverse=reverse)
                sides.append(ys)
                states.append(state)
            xs = jnp.concatenate(sides, axis=-1) if len(sides) == 2 else sides[0]
        return xs, states

    def step(weights: Any, x: Any, state: Any) -> Any:
        state = jax.vmap(filled(weights, 0, 0))(x, state)
        return state[0], state

    def in_torch(weights: Any) -> dict[str, Any]:
        def of(layer: int, direction: int) -> LSTMParams:
            weight_ih, weight_hh, bias = weights[layer][direction]
            return LSTMParams(weight_ih, weight_hh, jnp.zeros_like(bias), bias)

        return torch_names(problem, of)

    return runner(Model(weights, apply, in_torch, step=step, start=start), problem)
