"""ONNX from the standard operators LSTM, Gemm, MatMul and Gather, without loops.

The operator LSTM, https://onnx.ai/onnx/operators/onnx__LSTM.html, takes X (T, B, I) and, for each of D directions,
W (4H, I), R (4H, H), B (8H,) and peepholes P (3H,), with the gates in the order i, o, f, c. It returns Y (T, D, B, H).
"""

import json
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Unpack

import numpy as np
from flax import nnx

from jax_lstm.checks import InputError, require, require_extra
from jax_lstm.export.program import Options, Port, Scaling, lstm_of, program
from jax_lstm.layers import LSTM
from jax_lstm.models import LanguageModel, LSTMModel
from jax_lstm.version import __version__

OPSET, IR_VERSION = 14, 8  # of 2021: the oldest with every operator used, so that old runtimes read the file
LARGEST = 2**31 - 1  # bytes in a Protobuf file
IOFC, IOF = (0, 3, 1, 2), (0, 2, 1)  # ONNX's gates as indices into ours, i f g o, and its peepholes into our i f o


def to_onnx(module: nnx.Module, *, facts: Mapping[str, Any] | None = None, **options: Unpack[Options]) -> bytes:
    """Export a module with its weights as an ONNX file of opset 14, for any batch and any number of time steps.

    Inputs and outputs, with time before batch unless `batch_first`:

    - `LSTM`: `x` (batch, time, I) to `y` (batch, time, D*H), `h_n` and `c_n` (L*D, batch, H).
    - `LSTMModel`: `x` (batch, time, I) to `y` (batch, O).
    - `LanguageModel`: `tokens` (batch, time) int32 to `logits` (batch, time, V), `h_n` and `c_n`.

    The graph computes in the type of the parameters. It warns of what some runtimes ignore: lengths and peepholes.

    Args:
        module: an `LSTM`, `LSTMModel` or `LanguageModel`, exported for inference: without dropout.
        facts: metadata of the file, by name; values other than strings are stored as JSON.
        **options: `lengths`, `state`, `standardise`, `restore`; see `Options`.

    Raises:
        InputError: the module cannot be exported or expressed in ONNX, or does not support an option.
        MissingExtraError: onnx is not installed.
    """
    onnx: Any = require_extra("onnx", "interop", "ONNX")
    exported = program(module, full=True, **options)
    lstm = lstm_of(module)
    _require_expressible(lstm)
    standardise, restore = options.get("standardise"), options.get("restore")
    lengths = "lengths" if options.get("lengths") else ""
    initial = ("h_0", "c_0") if options.get("state") else ("", "")
    graph = Graph()
    x = exported.inputs[0].name
    if isinstance(module, LanguageModel):
        table = graph.constant("embedding.weight", module.embedding.weight[...])
        ys = _layers(graph, lstm, graph.add("Gather", table, x), lengths, initial)
        weight = graph.constant("fc.weight", (module.embedding if module.tied else module.fc).weight[...].T)
        graph.add("Add", graph.add("MatMul", ys, weight), graph.constant("fc.bias", module.fc.bias[...]), name="logits")
    else:
        if standardise is not None:
            mean, scale, rest = _scaling(graph, "standardise", standardise, lstm.param_dtype)
            x = graph.add("Sub", graph.add("Div", graph.add("Sub", x, mean), scale), rest)
        if isinstance(module, LSTMModel):
            last = _last_step(graph, _layers(graph, lstm, x, lengths, initial), lengths)
            weight, bias = (graph.constant(f"fc.{name}", getattr(module.fc, name)[...]) for name in ("weight", "bias"))
            y = graph.add("Gemm", last, weight, bias, transB=1, name=None if restore else "y")
            if restore is not None:
                mean, scale = _scaling(graph, "restore", restore, lstm.param_dtype)
                graph.add("Add", graph.add("Mul", y, scale), mean, name="y")
        else:
            _layers(graph, lstm, x, lengths, initial, name="y")
    file = graph.serialise(onnx, exported.inputs, exported.outputs, facts or {})
    _warn_of_runtimes(bool(lengths), lstm.variant.peepholes)
    return file


def _require_expressible(lstm: LSTM) -> None:
    variant, dtype = lstm.variant, np.dtype(lstm.param_dtype).name
    zoneout = max(variant.zoneout_h, variant.zoneout_c) > 0
    reasons = {
        "its LSTM operator has no projection (`proj_size`)": lstm.proj_size > 0,
        "its LSTM operator has no layer normalisation": variant.layer_norm,
        "its LSTM operator has no zoneout, which mixes old and new states at inference": zoneout,
        f"its LSTM operator keeps the state in the type of the weights, here {dtype}, and ours is float32 "
        "(build the module with param_dtype=float32)": dtype not in ("float32", "float64"),
    }
    for reason, found in reasons.items():
        if found:
            raise InputError(f"`module` cannot be expressed in ONNX: {reason}")


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


class Graph:
    """Nodes and constants of a graph under construction; values are referred to by name."""

    def __init__(self) -> None:
        self.nodes: list[tuple[str, list[str], list[str], dict[str, Any]]] = []
        self.constants: dict[str, np.ndarray] = {}

    def constant(self, name: str, value: Any) -> str:
        self.constants[name] = np.asarray(value)
        return name

    def add(self, operator: str, *inputs: str, name: str | None = None, **attributes: Any) -> str:
        """Add a node with one output; returns the name of the output."""
        return self.node(operator, *inputs, outputs=[name or f"{operator.lower()}_{len(self.nodes)}"], **attributes)[0]

    def node(self, operator: str, *inputs: str, outputs: list[str], **attributes: Any) -> list[str]:
        """Add a node; an input "" is absent. Returns `outputs`."""
        while inputs and not inputs[-1]:
            inputs = inputs[:-1]
        self.nodes.append((operator, list(inputs), outputs, attributes))
        return outputs

    def serialise(self, onnx: Any, inputs: Sequence[Port], outputs: Sequence[Port], facts: Mapping[str, Any]) -> bytes:
        size = sum(value.nbytes for value in self.constants.values())
        require(size < LARGEST, "module", f"have fewer than {LARGEST:,} bytes of weights, as an ONNX file holds",
                f"{size:,}")  # fmt: skip
        helper = onnx.helper

        def described(ports: Sequence[Port]) -> list[Any]:
            types = [helper.np_dtype_to_tensor_dtype(np.dtype(port.dtype)) for port in ports]
            return [helper.make_tensor_value_info(p.name, kind, p.shape) for p, kind in zip(ports, types, strict=True)]

        graph = helper.make_graph(
            [
                helper.make_node(operator, sources, results, name=results[0], **attributes)
                for operator, sources, results, attributes in self.nodes
            ],
            "jax_lstm",
            described(inputs),
            described(outputs),
            [onnx.numpy_helper.from_array(value, name) for name, value in self.constants.items()],
        )
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="jax_lstm",
            producer_version=__version__,
        )
        as_text = {key: fact if isinstance(fact, str) else json.dumps(fact, default=str) for key, fact in facts.items()}
        helper.set_model_props(model, as_text)
        onnx.checker.check_model(model, full_check=True)
        return model.SerializeToString()


def _scaling(graph: Graph, name: str, scaling: Scaling, dtype: Any) -> list[str]:
    """`Scaling.parts` as constants; `rest` only to standardise, since runtimes complain of unused constants."""
    names = ("mean", "scale", "rest") if name == "standardise" else ("mean", "scale")
    return [graph.constant(f"{name}.{part}", value) for part, value in zip(names, scaling.parts(dtype), strict=False)]


def _layers(graph: Graph, lstm: LSTM, x: str, lengths: str, initial: tuple[str, str], name: str | None = None) -> str:
    """Add all layers over `x`, with outputs `h_n` and `c_n`; returns the outputs of the last layer, called `name`."""
    sizes, layers = lstm.sizes, lstm.sizes.num_layers
    bidirectional = sizes.num_directions == 2
    ys = graph.add("Transpose", x, perm=[1, 0, 2]) if lstm.batch_first else x
    states = [[state] * layers for state in initial]
    if layers > 1 and all(initial):
        rows = graph.constant("rows_per_layer", np.full(layers, sizes.num_directions, np.int64))
        states = [
            graph.node("Split", state, rows, outputs=[f"{state}_{layer}" for layer in range(layers)], axis=0)
            for state in initial
        ]
    last: list[list[str]] = [[], []]
    for layer in range(layers):
        suffixes = [suffix for index, suffix in sizes.suffixes() if index == layer]
        w, r, b, p = _weights(graph, lstm.params, suffixes)
        ends = ["h_n", "c_n"] if layers == 1 else [f"h_n_{layer}", f"c_n_{layer}"]
        stacked, h, c = graph.node(
            "LSTM", ys, w, r, b, lengths, states[0][layer], states[1][layer], p, outputs=[f"Y_{layer}", *ends],
            hidden_size=sizes.hidden_size, direction="bidirectional" if bidirectional else "forward",
        )  # fmt: skip
        last[0].append(h)
        last[1].append(c)
        output = name if layer == layers - 1 and not lstm.batch_first else None
        if bidirectional:
            shape = graph.constant("join_directions", np.array([0, 0, -1], np.int64))
            ys = graph.add("Reshape", graph.add("Transpose", stacked, perm=[0, 2, 1, 3]), shape, name=output)
        else:
            ys = graph.add("Squeeze", stacked, graph.constant("direction_axis", np.array([1], np.int64)), name=output)
    if layers > 1:
        for end, parts in zip(("h_n", "c_n"), last, strict=True):
            graph.add("Concat", *parts, name=end, axis=0)
    return graph.add("Transpose", ys, perm=[1, 0, 2], name=name) if lstm.batch_first else ys


def _last_step(graph: Graph, ys: str, lengths: str) -> str:
    """The outputs (B, D*H) at the last step of each row of `ys` (B, T, D*H)."""
    if not lengths:
        return graph.add("Gather", ys, graph.constant("last_step", np.array(-1, np.int64)), axis=1)
    index = graph.add("Sub", lengths, graph.constant("one", np.array(1, np.int32)))
    index = graph.add("Cast", index, to=7)  # int64
    index = graph.add("Unsqueeze", index, graph.constant("last_axis", np.array([1], np.int64)))
    return graph.add("GatherND", ys, index, batch_dims=1)


def _weights(graph: Graph, params: Mapping[str, Any], suffixes: Sequence[str]) -> list[str]:
    """W, R, B and P of a layer, with its directions stacked; "" for those that it does not have."""

    def stacked(operand: str, gates: tuple[int, ...], *names: str) -> str:
        if names[0] + suffixes[0] not in params:
            return ""
        directions = [
            np.concatenate([_reordered(np.asarray(params[name + suffix]), gates) for name in names])
            for suffix in suffixes
        ]
        return graph.constant(operand + suffixes[0], np.stack(directions))

    return [
        stacked("W", IOFC, "weight_ih"),
        stacked("R", IOFC, "weight_hh"),
        stacked("B", IOFC, "bias_ih", "bias_hh"),
        stacked("P", IOF, "weight_ch"),
    ]


def _reordered(rows: np.ndarray, gates: tuple[int, ...]) -> np.ndarray:
    parts = np.split(rows, len(gates))
    return np.concatenate([parts[gate] for gate in gates])
