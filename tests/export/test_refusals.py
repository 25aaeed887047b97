"""What cannot be exported is refused with a reason."""

from typing import Any

import jax
import numpy as np
import pytest
from drawn import drawn
from flax import nnx

import jax_lstm as jl
from jax_lstm.export import Scaling, to_onnx, to_stablehlo
from jax_lstm.models.forecast_model import Layout

pytest.importorskip("onnx")

TOOLS = {"onnx": to_onnx, "stablehlo": to_stablehlo}
SCALED = {"standardise": Scaling(np.zeros(3), np.ones(3)), "restore": Scaling(np.zeros(2), np.ones(2))}
REFUSED = [
    ({"proj_size": 2}, "no projection"),
    ({"variant": jl.Variant(layer_norm=True)}, "no layer normalisation"),
    ({"variant": jl.Variant(zoneout_h=0.1)}, "no zoneout"),
    ({"param_dtype": "bfloat16"}, "here bfloat16, and ours is float32"),
]


@pytest.mark.parametrize(("options", "reason"), REFUSED, ids=[reason for _, reason in REFUSED])
def test_what_onnx_cannot_express(options: dict[str, Any], reason: str) -> None:
    module = drawn(lambda: jl.LSTM(3, 5, **options, rngs=nnx.Rngs(0)))
    with pytest.raises(jl.InputError, match=f"`module` cannot be expressed in ONNX: .*{reason}"):
        to_onnx(module)
    to_stablehlo(module)


class Doubled(jl.LSTMModel):
    """A subclass with a `__call__` of its own, which the exported graph would not hold."""

    def __call__(self, x: Any, *, lengths: Any = None) -> jax.Array:
        return 2 * super().__call__(x, lengths=lengths)


def forecaster(rngs: nnx.Rngs) -> jl.models.ForecastModel:
    return jl.models.ForecastModel(Layout(6, 2, 3, target=(0, 1)), 5, segment=3, rngs=rngs)


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (lambda rngs: jl.LSTMCell(3, 5, rngs=rngs), {}, "`module` must be an LSTM, LSTMModel, ForecastModel or"),
        (lambda rngs: jl.LSTMModel(3, 5, 1, rngs=rngs), {"state": True}, "`state` must be False for LSTMModel; got"),
        (lambda rngs: jl.LanguageModel(3, 5, rngs=rngs), {"lengths": True}, "`lengths` must be False for LanguageMod"),
        (forecaster, {"lengths": True}, "`lengths` must be False for ForecastModel; got True"),
        (forecaster, {"state": True}, "`state` must be False for ForecastModel; got True"),
        (forecaster, SCALED, r"`restore.mean` must have shape \(4,\); got \(2,\)"),
        (lambda rngs: jl.LSTM(3, 5, rngs=rngs), {"lengths": 1}, "`lengths` must be True or False; got 1"),
        (lambda rngs: jl.LSTM(3, 5, rngs=rngs), {"restore": SCALED["restore"]}, "`restore` must be None for LSTM; got"),
        (lambda rngs: jl.LSTMModel(3, 5, 1, rngs=rngs), SCALED, r"`restore.mean` must have shape \(1,\); got \(2,\)"),
        (lambda rngs: Doubled(3, 5, 1, rngs=rngs), {}, "with its own `__call__`; got Doubled"),
        (lambda rngs: jl.LSTM(3, 5, rngs=rngs), {"standardise": ([0.0], [1.0])}, "must be a jax_lstm.export.Sc"),
        (lambda rngs: jl.LSTM(1, 5, rngs=rngs), {"standardise": Scaling(*np.zeros((2, 1)))}, "scale` must be positive"),
        (lambda rngs: jl.LSTMModel(2, 5, 2, rngs=rngs), SCALED, r"`standardise.mean` must have shape \(2,\)"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("tool", TOOLS)
def test_wrong_arguments(tool: str, make: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(jl.InputError, match=message):
        TOOLS[tool](drawn(lambda: make(nnx.Rngs(0))), **options)


def test_wrong_platforms() -> None:
    with pytest.raises(jl.InputError, match="`platforms` must name some of cpu, cuda, rocm, tpu; got"):
        to_stablehlo(drawn(lambda: jl.LSTM(3, 5, rngs=nnx.Rngs(0))), platforms=["gpu"])
