"""The LSTM in ONNX: one operator a layer.

The operator LSTM, https://onnx.ai/onnx/operators/onnx__LSTM.html, takes X (T, B, I) and, for each of D directions,
W (4H, I), R (4H, H), B (8H,) and peepholes P (3H,), with the gates in the order i, o, f, c. It returns Y (T, D, B, H).
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from jax_lstm.checks import InputError
from jax_lstm.export.graph import Graph
from jax_lstm.layers import LSTM

IOFC, IOF = (0, 3, 1, 2), (0, 2, 1)  # ONNX's gates as indices into ours, i f g o, and its peepholes into our i f o


def require_expressible(lstm: LSTM) -> None:
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


class Layers(NamedTuple):
    """The outputs of the last layer (T, B, D*H), and the last states (D, B, H) of each layer."""

    ys: str
    h: list[str]
    c: list[str]


def add_lstm(
    graph: Graph,
    lstm: LSTM,
    x: str,
    *,
    initial: tuple[Sequence[str], Sequence[str]] = ((), ()),
    lengths: str = "",
    name: str | None = None,
) -> Layers:
    """Add all layers over `x` (T, B, I), with outputs called `name`; `initial` has h and c (D, B, H) of each layer."""
    sizes, both = lstm.sizes, lstm.sizes.num_directions == 2
    found = Layers(x, [], [])
    for layer in range(sizes.num_layers):
        suffixes = [suffix for index, suffix in sizes.suffixes() if index == layer]
        w, r, b, p = _weights(graph, lstm.params, suffixes)
        h_0, c_0 = (states[layer] if states else "" for states in initial)
        y, h, c = graph.node(
            "LSTM", found.ys, w, r, b, lengths, h_0, c_0, p,
            outputs=[f"{output}_{len(graph.nodes)}" for output in ("Y", "Y_h", "Y_c")],
            hidden_size=sizes.hidden_size, direction="bidirectional" if both else "forward",
        )  # fmt: skip
        output = name if layer == sizes.num_layers - 1 else None
        if both:
            ys = graph.reshape(graph.transpose(y, 0, 2, 1, 3), 0, 0, -1, name=output)
        else:
            ys = graph.add("Squeeze", y, graph.integers(1), name=output)
        found = Layers(ys, [*found.h, h], [*found.c, c])
    return found


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
