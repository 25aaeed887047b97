"""PyTorch's own sample inputs for `torch.nn.LSTM` and `torch.nn.LSTMCell`, run through ours.

The arguments come from `torch.testing._internal.common_modules.module_db`, the table from which PyTorch tests its own
modules, and so do those that must be refused; the numbers to agree with are what PyTorch computes from them.
"""

import functools
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from agree import assert_agree
from flax import nnx
from side_by_side import Case, Compared, assert_same, by_torch, compare, with_weights_of

import jax_lstm as jl

torch: Any = pytest.importorskip("torch")
common_modules: Any = pytest.importorskip("torch.testing._internal.common_modules")

OURS = {"LSTM": jl.LSTM, "LSTMCell": jl.LSTMCell}


def samples(name: str, kind: str) -> list[Any]:
    """The entries of one module: `kind` is "module_inputs_func" or "module_error_inputs_func"."""
    (info,) = [info for info in common_modules.module_db if info.module_cls is getattr(torch.nn, name)]
    torch.manual_seed(0)
    options = {"device": "cpu", "dtype": torch.float64, "requires_grad": False, "training": False}
    return list(getattr(info, kind)(info, **options))


SAMPLES = [(name, i, s) for name in OURS for i, s in enumerate(samples(name, "module_inputs_func"))]
ERRORS = [(name, i, s) for name in OURS for i, s in enumerate(samples(name, "module_error_inputs_func"))]


def labels(table: list[Any]) -> list[str]:
    return [f"{name} {number}" for name, number, _ in table]


def options_of(constructor: Any) -> dict[str, Any]:
    """For our module: `dtype` is called `param_dtype` here, and a module has no device."""
    options: dict[str, Any] = {"dtype": torch.float64} | constructor.kwargs
    options.pop("device", None)
    options["param_dtype"] = jnp.dtype(str(options.pop("dtype")).removeprefix("torch."))
    return options


def make_ours(name: str, constructor: Any) -> Any:
    return OURS[name](*constructor.args, **options_of(constructor), rngs=nnx.Rngs(0))


def make_torchs(name: str, constructor: Any) -> Any:
    return getattr(torch.nn, name)(*constructor.args, **({"dtype": torch.float64} | constructor.kwargs))


def arrays(forward: Any) -> tuple[np.ndarray, tuple[np.ndarray, ...] | None]:
    """The input and the state, if there is one, that a sample calls the module with."""
    assert not forward.kwargs
    x, *state = forward.args
    return x.numpy(), tuple(part.numpy() for part in state[0]) if state else None


def test_the_samples_are_there() -> None:
    """32 of `LSTM` and 2 of `LSTMCell`, 14 and 4 to refuse, in PyTorch 2.13; all unbatched, none packed."""
    counts = [[name for name, *_ in table].count(name) for table in (SAMPLES, ERRORS) for name in OURS]
    assert all(count >= least for count, least in zip(counts, (32, 2, 14, 4), strict=True)), counts
    assert sum("does not match weight dtype" in error.error_regex for *_, error in ERRORS) == 1
    for *_, sample in SAMPLES:
        x = sample.forward_input.args[0]
        assert isinstance(x, torch.Tensor), "a packed sample: run it by `lengths`"
        assert x.dtype == torch.float64


@functools.cache
def compared() -> dict[str, Compared]:
    """All samples, in one program."""
    cases = []
    for name, _, sample in SAMPLES:
        constructor = sample.constructor_input
        reference = make_torchs(name, constructor)
        split = with_weights_of(reference, OURS[name], *constructor.args, **options_of(constructor))
        cases.append(Case(reference, *split, *arrays(sample.forward_input)))
    return dict(zip(labels(SAMPLES), compare(cases), strict=True))


@pytest.mark.parametrize("label", labels(SAMPLES))
@pytest.mark.usefixtures("x64")
def test_a_sample(label: str) -> None:
    assert_same(compared()[label], "float64")


@pytest.mark.parametrize(("name", "number", "error"), ERRORS, ids=labels(ERRORS))
@pytest.mark.usefixtures("x64")
def test_what_pytorch_refuses_is_refused(name: str, number: int, error: Any) -> None:
    """But for an input of another type than the weights, which is widened; see `dtype` in the docs."""
    sample = error.module_error_input
    if error.error_on is common_modules.ModuleErrorEnum.CONSTRUCTION_ERROR:
        with pytest.raises(error.error_type, match=error.error_regex):
            make_torchs(name, sample.constructor_input)
        with pytest.raises(jl.InputError):
            make_ours(name, sample.constructor_input)
        return
    reference, module = make_torchs(name, sample.constructor_input), make_ours(name, sample.constructor_input)
    with pytest.raises(error.error_type, match=error.error_regex):
        reference(*sample.forward_input.args)
    x, state = arrays(sample.forward_input)
    if "does not match weight dtype" not in error.error_regex:
        with pytest.raises(jl.InputError):
            module(state, x) if name == "LSTMCell" else module(x, state)
        return
    assert x.dtype == np.float32
    jl.load_state_dict(module, reference.state_dict())
    ys, (h, c) = module(x, state)
    expected = by_torch(reference, torch.tensor(x, dtype=torch.float64))
    for key, got in {"ys": ys, "h": h, "c": c}.items():
        assert_agree("outputs", got, expected[key].detach(), "float64", key)
