"""The forecaster's network in ONNX: two LSTM nodes a layer, one to read the segments and one to decode.

A linear layer on several parts side by side becomes a product for each part, so that none is repeated for each target.
"""

from typing import Any

import numpy as np

from jax_lstm.export.graph import Graph
from jax_lstm.export.onnx_lstm import Layers, add_lstm
from jax_lstm.models import ForecastModel
from jax_lstm.models.forecast_model import SMALLEST


def add_forecast(graph: Graph, model: ForecastModel, x: str, ahead: str, name: str | None = None) -> str:
    """Add `model` over windows `x` (B, W, F) and what is known `ahead` (B, horizon, K), or ""; returns its outputs."""
    layout = model.layout
    own, centre, scale = _normalised(graph, model, x)
    y = _decoded(graph, model, _encoded(graph, model, x, own), x, ahead)  # (B, horizon, C, Q)
    if model.bypass is not None:
        y = graph.add("Add", y, _linear_map(graph, model, x, own, ahead))
    if scale:
        y = graph.add("Mul", y, graph.add("Unsqueeze", scale, graph.integers(3)))
    if centre:
        y = graph.add("Add", y, graph.add("Unsqueeze", centre, graph.integers(3)))
    if model.values > 1:
        y, _ = graph.node("TopK", y, graph.integers(model.values), outputs=["sorted", "order"], largest=0)
    return graph.reshape(y, -1, layout.horizon * len(layout.target) * model.values, name=name)


def _normalised(graph: Graph, model: ForecastModel, x: str) -> tuple[str, str, str]:
    """The targets (B, W, C), and the centre and scale (B, 1, C) that were taken out, "" if none was."""
    own = graph.pick(x, 2, *model.layout.target)
    if model.normalise == "none":
        return own, "", ""
    if model.normalise == "last":
        centre = _last(graph, model, own)
        return graph.add("Sub", own, centre), centre, ""
    centre = graph.add("ReduceMean", own, axes=[1])
    own = graph.add("Sub", own, centre)
    variance = graph.add("ReduceMean", graph.add("Mul", own, own), axes=[1])
    smallest = graph.constant("smallest", np.array(SMALLEST, model.lstm.param_dtype))
    scale = graph.add("Sqrt", graph.add("Add", variance, smallest))
    return graph.add("Div", own, scale), centre, scale


def _encoded(graph: Graph, model: ForecastModel, x: str, own: str) -> Layers:
    """The LSTM over all segments, as rows of its batch B sequences, or B * C if targets are apart."""
    layout, steps, segment = model.layout, model.segments, model.segment
    sequences, columns = _sequences(model)
    first, hidden = layout.window - steps * segment, model.lstm.sizes.input_size
    weight = _array(model.embed.weight).reshape(hidden, segment, -1)
    several_apart = sequences > 1
    at = [0] if several_apart else list(layout.target)
    own = graph.slice(own, 1, first, layout.window)
    own = graph.reshape(
        graph.transpose(own, 0, 2, 1) if several_apart else own, -1, sequences, steps, segment * columns
    )
    y = _product(graph, own, "embed.weight.targets", weight[:, :, at].reshape(hidden, -1))
    others = [at for at in range(layout.features) if at not in layout.target]
    if others:
        covariates = graph.pick(x, 2, *others)
        drifts = np.array([one not in (*layout.known, *layout.static) for one in others], weight.dtype)
        level = graph.add("Mul", _last(graph, model, covariates), graph.constant("drifts", drifts))
        covariates = graph.add("Sub", graph.slice(covariates, 1, first, layout.window), level)
        covariates = graph.reshape(covariates, -1, 1, steps, segment * len(others))
        rest = np.delete(weight, at, axis=2).reshape(hidden, -1)
        y = graph.add("Add", y, _product(graph, covariates, "embed.weight.others", rest))
    y = graph.add("Tanh", graph.add("Add", y, graph.constant("embed.bias", _array(model.embed.bias))))
    return add_lstm(graph, model.lstm, graph.reshape(graph.transpose(y, 2, 0, 1, 3), steps, -1, hidden))


def _decoded(graph: Graph, model: ForecastModel, encoded: Layers, x: str, ahead: str) -> str:
    """The LSTM's part of the forecast, (B, horizon, C, Q)."""
    layout, steps = model.layout, model.steps
    sequences, columns = _sequences(model)
    bias, values = graph.constant("fc.bias", _array(model.fc.bias)), columns * model.values
    if steps:
        # Of all steps at once, each from the last state: they are rows of the batch, (steps, B, sequences).
        start = graph.reshape(_start(graph, model, x, ahead), 1, -1, model.lstm.sizes.input_size)
        repeats = graph.integers(1, steps, 1)
        h, c = ([graph.add("Tile", state, repeats) for state in states] for states in (encoded.h, encoded.c))
        ys = add_lstm(graph, model.lstm, start, initial=(h, c)).ys
        y = graph.add("Add", _product(graph, ys, "fc.weight", _array(model.fc.weight)), bias)
        y = graph.transpose(graph.reshape(y, steps, -1, sequences, model.segment, values), 1, 0, 3, 2, 4)
        y = graph.reshape(y, -1, steps * model.segment, len(layout.target), model.values)
        return graph.slice(y, 1, 0, layout.horizon)
    size, weight = model.lstm.sizes.output_size * model.lstm.sizes.num_directions, _array(model.fc.weight)
    last = graph.reshape(graph.slice(encoded.ys, 0, model.segments - 1, model.segments), -1, sequences, size)
    y = graph.add("Add", _product(graph, last, "fc.weight", weight[:, :size]), bias)
    if ahead:
        known = graph.reshape(ahead, -1, 1, layout.horizon * len(layout.known))
        y = graph.add("Add", y, _product(graph, known, "fc.weight.ahead", weight[:, size:]))
    y = graph.transpose(graph.reshape(y, -1, sequences, layout.horizon, values), 0, 2, 1, 3)
    return graph.reshape(y, -1, layout.horizon, len(layout.target), model.values)


def _start(graph: Graph, model: ForecastModel, x: str, ahead: str) -> str:
    """The inputs of the decoding (steps, B, sequences, H): position, target, and what is known ahead."""
    layout, steps = model.layout, model.steps
    start = _array(model.position)[:, None, None]
    if model.target is not None:
        start = start + _array(model.target)
    if model.ahead is None:
        batch = graph.pick(graph.add("Shape", x), 0, 0)
        shape = graph.add("Concat", graph.integers(1), batch, graph.integers(1, 1), axis=0)
        return graph.add("Expand", graph.constant("start", start), shape)
    missing = steps * model.segment - layout.horizon
    padded = graph.add("Pad", ahead, graph.integers(0, 0, 0, 0, missing, 0))
    known = graph.transpose(graph.reshape(padded, -1, steps, 1, model.segment * len(layout.known)), 1, 0, 2, 3)
    y = _product(graph, known, "ahead.weight", _array(model.ahead.weight))
    return graph.add("Add", y, graph.constant("start", start + _array(model.ahead.bias)))


def _linear_map(graph: Graph, model: ForecastModel, x: str, own: str, ahead: str) -> str:
    """The linear map from the normalised window, (B, horizon, C, Q)."""
    assert model.bypass is not None
    layout, weight = model.layout, _array(model.bypass.weight)
    y = _product(graph, graph.transpose(own, 0, 2, 1), "bypass.weight", weight[:, : layout.window])
    shared = []  # by all targets, each (B, 1, n)
    if model.lags >= 0 and layout.static:
        shared += [graph.pick(_last(graph, model, x), 2, *layout.static)]
    if model.lags >= 0 and ahead:
        shared += [graph.reshape(ahead, -1, 1, layout.horizon * len(layout.known))]
    if model.lags > 0 and layout.lagged:
        rows = graph.slice(x, 1, layout.window - model.lags, layout.window)
        shared += [graph.reshape(graph.pick(rows, 2, *layout.lagged), -1, 1, model.lags * len(layout.lagged))]
    if shared:
        joined = graph.add("Concat", *shared, axis=2)
        y = graph.add("Add", y, _product(graph, joined, "bypass.weight.shared", weight[:, layout.window :]))
    y = graph.add("Add", y, graph.constant("bypass.bias", _array(model.bypass.bias)))
    return graph.transpose(graph.reshape(y, -1, len(layout.target), layout.horizon, model.values), 0, 2, 1, 3)


def _sequences(model: ForecastModel) -> tuple[int, int]:
    """The sequences that the LSTM reads of each window, and the targets in each."""
    targets = len(model.layout.target)
    return (targets, 1) if model.apart else (1, targets)


def _last(graph: Graph, model: ForecastModel, x: str) -> str:
    return graph.slice(x, 1, model.layout.window - 1, model.layout.window)


def _product(graph: Graph, x: str, name: str, weight: np.ndarray) -> str:
    return graph.add("MatMul", x, graph.constant(name, weight.T))


def _array(param: Any) -> np.ndarray:
    return np.asarray(param[...])
