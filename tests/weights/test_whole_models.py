"""Whole models to and from PyTorch: outputs agree in float64, and the round trip is exact."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from agree import assert_agree
from drawn import drawn
from flax import nnx

import jax_lstm as jl

torch: Any = pytest.importorskip("torch")

import ported_models  # noqa: E402
from ported_models import Seq2Seq, Speech, Tagger  # noqa: E402

pytestmark = pytest.mark.usefixtures("x64")


class Pair(NamedTuple):
    """A model in both frameworks. PyTorch's layers have the channels of their input (B, ..., C) first."""

    theirs: Callable[[], Any]
    ours: Callable[..., Any]
    shape: tuple[int, ...]
    channels_first: bool = True


def layers() -> dict[str, Pair]:
    tnn = torch.nn
    return {
        "Linear": Pair(lambda: tnn.Linear(4, 3), lambda **t: nnx.Linear(4, 3, **t), (2, 5, 4), False),
        "no bias": Pair(
            lambda: tnn.Linear(4, 4, bias=False), lambda **t: nnx.Linear(4, 4, use_bias=False, **t), (2, 4), False
        ),
        "Conv1d": Pair(
            lambda: tnn.Conv1d(4, 6, 3, stride=2, padding=1),
            lambda **t: nnx.Conv(4, 6, 3, strides=2, padding=1, **t),
            (2, 7, 4),
        ),
        "Conv2d": Pair(
            lambda: tnn.Conv2d(4, 6, (3, 2), groups=2),
            lambda **t: nnx.Conv(4, 6, (3, 2), padding="VALID", feature_group_count=2, **t),
            (2, 5, 6, 4),
        ),
        "Conv3d": Pair(
            lambda: tnn.Conv3d(4, 3, (1, 2, 3), dilation=2),
            lambda **t: nnx.Conv(4, 3, (1, 2, 3), padding="VALID", kernel_dilation=2, **t),
            (2, 3, 4, 6, 4),
        ),
        "LayerNorm": Pair(lambda: tnn.LayerNorm(4), lambda **t: nnx.LayerNorm(4, epsilon=1e-5, **t), (2, 5, 4), False),
        "RMSNorm": Pair(
            lambda: tnn.RMSNorm(4, eps=1e-6), lambda **t: nnx.RMSNorm(4, epsilon=1e-6, **t), (2, 5, 4), False
        ),
        "GroupNorm": Pair(
            lambda: tnn.GroupNorm(2, 4), lambda **t: nnx.GroupNorm(4, num_groups=2, epsilon=1e-5, **t), (2, 5, 4)
        ),
        "InstanceNorm": Pair(
            lambda: tnn.InstanceNorm1d(4, affine=True), lambda **t: nnx.InstanceNorm(4, epsilon=1e-5, **t), (2, 5, 4)
        ),
        "BatchNorm": Pair(lambda: tnn.BatchNorm2d(4), lambda **t: nnx.BatchNorm(4, **t), (2, 5, 3, 4)),
        "Sequential": Pair(
            lambda: tnn.Sequential(tnn.Linear(4, 3), tnn.Tanh(), tnn.Linear(3, 2)),
            lambda **t: nnx.Sequential(nnx.Linear(4, 3, **t), jnp.tanh, nnx.Linear(3, 2, **t)),
            (2, 4),
            False,
        ),
    }


MODELS = {
    "tagger": Pair(ported_models.TorchTagger, Tagger, (3, 5), False),
    "speech": Pair(ported_models.TorchSpeech, Speech, (3, 10, 4), False),
    "seq2seq": Pair(ported_models.TorchSeq2Seq, Seq2Seq, (3, 5), False),
}
PAIRS = layers() | MODELS


def make_theirs(make: Callable[[], Any]) -> Any:
    """A model in float64 with random values everywhere, running statistics too."""
    theirs = make().double().eval()
    for tensor in theirs.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(torch.rand(tensor.shape) + 0.1)
        else:
            tensor.fill_(7)
    return theirs


def make_ours(make: Callable[..., Any], theirs: Any = None) -> Any:
    """A model in float64 and inference mode, abstract (which compiles nothing) unless weights are loaded."""
    ours = nnx.eval_shape(lambda: make(param_dtype=np.float64, rngs=nnx.Rngs(0)))
    ours.eval()
    if theirs is not None:
        assert jl.load_state_dict(ours, theirs.state_dict()) == ([], [])
    return ours


def tensors(arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def make_inputs(name: str, pair: Pair) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    if name in ("tagger", "seq2seq"):
        return [rng.integers(0, 9, pair.shape) for _ in range(1 if name == "tagger" else 2)]
    return [rng.standard_normal(pair.shape)]


@pytest.mark.parametrize("names", [tuple(layers()), *((name,) for name in MODELS)], ids=["layers", *MODELS])
def test_outputs_agree_after_loading(names: tuple[str, ...]) -> None:
    theirs = {name: make_theirs(PAIRS[name].theirs) for name in names}
    inputs = {name: make_inputs(name, PAIRS[name]) for name in names}
    graph, state = nnx.split({name: make_ours(PAIRS[name].ours, theirs[name]) for name in names})

    @jax.jit
    def outputs(state: nnx.State, inputs: dict[str, Any]) -> dict[str, jax.Array]:
        ours = nnx.merge(graph, state)
        return {name: ours[name](*given) for name, given in inputs.items()}

    for name, found in outputs(state, inputs).items():
        swap = PAIRS[name].channels_first
        given = [torch.from_numpy(np.moveaxis(x, -1, 1) if swap else x) for x in inputs[name]]
        expected = theirs[name](*given).detach().numpy()
        assert_agree("outputs", found, np.moveaxis(expected, 1, -1) if swap else expected, "float64", name)


@pytest.mark.parametrize("name", PAIRS)
def test_the_round_trip_is_exact(name: str) -> None:
    pair = PAIRS[name]
    theirs, twin = make_theirs(pair.theirs), make_theirs(pair.theirs)
    ours = make_ours(pair.ours, theirs)
    back = jl.state_dict(ours)
    assert back.keys() == theirs.state_dict().keys()
    twin.load_state_dict(tensors(back), strict=True)
    for key, tensor in theirs.state_dict().items():
        counts = key.endswith("num_batches_tracked")  # which Flax does not keep
        assert torch.equal(twin.state_dict()[key], torch.zeros_like(tensor) if counts else tensor), key


def test_names_come_in_pytorchs_order() -> None:
    class Theirs(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = torch.nn.BatchNorm1d(3)
            self.fc = torch.nn.Linear(3, 3)

    class Ours(nnx.Module):
        def __init__(self) -> None:
            self.norm = nnx.BatchNorm(3, rngs=nnx.Rngs(0))
            self.fc = nnx.Linear(3, 3, rngs=nnx.Rngs(0))

    assert list(jl.state_dict(Ours())) == list(Theirs().state_dict())


def test_shapes_are_pytorchs_in_errors_and_nothing_is_set() -> None:
    ours = make_ours(Speech, make_theirs(ported_models.TorchSpeech))
    before, wrong = jl.state_dict(ours), make_theirs(ported_models.TorchSpeech).state_dict()
    wrong["front.0.0.weight"] = wrong["front.0.0.weight"].mT
    wrong["front.1.1.running_var"] = wrong["front.1.1.running_var"].long()
    wrong["front.0.3.weight"] = wrong.pop("front.0.1.bias")
    with pytest.raises(jl.InputError) as raised:
        jl.load_state_dict(ours, wrong)
    assert str(raised.value) == (
        "`state_dict` must fit the parameters of Speech; missing in the state dict: front.0.1.bias; "
        "not in the model: front.0.3.weight; "
        "`front.0.0.weight` must have shape (6, 4, 3); got (6, 3, 4); "
        "`front.1.1.running_var` must be an array of floating-point numbers; got int64"
    )
    for name, array in jl.state_dict(ours).items():
        np.testing.assert_array_equal(array, before[name])


def test_a_batch_norm_without_its_counter_loads() -> None:
    theirs = make_theirs(lambda: torch.nn.BatchNorm1d(4)).state_dict()
    del theirs["num_batches_tracked"]
    assert jl.load_state_dict(make_ours(lambda **t: nnx.BatchNorm(4, **t)), theirs) == ([], [])


# Wrappers


@pytest.mark.parametrize(
    ("rename", "said"),
    [
        (lambda name: f"module.{name}", r"`module\.` \(from torch\.nn\.DataParallel\)"),
        (lambda name: f"_orig_mod.{name}", r"`_orig_mod\.` \(from torch\.compile\)"),
        (lambda name: f"_orig_mod.module.{name}", r"`module\.` .* and `_orig_mod\.`"),
        (lambda name: name.replace("lstm.", "lstm._orig_mod."), r"`_orig_mod\.`"),
    ],
)
@pytest.mark.parametrize("strict", [True, False])
def test_names_of_wrapped_models(rename: Callable[[str], str], said: str, strict: bool) -> None:
    theirs, ours = make_theirs(ported_models.TorchTagger).state_dict(), make_ours(Tagger)
    with pytest.warns(UserWarning, match=f"^{said}.* was removed from the names in `state_dict`$") as warned:
        assert jl.load_state_dict(ours, {rename(k): v for k, v in theirs.items()}, strict=strict) == ([], [])
    assert len(warned) == 1
    assert warned[0].filename == __file__
    np.testing.assert_array_equal(ours.fc.kernel[...], theirs["fc.weight"].numpy().T)


class Named(nnx.Module):
    """A model with an attribute whose name is that of a wrapper."""

    def __init__(self, **types: Any):
        self.module = nnx.Linear(2, 3, **types)


class TorchNamed(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.module = torch.nn.Linear(2, 3)


@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod."])
def test_a_part_of_a_model_may_have_the_name_of_a_wrapper(prefix: str, recwarn: pytest.WarningsRecorder) -> None:
    theirs, ours = make_theirs(TorchNamed).state_dict(), make_ours(Named)
    assert jl.load_state_dict(ours, {prefix + name: value for name, value in theirs.items()}) == ([], [])
    np.testing.assert_array_equal(ours.module.kernel[...], theirs["module.weight"].numpy().T)
    assert len(recwarn) == bool(prefix)


def test_only_modules_have_state_dicts() -> None:
    state: Any = nnx.state(nnx.Linear(2, 3, rngs=nnx.Rngs(0)))
    for call in (jl.state_dict, lambda module: jl.load_state_dict(module, {})):
        with pytest.raises(jl.InputError, match="`module` must be a Flax module; got State"):
            call(state)


def test_a_name_with_and_without_the_prefix_of_a_wrapper_is_unknown() -> None:
    theirs = make_theirs(lambda: torch.nn.DataParallel(torch.nn.Linear(2, 3))).state_dict()
    both = theirs | {name.removeprefix("module."): value for name, value in theirs.items()}
    with pytest.raises(jl.InputError, match=r"not in the model: module\.weight, module\.bias"):
        jl.load_state_dict(make_ours(lambda **t: nnx.Linear(2, 3, **t)), both)


# Tied parameters


class Tied(nnx.Module):
    """One module under two names, and one parameter under two."""

    def __init__(self, **types: Any):
        self.first = nnx.Linear(3, 3, **types)
        self.second = self.first
        self.third = nnx.Linear(3, 3, **types)
        self.third.kernel = self.first.kernel


class TorchTied(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = torch.nn.Linear(3, 3)
        self.second = self.first
        self.third = torch.nn.Linear(3, 3)
        self.third.weight = self.first.weight


def test_tied_parameters_have_all_their_names() -> None:
    theirs = make_theirs(TorchTied)
    ours = make_ours(Tied, theirs)
    assert ours.third.kernel is ours.first.kernel
    back = jl.state_dict(ours)
    assert list(back) == list(theirs.state_dict())
    theirs.load_state_dict(tensors(back), strict=True)
    for name, tensor in theirs.state_dict().items():
        np.testing.assert_array_equal(back[name], tensor.numpy())


def test_a_tied_parameter_needs_all_its_names_and_one_value() -> None:
    ours, given = make_ours(Tied), make_theirs(TorchTied).state_dict()
    kernel = given.pop("third.weight")
    with pytest.raises(jl.InputError, match=r"missing in the state dict: third\.weight$"):
        jl.load_state_dict(ours, given)
    assert jl.load_state_dict(ours, given, strict=False) == (["third.weight"], [])
    np.testing.assert_array_equal(ours.third.kernel[...], kernel.numpy().T)
    with pytest.raises(jl.InputError, match=r"`third\.weight` must equal `first\.weight`, which is the same parameter"):
        jl.load_state_dict(ours, given | {"third.weight": kernel + 1})


def test_tied_names_must_name_a_parameter() -> None:
    class Wrong(Tied):
        tied_names = {"fc.weight": "embedding.weight"}  # noqa: RUF012

    with pytest.raises(
        jl.InputError, match=r"`tied_names` must map a new name to one of Wrong; got 'embedding\.weight'"
    ):
        jl.state_dict(drawn(lambda: Wrong(rngs=nnx.Rngs(0))))


# Other contents of a module


class Own(nnx.Module):
    """Parameters and buffers of its own, containers, and variables that no state dict holds."""

    def __init__(self, **types: Any):
        self.kernel = nnx.Param(jnp.arange(6.0).reshape(2, 3))  # not in a layer of Flax: name and layout stay
        self.positions = nnx.Variable(jnp.arange(4))
        self.pair = nnx.data((nnx.Linear(2, 3, **types), None))
        self.named = nnx.Dict(a=nnx.Embed(2, 3, **types))
        self.rnn = nnx.RNN(jl.LSTMCell(2, 3, **types))
        self.dropout = nnx.Dropout(0.5, rngs=types["rngs"])
        self.cache, self.seen = nnx.Cache(jnp.zeros(1)), nnx.metrics.Average()
        self.itself = self


def test_own_parameters_buffers_and_containers() -> None:
    ours = drawn(lambda: Own(rngs=nnx.Rngs(0)))
    weights = jl.state_dict(ours)
    assert {name: array.shape for name, array in weights.items()} == {
        "kernel": (2, 3),
        "positions": (4,),
        "pair.0.weight": (3, 2),
        "pair.0.bias": (3,),
        "named.a.weight": (2, 3),
        "rnn.weight_ih": (12, 2),
        "rnn.weight_hh": (12, 3),
        "rnn.bias_ih": (12,),
        "rnn.bias_hh": (12,),
    }
    jl.load_state_dict(ours, tensors(weights) | {"positions": torch.arange(4) + 1})
    np.testing.assert_array_equal(ours.positions[...], np.arange(4) + 1)
    with pytest.raises(jl.InputError, match="`positions` must be an array of int64; got float64"):
        jl.load_state_dict(ours, weights | {"positions": np.zeros(4)})
    merged = nnx.merge(*nnx.split(ours))
    assert jl.state_dict(merged).keys() == weights.keys()


class Unsupported(nnx.Module):
    def __init__(self, **types: Any):
        self.attention = nnx.MultiHeadAttention(2, 4, decode=False, **types)
        self.rnn = nnx.RNN(nnx.OptimizedLSTMCell(4, 4, **types))
        self.fc = nnx.Linear(4, 2, **types)


def test_layers_without_a_row() -> None:
    ours, fc = make_ours(Unsupported), make_theirs(lambda: torch.nn.Linear(4, 2)).state_dict()
    given = {f"fc.{name}": value for name, value in fc.items()}
    listed = (
        r"unsupported attention\.key\.bias, .* of nnx\.MultiHeadAttention, rnn\.dense_h\.bias, .* of "
        r"nnx\.OptimizedLSTMCell \(convert them by hand\)"
    )
    with pytest.raises(jl.InputError, match=f"^`module` must hold supported layers only; got {listed}"):
        jl.state_dict(ours)
    with pytest.raises(
        jl.InputError, match=f"^`state_dict` must fit the parameters of Unsupported; {listed}; .*strict=False"
    ):
        jl.load_state_dict(ours, given)
    missing, unexpected = jl.load_state_dict(
        ours, given | {"attention.in_proj_weight": torch.zeros(12, 4)}, strict=False
    )
    assert {"attention.out.bias", "rnn.dense_h.kernel"} < set(missing)
    assert unexpected == ["attention.in_proj_weight"]
    np.testing.assert_array_equal(ours.fc.kernel[...], fc["weight"].numpy().T)


def test_subclasses_take_the_row_of_their_nearest_base() -> None:
    class Scaled(nnx.Linear):
        def __init__(self, **types: Any):
            super().__init__(2, 3, **types)
            self.gain = nnx.Param(jnp.ones(()))

    assert jl.state_dict(drawn(lambda: Scaled(rngs=nnx.Rngs(0)))).keys() == {"weight", "bias", "gain"}
    with pytest.raises(jl.InputError, match=r"of nnx\.LoRALinear"):
        jl.state_dict(make_ours(lambda **t: nnx.LoRALinear(2, 3, lora_rank=1, **t)))
