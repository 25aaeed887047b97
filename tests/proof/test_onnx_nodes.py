"""The node tests of the ONNX operator LSTM, from the `onnx` package, and its reference evaluator on drawn weights.

`onnx.backend.test.case.node.lstm` builds six models with inputs and expected outputs; backends of ONNX are certified by
them. (Earlier wheels held the same as files below `backend/test/data/node`, 1.23 as the code alone.) All their weights
are equal, or two values, so that they cannot tell the gates apart: each direction therefore also runs on drawn weights,
against `onnx.reference.ReferenceEvaluator`.

ONNX: X (T, B, I), W (D, 4H, I), R (D, 4H, H), B (D, 8H), initial_h and initial_c (D, B, H), gates i, o, f, c; peepholes
P (D, 3H) of i, o, f; Y (T, D, B, H). With layout 1 the batch comes first in X, Y and the states.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from agree import assert_agree

import jax_lstm as jl

onnx: Any = pytest.importorskip("onnx")
cases: Any = pytest.importorskip("onnx.backend.test.case.node")
lstm_cases: Any = pytest.importorskip("onnx.backend.test.case.node.lstm")  # importing it fills the list of cases
reference: Any = pytest.importorskip("onnx.reference")

CASES = {case.name: case for case in cases._NodeTestCases if [n.op_type for n in case.model.graph.node] == ["LSTM"]}
GATES, PEEPHOLES = (0, 2, 3, 1), (0, 2, 1)  # where ours, i f g o and i f o, stand among i o f c and i o f


def reorder(blocks: np.ndarray, order: tuple[int, ...]) -> np.ndarray:
    return np.concatenate([np.split(blocks, len(order))[at] for at in order])


def as_params(given: dict[str, np.ndarray], direction: str) -> dict[str, np.ndarray]:
    """PyTorch's names. Ours has no reverse direction alone: it is the second one of two, with zeros for the first."""
    suffixes = {"forward": ["_l0"], "reverse": ["_l0_reverse"], "bidirectional": ["_l0", "_l0_reverse"]}[direction]
    params = {}
    for at, suffix in enumerate(suffixes):
        params[f"weight_ih{suffix}"] = reorder(given["W"][at], GATES)
        params[f"weight_hh{suffix}"] = reorder(given["R"][at], GATES)
        if "B" in given:
            for name, bias in zip(("bias_ih", "bias_hh"), np.split(given["B"][at], 2), strict=True):
                params[name + suffix] = reorder(bias, GATES)
        if "P" in given:
            params[f"weight_ch{suffix}"] = reorder(given["P"][at], PEEPHOLES)
    if direction == "reverse":
        params |= {name.removesuffix("_reverse"): np.zeros_like(value) for name, value in params.items()}
    return params


def run_node(node: Any, inputs: list[np.ndarray]) -> dict[str, np.ndarray]:
    """Run an LSTM node with ours; every attribute and input is used or refused."""
    options = {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
    direction = options.pop("direction", b"forward").decode()
    batch_first, hidden_size = bool(options.pop("layout", 0)), options.pop("hidden_size")
    assert not options, options
    names = ("X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P")
    present = [name for name, edge in zip(names, node.input, strict=False) if edge]
    given = dict(zip(present, inputs, strict=True))
    params = as_params(given, direction)
    assert params["weight_hh_l0"].shape[1] == hidden_size
    state = None
    if "initial_h" in given:
        state = tuple(given[name].swapaxes(0, 1) if batch_first else given[name] for name in ("initial_h", "initial_c"))
        if direction == "reverse":
            state = tuple(np.concatenate([np.zeros_like(part), part]) for part in state)
    call = jax.jit(jl.functional.lstm, static_argnames=("batch_first", "variant"))
    variant = jl.Variant(peepholes="P" in given)
    ys, (h, c) = call(
        jax.tree.map(jnp.asarray, params), given["X"], state, batch_first=batch_first, variant=variant,
        lengths=given.get("sequence_lens"),
    )  # fmt: skip
    ys = np.stack(np.split(ys, len(h), axis=-1), axis=2 if batch_first else 1)
    if direction == "reverse":
        ys, h, c = (ys[:, :, 1:] if batch_first else ys[:, 1:]), h[1:], c[1:]
    if batch_first:
        h, c = h.swapaxes(0, 1), c.swapaxes(0, 1)
    found = zip({"Y": ys, "Y_h": np.asarray(h), "Y_c": np.asarray(c)}.items(), node.output, strict=False)
    return dict(item for item, edge in found if edge)


def test_every_case_is_here() -> None:
    """Six in onnx 1.23: one for each `export_` of the class that makes them, none lost and none new."""
    exported = [name for name in vars(lstm_cases.LSTM) if name.startswith("export")]
    assert len(CASES) == len(exported) >= 6
    kinds = ("batchwise", "bidirectional", "defaults", "reverse", "with_initial_bias", "with_peepholes")
    assert CASES.keys() >= {f"test_lstm_{kind}" for kind in kinds}


@pytest.mark.parametrize("name", sorted(CASES))
def test_a_case(name: str) -> None:
    model = onnx.ModelProto.FromString(CASES[name].model.SerializeToString())
    onnx.checker.check_model(model)
    (node,) = model.graph.node
    assert CASES[name].data_sets
    for inputs, outputs in CASES[name].data_sets:
        found = run_node(node, inputs)
        assert found
        for (key, got), expected in zip(found.items(), outputs, strict=True):
            assert_agree("outputs", got, expected, "float32", key)


@pytest.mark.parametrize("layout", [0, 1])
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.usefixtures("x64")
def test_drawn_weights_tell_the_gates_apart(direction: str, layout: int) -> None:
    steps, batch, size, hidden, ways = 5, 2, 3, 4, 2 if direction == "bidirectional" else 1
    state = (batch, ways, hidden) if layout else (ways, batch, hidden)
    shapes = {
        "X": (batch, steps, size) if layout else (steps, batch, size),
        "W": (ways, 4 * hidden, size), "R": (ways, 4 * hidden, hidden), "B": (ways, 8 * hidden),
        "initial_h": state, "initial_c": state, "P": (ways, 3 * hidden),
    }  # fmt: skip
    rng = np.random.default_rng(0)
    inputs = {name: rng.uniform(-1, 1, shape) for name, shape in shapes.items()}
    edges = ("X", "W", "R", "B", "", "initial_h", "initial_c", "P")
    node = onnx.helper.make_node(
        "LSTM", edges, ("Y", "Y_h", "Y_c"), hidden_size=hidden, direction=direction, layout=layout
    )
    expected = reference.ReferenceEvaluator(node).run(None, inputs)
    for (key, got), array in zip(run_node(node, [*inputs.values()]).items(), expected, strict=True):
        assert_agree("outputs", got, array, "float64", key)
