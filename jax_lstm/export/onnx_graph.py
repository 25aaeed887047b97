"""ONNX from standard operators, without loops."""

import warnings
from collections.abc import Mapping
from typing import Any, Unpack

import numpy as np
from flax import nnx

from jax_lstm.checks import require_extra
from jax_lstm.export.graph import Graph
from jax_lstm.export.onnx_forecast import add_forecast
from jax_lstm.export.onnx_lstm import add_lstm, require_expressible
from jax_lstm.export.program import Options, lstm_of, program
from jax_lstm.layers import LSTM
from jax_lstm.models import ForecastModel, LanguageModel


def to_onnx(module: nnx.Module, *, facts: Mapping[str, Any] | None = None, **options: Unpack[Options]) -> bytes:
    """Export a module with its weights as an ONNX file of opset 14, for any batch and any number of time steps.

    Inputs and outputs, with time before batch unless `batch_first`:

    - `LSTM`: `x` (batch, time, I) to `y` (batch, time, D*H), `h_n` and `c_n` (L*D, batch, H).
    - `LSTMModel`: `x` (batch, time, I) to `y` (batch, O).
    - `ForecastModel`: `x` (batch, W, F), and `ahead` (batch, horizon, K) if columns are known ahead, to `y`
      (batch, horizon * C), or with quantiles (batch, horizon * C * Q).
    - `LanguageModel`: `tokens` (batch, time) int32 to `logits` (batch, time, V), `h_n` and `c_n`.

    The graph computes in the type of the parameters. It warns of what some runtimes ignore: lengths and peepholes.

    Args:
        module: an `LSTM`, `LSTMModel`, `ForecastModel` or `LanguageModel`, exported for inference: without dropout.
        facts: metadata of the file, by name; values other than strings are stored as JSON.
        **options: `lengths`, `state`, `standardise`, `restore`; see `Options`.

    Raises:
        InputError: the module cannot be exported or expressed in ONNX, or does not support an option.
        MissingExtraError: onnx is not installed.

    Example:
        >>> import onnx
        >>> from flax import nnx
        >>> import jax_lstm as jl
        >>> file = jl.export.to_onnx(jl.LSTM(10, 20, rngs=nnx.Rngs(0)))
        >>> [output.name for output in onnx.load_from_string(file).graph.output]
        ['y', 'h_n', 'c_n']
    """
    onnx: Any = require_extra("onnx", "interop", "ONNX")
    exported = program(module, full=True, **options)
    model: Any = module
    lstm, graph = lstm_of(module), Graph()
    require_expressible(lstm)
    lengths, state = options.get("lengths", False), options.get("state", False)
    given = {port.name: port.name for port in exported.inputs}
    for name, scaling in exported.standardise.items():
        mean, scale, rest = graph.constants_of(name, *scaling.parts(lstm.param_dtype))
        given[name] = graph.add("Sub", graph.add("Div", graph.add("Sub", name, mean), scale), rest)
    if isinstance(module, LSTM):
        _sequence(graph, lstm, given["x"], lengths, state, ends=True, name="y")
    elif isinstance(module, LanguageModel):
        x = graph.add("Gather", graph.constant("embedding.weight", module.embedding.weight[...]), given["tokens"])
        ys = _sequence(graph, lstm, x, lengths, state, ends=True)
        weight = graph.constant("fc.weight", (module.embedding if module.tied else module.fc).weight[...].T)
        graph.add("Add", graph.add("MatMul", ys, weight), graph.constant("fc.bias", module.fc.bias[...]), name="logits")
    else:
        name = "y" if exported.restore is None else None
        if isinstance(module, ForecastModel):
            y = add_forecast(graph, module, given["x"], given.get("ahead", ""), name)
        else:
            last = _last_step(graph, _sequence(graph, lstm, given["x"], lengths, state), lengths)
            weight, bias = (graph.constant(f"fc.{part}", getattr(model.fc, part)[...]) for part in ("weight", "bias"))
            y = graph.add("Gemm", last, weight, bias, transB=1, name=name)
        if exported.restore is not None:
            mean, scale = graph.constants_of("y", *exported.restore.parts(lstm.param_dtype)[:2])
            graph.add("Add", graph.add("Mul", y, scale), mean, name="y")
    file = graph.serialise(onnx, exported.inputs, exported.outputs, facts or {})
    _warn_of_runtimes(lengths, lstm.variant.peepholes)
    return file


def _warn_of_runtimes(lengths: bool, peepholes: bool) -> None:
    if lengths:
        warnings.warn(
            "the graph passes `lengths` to `sequence_lens`, which ONNX Runtime honours, but OpenVINO with free "
            "dimensions, MNN and onnx.reference ignore silently; check a padded batch in your runtime",
            stacklevel=3,
        )
    if peepholes:
        warnings.warn(
            "the graph has peepholes, which OpenVINO drops silently; check the outputs of your runtime", stacklevel=3
        )


def _sequence(
    graph: Graph, lstm: LSTM, x: str, lengths: bool, state: bool, ends: bool = False, name: str | None = None
) -> str:
    """Add the LSTM over the graph's inputs, and the outputs `h_n` and `c_n` if it has `ends`; returns its outputs."""
    initial: Any = ((), ())
    if state:
        layers = range(lstm.sizes.num_layers)
        rows = graph.integers(*[lstm.sizes.num_directions for _ in layers])
        initial = [
            graph.node("Split", name, rows, outputs=[f"{name}_{layer}" for layer in layers], axis=0)
            for name in ("h_0", "c_0")
        ]
    x = graph.transpose(x, 1, 0, 2) if lstm.batch_first else x
    found = add_lstm(
        graph, lstm, x, initial=initial, lengths="lengths" if lengths else "",
        name=None if lstm.batch_first else name,
    )  # fmt: skip
    if ends:
        graph.add("Concat", *found.h, name="h_n", axis=0)
        graph.add("Concat", *found.c, name="c_n", axis=0)
    return graph.transpose(found.ys, 1, 0, 2, name=name) if lstm.batch_first else found.ys


def _last_step(graph: Graph, ys: str, lengths: bool) -> str:
    """The outputs (B, D*H) at the last step of each row of `ys` (B, T, D*H)."""
    if not lengths:
        return graph.add("Gather", ys, graph.constant("last_step", np.array(-1, np.int64)), axis=1)
    index = graph.add("Sub", "lengths", graph.constant("one", np.array(1, np.int32)))
    index = graph.add("Cast", index, to=7)  # int64
    return graph.add("GatherND", ys, graph.add("Unsqueeze", index, graph.integers(1)), batch_dims=1)
