"""Keras 3 on JAX: `keras.layers.LSTM`, stacked or `Bidirectional`, through `stateless_call`."""

import os
from typing import Any

import jax.numpy as jnp

from benchmarks.cases import Problem
from benchmarks.contenders.base import Runner
from benchmarks.contenders.in_jax import Model, runner, torch_names, zeros
from jax_lstm import interop


def in_keras(problem: Problem) -> Runner:
    os.environ.setdefault("KERAS_BACKEND", "jax")
    import keras

    if keras.backend.backend() != "jax":
        raise RuntimeError(f"Keras runs on {keras.backend.backend()}; set KERAS_BACKEND=jax")
    case = problem.case
    options: dict[str, Any] = {"return_sequences": True, "return_state": True}
    if problem.valid is not None:
        options["zero_output_for_mask"] = True
    mask = None if problem.valid is None else jnp.asarray(problem.valid.T)

    layers: list[Any] = []
    for params in problem.layers:
        layer: Any = keras.layers.LSTM(case.hidden_size, **options)
        layer = keras.layers.Bidirectional(layer) if case.bidirectional else layer
        layer.build((case.batch, case.steps, params[0].weight_ih.shape[1]))
        layer.set_weights([array for direction in params for array in interop.to_keras(direction)])
        layers.append(layer)
    weights = [[variable.value for variable in layer.trainable_variables] for layer in layers]
    rest = [[variable.value for variable in layer.non_trainable_variables] for layer in layers]

    def apply(weights: Any, xs: Any) -> Any:
        states = []
        for layer, own, fixed in zip(layers, weights, rest, strict=True):
            (xs, *state), _ = layer.stateless_call(own, fixed, xs, mask=mask)
            states.append(state)
        return xs, states

    def step(weights: Any, x: Any, state: Any) -> Any:
        cell = layers[0].cell
        (y, state), _ = cell.stateless_call(weights[0], [v.value for v in cell.non_trainable_variables], x, state)
        return y, state

    def in_torch(weights: Any) -> dict[str, Any]:
        return torch_names(
            problem, lambda layer, direction: interop.from_keras(weights[layer][3 * direction : 3 * direction + 3])
        )

    start = [zeros(problem), zeros(problem)]
    return runner(Model(weights, apply, in_torch, rows_first=True, step=step, start=start), problem)
