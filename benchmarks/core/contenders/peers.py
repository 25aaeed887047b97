"""Other LSTMs for JAX: Flax nnx and linen, Keras 3, Equinox, each stacked and made bidirectional by its own means.

And ONNX Runtime on CPU, which does not train.
"""

import os
import warnings
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from benchmarks.core.cases import Problem
from benchmarks.core.contenders.base import FORWARD, STREAMING, Runner, Work, outputs
from benchmarks.core.contenders.in_jax import Model, cut, directions, runner, torch_names, zeros
from jax_lstm import LSTM, interop, load_state_dict
from jax_lstm.environment import environment
from jax_lstm.export import to_onnx
from jax_lstm.params import LSTMParams

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


def in_onnx(problem: Problem) -> Runner:
    """An exported graph of standard LSTM operators with the same weights."""
    case, lengths = problem.case, problem.lengths
    lstm = LSTM(case.input_size, case.hidden_size, case.num_layers, bidirectional=case.bidirectional, rngs=nnx.Rngs(0))
    load_state_dict(lstm, problem.params)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # lengths, which ONNX Runtime does not ignore
        whole = _session(to_onnx(lstm, lengths=lengths is not None))
    inputs = {"x": problem.xs} | ({} if lengths is None else {"lengths": lengths.astype(np.int32)})

    def forward() -> Any:
        return whole.run(None, inputs)

    works = {FORWARD: Work(forward, lambda: outputs(forward()[0]))}
    if case.streamed:
        works[STREAMING] = _streaming(problem, lstm)
    return works


def _streaming(problem: Problem, lstm: LSTM) -> Work:
    session = _session(to_onnx(lstm, state=True))
    zeros = np.zeros((1, problem.case.batch, problem.case.hidden_size), np.float32)
    xs = [x[None] for x in problem.xs]

    def run() -> list[Any]:
        h, c, found = zeros, zeros, []
        for x in xs:
            ys, h, c = session.run(None, {"x": x, "h_0": h, "c_0": c})
            found.append(ys)
        return found

    return Work(run, lambda: outputs(np.concatenate(run())))


def _session(file: bytes) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = environment()["cores"], 1
    return onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
