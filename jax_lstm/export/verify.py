"""Run an exported program beside the model it was made from, before it is written."""

import importlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from jax_lstm.checks import InputError
from jax_lstm.export.onnx_graph import to_onnx
from jax_lstm.export.program import Options, Program, Scaling, program
from jax_lstm.export.stablehlo import to_stablehlo

Arrays = Mapping[str, np.ndarray]
TOLERANCE = 1e-5  # largest difference, relative to the largest value of an output
BATCH, STEPS = 3, 7  # of the random input


class Format(NamedTuple):
    """A format that holds a program."""

    suffix: str
    export: Callable[..., bytes]
    run: Callable[[bytes, Arrays], Arrays]
    runtime: str
    full: bool  # computes in the type of the parameters


def _run_onnx(file: bytes, inputs: Arrays) -> Arrays:
    onnxruntime: Any = importlib.import_module("onnxruntime")
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    return dict(zip((port.name for port in session.get_outputs()), session.run(None, dict(inputs)), strict=True))


def _run_stablehlo(file: bytes, inputs: Arrays) -> Arrays:
    outputs: Any = jax.export.deserialize(bytearray(file)).call(dict(inputs))
    return {name: np.asarray(array) for name, array in outputs.items()}


FORMATS = {
    "onnx": Format(".onnx", to_onnx, _run_onnx, "onnxruntime", full=True),
    "stablehlo": Format(".stablehlo", to_stablehlo, _run_stablehlo, "jax", full=False),
}


def verify(form: Format, file: bytes, model: Any, options: Options, exported: Program) -> str:
    """Run the exported program on random input and return a line with its largest difference from the model.

    Outputs are compared in standard deviations: the model gets that input standardised in float64, as in `evaluate` and
    `forecast`, and what the program restores is standardised again.

    Raises:
        InputError: an output differs by more than `TOLERANCE` beyond the rounding of restored values.
    """
    try:
        importlib.import_module(form.runtime)
    except ImportError:
        return f"not verified: {form.runtime} is not installed"
    if form.runtime == "onnxruntime" and any(port.dtype == np.float64 for port in exported.outputs):
        return "not verified: onnxruntime has no LSTM in float64"
    restore, inputs = exported.restore, _random_inputs(exported)
    standardised = dict(inputs)
    for name, scaling in exported.standardise.items():
        standardised[name] = _standardised(inputs[name], scaling).astype(inputs[name].dtype)
    bare = Options(lengths=options.get("lengths", False), state=options.get("state", False))
    with jax.default_device(jax.local_devices(backend="cpu")[0]), jax.default_matmul_precision("highest"):
        run = jax.jit(program(model, **bare, full=form.full).run)
        expected = {name: np.asarray(array) for name, array in run(standardised).items()}
        found = dict(form.run(file, inputs))
    if restore is not None:
        found["y"] = _standardised(found["y"], restore)
    rounding = np.array(rounding_of(restore, exported))
    largest, excess = 0.0, 0.0
    for name, reference in expected.items():
        difference = np.abs(np.asarray(found[name], np.float64) - np.asarray(reference, np.float64))
        beyond = np.maximum(difference - rounding, 0) if name == "y" and restore is not None else difference
        scale = np.max(np.abs(reference)) or 1.0
        # np.maximum keeps a NaN, max() may drop it
        largest, excess = np.maximum(largest, np.max(difference) / scale), np.maximum(excess, np.max(beyond) / scale)
    if not excess <= TOLERANCE:
        difference = f"{largest:.1e}, more than {TOLERANCE:.0e}"
        raise InputError(f"the exported program differs from the model by {difference}; nothing is written")
    line = f"run by {form.runtime}: differs from the model by at most {largest:.1e} of the largest value"
    return line if largest <= TOLERANCE else f"{line}, which is the rounding of restored values"


def rounding_of(scaling: Scaling | None, exported: Program) -> list[float]:
    """The rounding error of each restored column in the output's type, in standard deviations of the column."""
    if scaling is None:
        return []
    eps = np.finfo(np.dtype(exported.outputs[0].dtype)).eps
    return (eps * np.abs(scaling.mean) / scaling.scale).tolist()


def _standardised(values: np.ndarray, scaling: Scaling) -> np.ndarray:
    return (np.asarray(values, np.float64) - scaling.mean) / scaling.scale


def _random_inputs(exported: Program) -> dict[str, np.ndarray]:
    rng, sizes = np.random.default_rng(0), {"batch": BATCH, "time": STEPS}
    arrays = {}
    for port in exported.inputs:
        shape = [sizes[size] if isinstance(size, str) else size for size in port.shape]
        if port.name == "tokens":
            array = rng.integers(0, int(exported.outputs[0].shape[-1]), shape)
        elif port.name == "lengths":
            array = rng.integers(1, STEPS + 1, shape)
        else:
            array = rng.normal(size=shape)
            if port.name in exported.standardise:
                array = exported.standardise[port.name].restore(array)
        arrays[port.name] = array.astype(port.dtype)
    return arrays
