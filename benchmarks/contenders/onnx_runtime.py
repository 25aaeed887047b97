"""ONNX Runtime on CPU: a graph of real LSTM operators with the same weights. It does not train."""

from typing import Any

import numpy as np

from benchmarks.cases import Problem
from benchmarks.contenders.base import FORWARD, STREAMING, Runner, Work, outputs
from jax_lstm.environment import environment
from jax_lstm.state import LSTMParams

IOFC = (0, 3, 1, 2)  # where the gates i, o, f, c of ONNX stand among ours: i, f, g, o
OPSET, IR_VERSION = 14, 8


def in_onnx(problem: Problem) -> Runner:
    whole = _session(graph(problem, stateful=False))
    inputs = {"X": problem.xs}

    def forward() -> Any:
        return whole.run(None, inputs)

    works = {FORWARD: Work(forward, lambda: outputs(forward()[0]))}
    if problem.case.streamed:
        works[STREAMING] = _streaming(problem)
    return works


def _streaming(problem: Problem) -> Work:
    session = _session(graph(problem._replace(lengths=None), stateful=True))
    zeros = np.zeros((1, problem.case.batch, problem.case.hidden_size), np.float32)
    xs = [x[None] for x in problem.xs]

    def run() -> list[Any]:
        h, c, found = zeros, zeros, []
        for x in xs:
            ys, h, c = session.run(None, {"X": x, "h": h, "c": c})
            found.append(ys)
        return found

    return Work(run, lambda: outputs(np.concatenate(run())))


def _session(model: Any) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = environment()["cores"], 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def graph(problem: Problem, stateful: bool) -> Any:
    """Inputs X (T, B, I) and, if `stateful`, h and c of one layer; outputs of all steps and the last states."""
    from onnx import TensorProto, checker, helper, numpy_helper

    case, ways = problem.case, problem.case.sizes.num_directions
    constants: dict[str, np.ndarray] = {"flat": np.array([0, 0, -1], np.int64)}
    if problem.lengths is not None:
        constants["lengths"] = problem.lengths
    nodes, at = [], "X"
    for layer, directions in enumerate(problem.layers):
        names = [f"{kind}{layer}" for kind in "WRB"]
        stacked = [np.stack(each) for each in zip(*map(_weights, directions), strict=True)]
        constants |= dict(zip(names, stacked, strict=True))
        rest = ["lengths" * (problem.lengths is not None), *(("h", "c") if stateful else ())]
        made = [f"{kind}{layer}" for kind in ("Y", "H", "C")]
        kind = "bidirectional" if ways == 2 else "forward"
        nodes.append(helper.make_node("LSTM", [at, *names, *rest], made, hidden_size=case.hidden_size, direction=kind))
        nodes.append(helper.make_node("Transpose", [made[0]], [f"T{layer}"], perm=[0, 2, 1, 3]))  # T, B, D, H
        nodes.append(helper.make_node("Reshape", [f"T{layer}", "flat"], [f"ys{layer}"]))
        at = f"ys{layer}"

    def described(name: str, *shape: int | str) -> Any:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    state = (ways, case.batch, case.hidden_size)
    given = [described("X", "T", case.batch, case.input_size)]
    given += [described(name, *state) for name in ("h", "c")] if stateful else []
    found = [described(at, "T", case.batch, ways * case.hidden_size)]
    found += [described(f"{kind}{layer}", *state) for layer in range(case.num_layers) for kind in "HC"]
    initial = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    whole = helper.make_graph(nodes, "lstm", given, found, initial)
    model = helper.make_model(whole, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    checker.check_model(model)
    return model


def _weights(params: LSTMParams) -> tuple[np.ndarray, ...]:
    """W (4H, I), R (4H, H) and B (8H,) of a direction."""
    w, r, b_ih, b_hh = (_reordered(np.asarray(value)) for value in params[:4])
    return w, r, np.concatenate([b_ih, b_hh])


def _reordered(rows: np.ndarray) -> np.ndarray:
    parts = np.split(rows, 4)
    return np.concatenate([parts[gate] for gate in IOFC])
