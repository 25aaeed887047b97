"""What is checked before an exported program is written."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from drawn import drawn
from flax import nnx

import jax_lstm as jl
from jax_lstm.export import Scaling
from jax_lstm.export.program import Options, program
from jax_lstm.export.verify import FORMATS, Arrays, Format, verify

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

# float32 holds the second column of `y` to 0.25 of its standard deviation.
FAR = {
    "standardise": Scaling(np.zeros(3), np.ones(3)),
    "restore": Scaling(np.array([0.0, 1e7]), np.array([1.0, 4.0])),
}


def line(options: Any, change: Callable[[np.ndarray], np.ndarray] = lambda y: y) -> str:
    """What `verify` says of a model whose exported program returns `change(y)`."""
    onnx = FORMATS["onnx"]

    def run(file: bytes, inputs: Arrays) -> Arrays:
        return {name: change(array) for name, array in onnx.run(file, inputs).items()}

    model, given = drawn(lambda: jl.LSTMModel(3, 5, 2, rngs=nnx.Rngs(0))), Options(**options)
    form: Format = onnx._replace(run=run)
    return verify(form, onnx.export(model, **given), model, given, program(model, full=True, **given))


def said(text: str) -> float:
    """The difference that a line names."""
    assert text.startswith("run by onnxruntime: differs from the model by at most ")
    return float(text.split("at most ")[1].split(" of")[0])


def test_the_real_difference_is_printed() -> None:
    assert 0 < said(line({})) < 1e-6
    assert 2e-6 < said(line({}, lambda y: y * np.float32(1 + 3e-6))) < 4e-6


def test_rounding_of_restored_values_is_printed_and_accepted() -> None:
    text = line(FAR)
    assert text.endswith("which is the rounding of restored values")
    assert said(text) > 1e-3


@pytest.mark.parametrize(
    ("options", "change"),
    [
        ({}, lambda y: y * np.float32(1.001)),
        (FAR, lambda y: y * np.array([1.001, 1], np.float32)),  # one column's rounding excuses no other column
        (FAR, lambda y: y + np.array([0, 8], np.float32)),
        ({}, lambda y: y * np.float32(np.nan)),
    ],
)
def test_what_differs_is_refused(options: Any, change: Callable[[np.ndarray], np.ndarray]) -> None:
    with pytest.raises(jl.InputError, match=r"the exported program differs from the model by .*; nothing is written"):
        line(options, change)


def test_what_cannot_be_verified() -> None:
    model = drawn(lambda: jl.LSTM(3, 5, rngs=nnx.Rngs(0)))
    form = FORMATS["onnx"]._replace(runtime="a_runtime")
    assert verify(form, b"", model, Options(), program(model)) == "not verified: a_runtime is not installed"
