"""ONNX Runtime on CPU, on an exported graph of standard LSTM operators with the same weights; it does not train."""

import warnings
from typing import Any

import numpy as np
from flax import nnx

from benchmarks.core.cases import Problem
from benchmarks.core.contenders.base import FORWARD, STREAMING, Runner, Work, outputs
from jax_lstm import LSTM, load_state_dict
from jax_lstm.environment import environment
from jax_lstm.export import to_onnx


def in_onnx(problem: Problem) -> Runner:
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
