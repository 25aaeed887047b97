"""An exported program, run beside the model that it was made of before anybody relies on it."""

import importlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from jax_lstm.checks import InputError
from jax_lstm.export.onnx_graph import to_onnx
from jax_lstm.export.program import Program, Scaling, program
from jax_lstm.export.stablehlo import to_stablehlo

Arrays = Mapping[str, np.ndarray]
CLOSE = 1e-5  # of the exported program to the model, relative to the largest number
BATCH, STEPS = 3, 7  # on which that is tried


class Runnable(NamedTuple):
    """A format that other tools run."""

    suffix: str
    make: Callable[..., bytes]
    run: Callable[[bytes, Arrays], Arrays]
    needs: str
    full: bool  # computes in the type of the parameters


def _run_onnx(file: bytes, inputs: Arrays) -> Arrays:
    onnxruntime: Any = importlib.import_module("onnxruntime")
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    return dict(zip((port.name for port in session.get_outputs()), session.run(None, dict(inputs)), strict=True))


def _run_stablehlo(file: bytes, inputs: Arrays) -> Arrays:
    found: Any = jax.export.deserialize(bytearray(file)).call(dict(inputs))
    return {name: np.asarray(array) for name, array in found.items()}


RUNNABLE = {
    "onnx": Runnable(".onnx", to_onnx, _run_onnx, "onnxruntime", True),
    "stablehlo": Runnable(".stablehlo", to_stablehlo, _run_stablehlo, "jax", False),
}


def agreement(form: Runnable, file: bytes, model: Any, options: dict[str, Any], ports: Program) -> str:
    """How far the exported program lies from the model, on drawn input; on the scale on which the model computes.

    The model is given the rows of that input standardised in float64, as it is by `evaluate` and `forecast`.

    Raises:
        InputError: too far.
    """
    try:
        importlib.import_module(form.needs)
    except ImportError:
        return f"not tried: {form.needs} is not installed"
    inputs = _drawn(ports, options)
    if form.needs == "onnxruntime" and any(port.dtype == np.float64 for port in ports.outputs):
        return "not tried: onnxruntime computes no LSTM in float64"
    into, back = options.get("standardise"), options.get("restore")
    bare = {name: value for name, value in options.items() if name not in ("standardise", "restore")}
    given = inputs if into is None else {**inputs, "x": _standardised(inputs["x"], into).astype(inputs["x"].dtype)}
    with jax.default_device(jax.local_devices(backend="cpu")[0]), jax.default_matmul_precision("highest"):
        run = jax.jit(program(model, **bare, full=form.full).run)
        expected = {name: np.asarray(array) for name, array in run(given).items()}
        found = dict(form.run(file, inputs))
    if back is not None:
        found["y"] = _standardised(found["y"], back)
    # Restored numbers are rounded to the type of the output, each column by so much.
    worst = max(_apart(found[name], expected[name], lost(back, ports) if name == "y" else []) for name in expected)
    if not worst <= CLOSE:
        raise InputError(
            f"the exported program differs from the model by {worst:.1e}, more than {CLOSE:.0e}; nothing is written"
        )
    return f"run by {form.needs}: at most {worst:.1e} from the model"


def _apart(found: np.ndarray, expected: np.ndarray, rounded: list[float]) -> float:
    """The largest difference relative to the largest number, beyond what each column is `rounded` by."""
    absolute = np.abs(np.asarray(found, np.float64) - np.asarray(expected, np.float64))
    beyond = np.maximum(absolute - np.array(rounded), 0) if rounded else absolute
    return float(np.max(beyond) / np.max(np.abs(expected)))


def _standardised(values: np.ndarray, scaling: Scaling) -> np.ndarray:
    return (np.asarray(values, np.float64) - scaling.mean) / scaling.scale


def lost(scaling: Scaling | None, ports: Program) -> list[float]:
    """What the type of the program rounds off each column, in its standard deviations."""
    if scaling is None:
        return []
    steps = np.finfo(np.dtype(ports.outputs[0].dtype)).eps * np.abs(scaling.mean) / scaling.scale
    return steps.tolist()


def _drawn(ports: Program, options: dict[str, Any]) -> dict[str, np.ndarray]:
    rng, sizes = np.random.default_rng(0), {"batch": BATCH, "time": STEPS}
    drawn = {}
    for port in ports.inputs:
        shape = [sizes[size] if isinstance(size, str) else size for size in port.shape]
        if port.name == "tokens":
            drawn[port.name] = rng.integers(0, int(ports.outputs[0].shape[-1]), shape).astype(port.dtype)
        elif port.name == "lengths":
            drawn[port.name] = rng.integers(1, STEPS + 1, shape).astype(port.dtype)
        else:
            values = rng.normal(size=shape)
            scaling = options.get("standardise") if port.name == "x" else None
            drawn[port.name] = (values if scaling is None else scaling.restore(values)).astype(port.dtype)
    return drawn
