"""State dicts in and out: PyTorch's names and shapes, strict, all or nothing."""

from typing import Any

import numpy as np
import pytest
from flax import nnx

import jax_lstm as jl


def make_model(seed: int = 0) -> jl.LSTMModel:
    return jl.LSTMModel(3, 5, 2, num_layers=2, rngs=nnx.Rngs(seed))


def test_names_and_shapes_are_pytorchs() -> None:
    shapes = {name: array.shape for name, array in jl.state_dict(make_model()).items()}
    assert shapes == {
        **{f"lstm.weight_ih_l{k}": (20, size) for k, size in enumerate((3, 5))},
        **{f"lstm.weight_hh_l{k}": (20, 5) for k in range(2)},
        **{f"lstm.bias_{which}_l{k}": (20,) for which in ("ih", "hh") for k in range(2)},
        "fc.weight": (2, 5),
        "fc.bias": (2,),
    }


def test_there_and_back_is_the_identity() -> None:
    source, target = make_model(0), make_model(1)
    jl.load_state_dict(target, jl.state_dict(source))
    for name, array in jl.state_dict(source).items():
        np.testing.assert_array_equal(jl.state_dict(target)[name], array)


def test_the_copy_is_a_copy() -> None:
    model = make_model()
    weights = jl.state_dict(model)
    weights["fc.bias"][:] = 7
    assert not (jl.state_dict(model)["fc.bias"] == 7).any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fc.bias": None}, "missing fc.bias"),
        ({"fc.extra": np.zeros(1)}, "unknown fc.extra"),
        ({"fc.bias": np.zeros(3)}, r"`fc.bias` must have shape \(2,\); got \(3,\)"),
        ({"fc.bias": np.zeros(2, int)}, "`fc.bias` must be an array of floating-point numbers; got int64"),
        ({"fc.bias": "text"}, "`fc.bias` must be an array of floating-point numbers"),
    ],
)
def test_a_wrong_state_dict_changes_nothing(change: dict[str, Any], message: str) -> None:
    model, weights = make_model(0), jl.state_dict(make_model(1))
    before = jl.state_dict(model)
    for name, value in change.items():
        if value is None:
            del weights[name]
        else:
            weights[name] = value
    with pytest.raises(jl.InputError, match=message):
        jl.load_state_dict(model, weights)
    for name, array in jl.state_dict(model).items():
        np.testing.assert_array_equal(array, before[name])
