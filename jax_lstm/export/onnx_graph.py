"""ONNX: the operators LSTM, Gemm and Gather of the standard, no loop of our own.

The operator: https://onnx.ai/onnx/operators/onnx__LSTM.html. X (T, B, I); for each of D directions W (4H, I),
R (4H, H), B (8H,) and peepholes P (3H,) of i, o, f; gates i, o, f, c along 4H; Y (T, D, B, H).
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from flax import nnx

from jax_lstm.checks import InputError, require, require_extra
from jax_lstm.export.program import Port, Scaling, lstm_of, program
from jax_lstm.layers import LSTM
from jax_lstm.models import LanguageModel, LSTMModel
from jax_lstm.version import __version__

OPSET, IR_VERSION = 14, 8  # of 2021: the first with all that is needed, so that old runtimes read it too
LARGEST = 2**31 - 1  # bytes, of a Protobuf file
IOFC, IOF = (0, 3, 1, 2), (0, 2, 1)  # where the gates stand among ours, i f g o, and those of peepholes among i f o


def to_onnx(
    module: nnx.Module,
    *,
    lengths: bool = False,
    state: bool = False,
    standardise: Scaling | None = None,
    restore: Scaling | None = None,
    facts: Mapping[str, Any] | None = None,
) -> bytes:
    """A module with its weights as an ONNX file of opset 14, for any batch and any number of time steps.

    Inputs and outputs, with the axes in the module's order, batch before time if `batch_first`:

    - `LSTM`: `x` (batch, time, I) to `y` (batch, time, D*H), `h_n` and `c_n` (L*D, batch, H).
    - `LSTMModel`: `x` (batch, time, I) to `y` (batch, O).
    - `LanguageModel`: `tokens` (batch, time) int32 to `logits` (batch, time, V), `h_n` and `c_n`.

    Numbers are of the type of the parameters, and so is what the graph computes in.

    Args:
        module: what to export; it goes out as for inference, so that nothing is dropped.
        lengths: there is an input `lengths` (batch,) int32, each at least 1: the steps of each row.
        state: there are inputs `h_0` and `c_0`, (L*D, batch, H); without them sequences begin from zeros.
        standardise: what the input is standardised with first.
        restore: what the output `y` is brought back to its scale with.
        facts: what else the file should tell: its metadata, by name; values that are no text become JSON.

    Raises:
        InputError: the module is none of these, or has no such input, or ONNX cannot say what it computes.
        MissingExtraError: onnx is not installed.
    """
    onnx: Any = require_extra("onnx", "interop", "ONNX")
    ports = program(module, lengths=lengths, state=state, standardise=standardise, restore=restore, full=True)
    lstm = lstm_of(module)
    _require_expressible(lstm)
    out = Graph()
    x = ports.inputs[0].name
    given = "lengths" if lengths else ""
    before = ("h_0", "c_0") if state else ("", "")
    if isinstance(module, LanguageModel):
        table = out.constant("embedding.weight", module.embedding.weight[...])
        ys = _layers(out, lstm, out.add("Gather", table, x), given, before)
        transposed = out.constant("fc.weight", (module.embedding if module.tied else module.fc).weight[...].T)
        product = out.add("MatMul", ys, transposed)
        out.add("Add", product, out.constant("fc.bias", module.fc.bias[...]), named="logits")
    else:
        if standardise is not None:
            mean, scale, rest = _scaling(out, "standardise", standardise, lstm.param_dtype)
            x = out.add("Sub", out.add("Div", out.add("Sub", x, mean), scale), rest)
        if isinstance(module, LSTMModel):
            last = _last(out, _layers(out, lstm, x, given, before), given)
            weight, bias = (out.constant(f"fc.{name}", getattr(module.fc, name)[...]) for name in ("weight", "bias"))
            y = out.add("Gemm", last, weight, bias, transB=1, named=None if restore else "y")
            if restore is not None:
                mean, scale = _scaling(out, "restore", restore, lstm.param_dtype)
                out.add("Add", out.add("Mul", y, scale), mean, named="y")
        else:
            _layers(out, lstm, x, given, before, named="y")
    return out.file(onnx, ports.inputs, ports.outputs, facts or {})


def _require_expressible(lstm: LSTM) -> None:
    variant, dtype = lstm.variant, np.dtype(lstm.param_dtype).name
    reasons = {
        "the operator LSTM of ONNX has no projection (`proj_size`)": lstm.proj_size > 0,
        "the operator LSTM of ONNX has no layer normalisation": variant.layer_norm,
        "the operator LSTM of ONNX has no zoneout, which at inference mixes old and new states": max(
            variant.zoneout_h, variant.zoneout_c
        )
        > 0,
        f"the operator LSTM of ONNX keeps its state in the type of its weights, here {dtype}; ours is kept in float32 "
        "(make the module with param_dtype=float32)": dtype not in ("float32", "float64"),
    }
    for reason, found in reasons.items():
        if found:
            raise InputError(f"`module` cannot be said in ONNX: {reason}")


class Graph:
    """Nodes and constants as they are added; every value has a name of its own."""

    def __init__(self) -> None:
        self.nodes: list[tuple[str, list[str], list[str], dict[str, Any]]] = []
        self.constants: dict[str, np.ndarray] = {}

    def constant(self, name: str, value: Any) -> str:
        self.constants[name] = np.asarray(value)
        return name

    def add(self, kind: str, *inputs: str, named: str | None = None, **attributes: Any) -> str:
        """A node with one output, returns its name."""
        return self.several(kind, *inputs, named=[named or f"{kind.lower()}_{len(self.nodes)}"], **attributes)[0]

    def several(self, kind: str, *inputs: str, named: list[str], **attributes: Any) -> list[str]:
        while inputs and not inputs[-1]:  # inputs that are left out at the end
            inputs = inputs[:-1]
        self.nodes.append((kind, list(inputs), named, attributes))
        return named

    def file(self, onnx: Any, inputs: Sequence[Port], outputs: Sequence[Port], facts: Mapping[str, Any]) -> bytes:
        helper = onnx.helper
        described = [
            [
                helper.make_tensor_value_info(
                    port.name, helper.np_dtype_to_tensor_dtype(np.dtype(port.dtype)), port.shape
                )
                for port in ports
            ]
            for ports in (inputs, outputs)
        ]
        nodes = [
            helper.make_node(kind, given, made, name=made[0], **attributes)
            for kind, given, made, attributes in self.nodes
        ]
        size = sum(value.nbytes for value in self.constants.values())
        require(size < LARGEST, "module", f"have fewer than {LARGEST:,} bytes of weights, as an ONNX file holds",
                f"{size:,}")  # fmt: skip
        initial = [onnx.numpy_helper.from_array(value, name) for name, value in self.constants.items()]
        graph = helper.make_graph(nodes, "jax_lstm", *described, initial)
        opset = [helper.make_opsetid("", OPSET)]
        model = helper.make_model(
            graph, opset_imports=opset, ir_version=IR_VERSION, producer_name="jax_lstm", producer_version=__version__
        )
        told = {
            name: value if isinstance(value, str) else json.dumps(value, default=str) for name, value in facts.items()
        }
        helper.set_model_props(model, told)
        onnx.checker.check_model(model, full_check=True)
        return model.SerializeToString()


def _scaling(out: Graph, name: str, scaling: Scaling, dtype: Any) -> list[str]:
    """Its parts as constants; to restore there is no `rest`."""
    names = ("mean", "scale", "rest") if name == "standardise" else ("mean", "scale")
    return [out.constant(f"{name}.{part}", value) for part, value in zip(names, scaling.parts(dtype), strict=False)]


def _layers(out: Graph, lstm: LSTM, x: str, lengths: str, before: tuple[str, str], named: str | None = None) -> str:
    """All layers over `x`, from `h_n` and `c_n` named outputs too; returns the outputs of the last one."""
    sizes, params = lstm.sizes, lstm.params
    ways, layers = sizes.num_directions, sizes.num_layers
    at = out.add("Transpose", x, perm=[1, 0, 2]) if lstm.batch_first else x
    states = [[name] * layers for name in before]
    if layers > 1 and all(before):
        each = out.constant("states of a layer", np.full(layers, ways, np.int64))
        states = [
            out.several("Split", name, each, named=[f"{name}_{layer}" for layer in range(layers)], axis=0)
            for name in before
        ]
    ends: list[list[str]] = [[], []]
    for layer in range(layers):
        suffixes = [suffix for of, suffix in sizes.suffixes() if of == layer]
        weights = _weights(out, params, suffixes)
        made = [
            f"Y_{layer}",
            *(("h_n", "c_n") if layers == 1 else (f"h_n_{layer}", f"c_n_{layer}")),
        ]
        ys, h, c = out.several(
            "LSTM", at, *weights[:3], lengths, states[0][layer], states[1][layer], weights[3], named=made,
            hidden_size=sizes.hidden_size, direction="bidirectional" if ways == 2 else "forward",
        )  # fmt: skip
        ends[0].append(h)
        ends[1].append(c)
        end = named if layer == layers - 1 and not lstm.batch_first else None
        if ways == 1:
            at = out.add("Squeeze", ys, out.constant("directions", np.array([1], np.int64)), named=end)
        else:
            side_by_side = out.constant("side by side", np.array([0, 0, -1], np.int64))
            at = out.add("Reshape", out.add("Transpose", ys, perm=[0, 2, 1, 3]), side_by_side, named=end)
    if layers > 1:
        for name, parts in zip(("h_n", "c_n"), ends, strict=True):
            out.add("Concat", *parts, named=name, axis=0)
    return out.add("Transpose", at, perm=[1, 0, 2], named=named) if lstm.batch_first else at


def _last(out: Graph, ys: str, lengths: str) -> str:
    """The outputs (B, D*H) at the last step of each row of `ys` (B, T, D*H)."""
    if not lengths:
        return out.add("Gather", ys, out.constant("last", np.array(-1, np.int64)), axis=1)
    index = out.add("Sub", lengths, out.constant("one", np.array(1, np.int32)))
    index = out.add("Cast", index, to=7)  # int64
    index = out.add("Unsqueeze", index, out.constant("last axis", np.array([1], np.int64)))
    return out.add("GatherND", ys, index, batch_dims=1)


def _weights(out: Graph, params: Mapping[str, Any], suffixes: Sequence[str]) -> list[str]:
    """W, R, B and P of the directions of a layer; "" for what it does not have."""

    def stacked(kind: str, order: tuple[int, ...], *names: str) -> str:
        if names[0] + suffixes[0] not in params:
            return ""
        each = [
            np.concatenate([_reordered(np.asarray(params[name + suffix]), order) for name in names])
            for suffix in suffixes
        ]
        return out.constant(kind + suffixes[0], np.stack(each))

    return [
        stacked("W", IOFC, "weight_ih"),
        stacked("R", IOFC, "weight_hh"),
        stacked("B", IOFC, "bias_ih", "bias_hh"),
        stacked("P", IOF, "weight_ch"),
    ]


def _reordered(rows: np.ndarray, order: tuple[int, ...]) -> np.ndarray:
    parts = np.split(rows, len(order))
    return np.concatenate([parts[at] for at in order])
