"""State dicts of our own models: PyTorch's names and shapes, strict or not, all or nothing."""

import re
from typing import Any

import jax
import numpy as np
import pytest
from drawn import drawn
from flax import nnx

import jax_lstm as jl


def make_model(seed: int = 0) -> jl.LSTMModel:
    return drawn(lambda: jl.LSTMModel(3, 5, 2, num_layers=2, rngs=nnx.Rngs(0)), seed)


def test_names_and_shapes_are_pytorchs() -> None:
    shapes = {name: array.shape for name, array in jl.state_dict(make_model()).items()}
    assert shapes == {
        **{f"lstm.weight_ih_l{k}": (20, size) for k, size in enumerate((3, 5))},
        **{f"lstm.weight_hh_l{k}": (20, 5) for k in range(2)},
        **{f"lstm.bias_{which}_l{k}": (20,) for which in ("ih", "hh") for k in range(2)},
        "fc.weight": (2, 5),
        "fc.bias": (2,),
    }


def assert_unchanged(model: jl.LSTMModel, before: dict[str, np.ndarray]) -> None:
    for name, array in jl.state_dict(model).items():
        np.testing.assert_array_equal(array, before[name])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fc.bias": None}, "missing in the state dict: fc.bias"),
        ({"fc.extra": np.zeros(1), 7: 1}, "not in the model: fc.extra, 7"),
        ({"fc.bias": np.zeros(3)}, r"`fc.bias` must have shape \(2,\); got \(3,\)"),
        ({"fc.bias": np.zeros(2, int)}, "`fc.bias` must be an array of floating-point numbers; got int64"),
        ({"fc.bias": np.zeros(2, bool)}, "`fc.bias` must be an array of floating-point numbers; got bool"),
        ({"fc.bias": np.zeros(2, complex)}, "`fc.bias` must be an array of floating-point numbers; got complex128"),
        ({"fc.bias": "text"}, "`fc.bias` must be an array of floating-point numbers; got str"),
        ({"fc.bias": [[1.0], [1.0, 2.0]]}, "`fc.bias` must be an array of floating-point numbers; got list"),
    ],
)
def test_a_wrong_state_dict_changes_nothing(change: dict[Any, Any], message: str) -> None:
    model, weights = make_model(0), jl.state_dict(make_model(1))
    before = jl.state_dict(model)
    wrong = {name: value for name, value in (weights | change).items() if value is not None}
    with pytest.raises(jl.InputError, match=f"^`state_dict` must fit the parameters of LSTMModel; {message}"):
        jl.load_state_dict(model, wrong)
    assert_unchanged(model, before)


@pytest.mark.parametrize("strict", [True, False])
def test_one_error_lists_all_faults(strict: bool) -> None:
    model, weights = make_model(0), jl.state_dict(make_model(1))
    before = jl.state_dict(model)
    del weights["fc.weight"], weights["lstm.bias_hh_l1"]
    weights |= {"z": np.zeros(1), "fc.bias": np.zeros(3), "lstm.bias_ih_l0": np.zeros(20, int)}
    names = "missing in the state dict: fc.weight, lstm.bias_hh_l1; not in the model: z; " if strict else ""
    with pytest.raises(jl.InputError) as raised:
        jl.load_state_dict(model, weights, strict=strict)
    assert str(raised.value) == (
        f"`state_dict` must fit the parameters of LSTMModel; {names}`fc.bias` must have shape (2,); got (3,); "
        "`lstm.bias_ih_l0` must be an array of floating-point numbers; got int64"
    )
    assert_unchanged(model, before)


def test_not_strict_sets_the_common_names_and_returns_the_others() -> None:
    model, weights = make_model(0), jl.state_dict(make_model(1))
    before, bias = jl.state_dict(model), weights.pop("fc.bias")
    found = jl.load_state_dict(model, weights | {"fc.extra": "anything"}, strict=False)
    assert (found.missing_keys, found.unexpected_keys) == (["fc.bias"], ["fc.extra"])
    assert_unchanged(model, weights | {"fc.bias": before["fc.bias"]})
    assert jl.load_state_dict(model, weights | {"fc.bias": bias}) == ([], [])


def test_incompatible_keys_are_pytorchs() -> None:
    torch = pytest.importorskip("torch")
    module, twin = drawn(lambda: jl.LSTM(3, 5, rngs=nnx.Rngs(0))), torch.nn.LSTM(3, 5)
    theirs = twin.state_dict() | {"z": torch.zeros(1), "a": torch.zeros(1)}
    del theirs["bias_hh_l0"]
    found, expected = jl.load_state_dict(module, theirs, strict=False), twin.load_state_dict(theirs, strict=False)
    assert found.missing_keys == expected.missing_keys
    assert found.unexpected_keys == expected.unexpected_keys


def test_a_state_dict_is_a_mapping() -> None:
    with pytest.raises(jl.InputError, match="`state_dict` must be a mapping of names to arrays; got list"):
        jl.load_state_dict(make_model(), [("fc.bias", np.zeros(2))])  # pyright: ignore[reportArgumentType]
    cell, lstm = jl.LSTMCell(3, 5, rngs=nnx.Rngs(0)), jl.LSTM(3, 5, rngs=nnx.Rngs(0))
    params: Any = jl.LSTMParams(**jl.state_dict(cell))  # pyright: ignore[reportArgumentType]
    for module, names in ((cell, "{}"), (lstm, "{}_l0"), (make_model(), "lstm.{}_l0")):
        fix = re.escape(f"got LSTMParams (convert it with jax_lstm.interop.to_state_dict(params, {names!r}))")
        with pytest.raises(jl.InputError, match=fix):
            jl.load_state_dict(module, params)
        jl.load_state_dict(module, jl.interop.to_state_dict(params, names), strict=False)


def test_traced_weights() -> None:
    model, traced = make_model(), "the weights are being traced; convert them outside of jit and vmap"
    with pytest.raises(jl.InputError, match=f"^`state_dict` must fit the parameters of LSTMModel; {traced}"):
        jax.eval_shape(lambda weights: jl.load_state_dict(make_model(), weights), jl.state_dict(model))
    with pytest.raises(jl.InputError, match=f"^{traced}"):
        nnx.jit(jl.state_dict)(model)


@pytest.mark.parametrize("dtype", ["float64", "float16", "bfloat16"])
def test_floats_are_cast_as_pytorch_casts_them(dtype: str) -> None:
    torch = pytest.importorskip("torch")
    twin = torch.nn.LSTM(3, 5, dtype=getattr(torch, dtype))
    module, expected = drawn(lambda: jl.LSTM(3, 5, rngs=nnx.Rngs(0))), torch.nn.LSTM(3, 5)
    jl.load_state_dict(module, twin.state_dict())
    expected.load_state_dict(twin.state_dict())
    for name, array in jl.state_dict(module).items():
        assert array.dtype == np.float32
        np.testing.assert_array_equal(array, expected.state_dict()[name].numpy())


def test_both_ways_arrays_are_copies() -> None:
    """PyTorch trains in place."""
    torch = pytest.importorskip("torch")
    model, weights = make_model(0), jl.state_dict(make_model(1))
    given = {name: torch.from_numpy(array).clone() for name, array in weights.items()}
    jl.load_state_dict(model, given)
    taken, before = jl.state_dict(model), jl.state_dict(model)
    for name in given:
        given[name].add_(1)
        taken[name] += 1
    assert_unchanged(model, before)
