"""One LSTM layer to and from other frameworks: our layer computes what their cell does; converting back is exact."""

import os
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import flax.linen
import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import oracle
import pytest
from agree import assert_agree
from drawn import drawn
from flax import nnx

import jax_lstm as jl
from jax_lstm import interop

STEPS, BATCH, INPUTS, HIDDEN = 3, 4, 3, 5


@pytest.fixture(scope="module", autouse=True)
def keras_home(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keras reads its backend when it is first imported, and writes a config file into its home."""
    os.environ.setdefault("KERAS_BACKEND", "jax")
    os.environ.setdefault("KERAS_HOME", str(tmp_path_factory.mktemp("keras")))


def normal(shape: tuple[int, ...], seed: int, dtype: Any = "float32") -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def random_params(dtype: Any, bias: bool = True) -> jl.LSTMParams:
    shapes = ((4 * HIDDEN, INPUTS), (4 * HIDDEN, HIDDEN), *([(4 * HIDDEN,), (4 * HIDDEN,)] if bias else []))
    return jl.LSTMParams(*(jnp.asarray(normal(shape, seed, dtype)) for seed, shape in enumerate(shapes)))


def by_oracle(params: jl.LSTMParams, xs: np.ndarray) -> np.ndarray:
    """The outputs (T, B, H) of `params` from zeros."""
    arrays = {name: np.asarray(array, np.float64) for name, array in params._asdict().items() if array is not None}
    zeros = np.zeros((BATCH, HIDDEN))
    return oracle.layer(arrays, xs, zeros, zeros)[0]


class Peer(NamedTuple):
    """A framework's cell: one with random weights, its weights taken out and put in, and its outputs (T, B, H)."""

    make: Callable[..., Any]  # (dtype, bias) -> cell
    take: Callable[[Any], jl.LSTMParams]
    put: Callable[[Any, jl.LSTMParams], Any]
    run: Callable[[Any, np.ndarray], Any]
    optional_bias: bool = False


def looped(step: Callable[..., Any], xs: np.ndarray) -> np.ndarray:
    """The outputs of `step`, (carry, x) -> (carry, y), from zeros, without compiling a loop."""
    carry, ys = (jnp.zeros((BATCH, HIDDEN), xs.dtype),) * 2, []
    for x in jnp.asarray(xs):
        carry, y = step(carry, x)
        ys.append(y)
    return np.stack(ys)


def make_nnx(kind: type, dtype: Any, bias: bool) -> Any:
    return drawn(lambda: kind(INPUTS, HIDDEN, param_dtype=dtype, rngs=nnx.Rngs(0)))


def put_nnx(cell: Any, params: jl.LSTMParams) -> Any:
    nnx.update(cell, interop.to_nnx(params, optimized=isinstance(cell, nnx.OptimizedLSTMCell)))
    return cell


class Linen(NamedTuple):
    module: Any
    params: Any


def make_linen(kind: type, dtype: Any, bias: bool) -> Linen:
    module, zeros = kind(HIDDEN, param_dtype=dtype), jnp.zeros((BATCH, HIDDEN), dtype)
    shapes = jax.eval_shape(module.init, jax.random.key(0), (zeros, zeros), jnp.zeros((BATCH, INPUTS), dtype))
    return Linen(module, jax.tree.map(lambda leaf: jnp.asarray(normal(leaf.shape, leaf.size, dtype)), shapes["params"]))


def make_keras(dtype: Any, bias: bool) -> Any:
    keras: Any = pytest.importorskip("keras")
    tanh = jnp.tanh if dtype == "float64" else "tanh"  # Keras's tanh on JAX rounds to float32
    layer = keras.layers.LSTM(
        HIDDEN, tanh, use_bias=bias, bias_initializer="normal", return_sequences=True, dtype=dtype
    )
    layer.build((BATCH, STEPS, INPUTS))
    return layer


def put_keras(layer: Any, params: jl.LSTMParams) -> Any:
    layer.set_weights(interop.to_keras(params))
    return layer


def run_keras(layer: Any, xs: np.ndarray) -> Any:
    return np.asarray(layer(jnp.asarray(xs.swapaxes(0, 1)))).swapaxes(0, 1)


def make_equinox(dtype: Any, bias: bool) -> Any:
    equinox: Any = pytest.importorskip("equinox")
    return equinox.nn.LSTMCell(INPUTS, HIDDEN, use_bias=bias, dtype=jnp.dtype(dtype), key=jax.random.key(0))


def put_equinox(cell: Any, params: jl.LSTMParams) -> Any:
    equinox: Any = pytest.importorskip("equinox")
    names = ("weight_ih", "weight_hh", "bias")[: 3 if cell.use_bias else 2]
    return equinox.tree_at(lambda c: [getattr(c, n) for n in names], cell, interop.to_equinox(params))


def run_equinox(cell: Any, xs: np.ndarray) -> Any:
    def step(carry: Any, x: Any) -> Any:
        carry = jax.vmap(cell)(x, carry)
        return carry, carry[0]

    return looped(step, xs)


def nnx_peer(kind: type) -> Peer:
    return Peer(partial(make_nnx, kind), interop.from_nnx, put_nnx, looped)


def linen_peer(kind: type) -> Peer:
    return Peer(
        partial(make_linen, kind),
        lambda cell: interop.from_linen(cell.params),
        lambda cell, params: cell._replace(params=interop.to_linen(params)),
        lambda cell, xs: looped(partial(cell.module.apply, {"params": cell.params}), xs),
    )


PEERS = {
    "nnx.LSTMCell": nnx_peer(nnx.LSTMCell),
    "nnx.OptimizedLSTMCell": nnx_peer(nnx.OptimizedLSTMCell),
    "linen.LSTMCell": linen_peer(flax.linen.LSTMCell),
    "linen.OptimizedLSTMCell": linen_peer(flax.linen.OptimizedLSTMCell),
    "keras": Peer(make_keras, lambda layer: interop.from_keras(layer.get_weights()), put_keras, run_keras, True),
    "equinox": Peer(make_equinox, interop.from_equinox, put_equinox, run_equinox, True),
}
CASES = [(name, True) for name in PEERS] + [(name, False) for name in PEERS if PEERS[name].optional_bias]


@pytest.mark.parametrize(("name", "bias"), CASES)
def test_outputs_agree_and_the_way_back_is_exact(x64: None, name: str, bias: bool) -> None:
    peer, xs = PEERS[name], normal((STEPS, BATCH, INPUTS), 7, "float64")
    cell = peer.make("float64", bias)
    params = peer.take(cell)
    assert {np.asarray(array).dtype for array in params if array is not None} == {np.dtype("float64")}
    assert (params.bias_ih is None) is not bias
    if bias:
        assert np.asarray(params.bias_hh).any()
        assert not np.asarray(params.bias_ih).any()
    assert_agree("outputs", peer.run(cell, xs), by_oracle(params, xs), "float64")

    given = random_params("float64", bias)
    back = peer.take(peer.put(cell, given))
    if bias:
        given = given._replace(bias_ih=np.zeros(4 * HIDDEN), bias_hh=np.asarray(given.bias_ih) + given.bias_hh)
    for got, expected in zip(back, given, strict=True):
        np.testing.assert_array_equal(got, expected)


def test_frameworks_that_must_have_a_bias_get_zeros() -> None:
    params = random_params("float32", bias=False)
    for back in (
        interop.from_nnx(interop.to_nnx(params)),
        interop.from_nnx(interop.to_nnx(params, optimized=True)),
        interop.from_linen(interop.to_linen(params)),
    ):
        np.testing.assert_array_equal(back.bias_hh, np.zeros(4 * HIDDEN))
        np.testing.assert_array_equal(back.weight_hh, params.weight_hh)


def test_a_layout_with_another_order_of_gates() -> None:
    """ONNX's order i, o, f, c, against a reordering by hand."""
    params, layout = random_params("float32"), interop.KERAS._replace(gates="iofg", inputs_first=False)
    given = interop._give(layout, params)
    i, f, g, o = np.split(np.asarray(params.weight_hh), 4)
    np.testing.assert_array_equal(given["recurrent_kernel"], np.concatenate([i, o, f, g]))
    np.testing.assert_array_equal(interop._take(layout, given).weight_ih, params.weight_ih)


def test_types_are_kept() -> None:
    params = random_params(ml_dtypes.bfloat16)
    assert {array.dtype for array in interop.to_keras(params)} == {np.dtype(ml_dtypes.bfloat16)}
    back = interop.from_linen(interop.to_linen(params))
    assert {np.asarray(array).dtype for array in back if array is not None} == {np.dtype(ml_dtypes.bfloat16)}


@pytest.mark.parametrize("bias", [True, False])
def test_a_layer_of_a_state_dict(bias: bool) -> None:
    shapes = jl.Sizes(INPUTS, HIDDEN, num_layers=2, bias=bias).shapes()
    weights = {f"lstm.{name}": normal(shape, at) for at, (name, shape) in enumerate(shapes.items())}
    weights["fc.bias"] = np.zeros(2)
    for k, inputs in enumerate((INPUTS, HIDDEN)):
        names = f"lstm.{{}}_l{k}"
        params = interop.from_state_dict(weights, names)
        assert np.asarray(params.weight_ih).shape == (4 * HIDDEN, inputs)
        back = interop.to_state_dict(params, names)
        assert list(back) == [f"lstm.{n}_l{k}" for n in jl.LSTMParams._fields[: 4 if bias else 2]]
        for name, array in back.items():
            np.testing.assert_array_equal(array, weights[name])


# Weights that cannot be converted.


def keras_weights(**change: Any) -> list[Any]:
    named = {
        "kernel": np.zeros((INPUTS, 4 * HIDDEN)),
        "recurrent": np.zeros((HIDDEN, 4 * HIDDEN)),
        "bias": np.zeros(4 * HIDDEN),
    }
    return list((named | change).values())


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (keras_weights()[:1], r"`weights` must be \[kernel, recurrent_kernel\] or those and bias; got 1 arrays"),
        ([*keras_weights(), np.zeros(1)], "got 4 arrays"),
        (keras_weights(kernel=np.zeros((4 * HIDDEN, INPUTS))), r"`kernel` must have shape \(20, 20\); got \(20, 3\)"),
        (keras_weights(kernel=np.zeros(INPUTS)), r"`kernel` must have shape \(inputs, gates\); got \(3,\)"),
        (
            keras_weights(recurrent=np.zeros((HIDDEN, HIDDEN))),
            r"`recurrent_kernel` must have shape \(5, 20\); got \(5, 5\)",
        ),
        (
            keras_weights(recurrent=np.zeros(HIDDEN)),
            r"`recurrent_kernel` must have shape \(inputs, gates\); got \(5,\)",
        ),
        (keras_weights(bias=np.zeros((2, 4 * HIDDEN))), r"`bias` must have shape \(20,\); got \(2, 20\)"),
        (keras_weights(bias=np.zeros(4 * HIDDEN, int)), "`bias` must be an array of floating-point numbers; got int64"),
    ],
)
def test_keras_weights_that_do_not_fit(weights: list[Any], message: str) -> None:
    with pytest.raises(jl.InputError, match=message):
        interop.from_keras(weights)


def linen_params() -> dict[str, Any]:
    return interop.to_linen(random_params("float32"))


def test_names_that_do_not_fit() -> None:
    params = linen_params()
    params["if_"] = params.pop("if")
    with pytest.raises(
        jl.InputError, match=r"`weights` must hold exactly ii\.kernel, .*; got missing if\.kernel; unkn"
    ):
        interop.from_linen(params)
    with pytest.raises(jl.InputError, match=r"missing ig\.kernel, ho\.bias; unknown ig, ho\.b"):
        interop.from_linen(
            linen_params() | {"ig": np.zeros((INPUTS, HIDDEN)), "ho": {"kernel": np.zeros((HIDDEN, HIDDEN)), "b": 1}}
        )
    with pytest.raises(jl.InputError, match="missing weight_ih, weight_hh"):
        interop.from_equinox(object())
    with pytest.raises(
        jl.InputError, match=r"hold exactly dense_i\.kernel, .*; got missing dense_h\.bias; unknown dense_i\.bias"
    ):
        interop.from_nnx(drawn(lambda: nnx.GRUCell(INPUTS, HIDDEN, rngs=nnx.Rngs(0))))


def test_an_rnn_is_not_a_cell() -> None:
    rnn = drawn(lambda: nnx.RNN(nnx.LSTMCell(INPUTS, HIDDEN, rngs=nnx.Rngs(0))))
    with pytest.raises(jl.InputError, match=r"`cell` must be one cell; got RNN \(give its cell, rnn\.cell\)"):
        interop.from_nnx(rnn)
    with pytest.raises(jl.InputError, match=r"got Bidirectional \(give its cell, forward_rnn\.cell or backward_rnn\.c"):
        interop.from_nnx(nnx.Bidirectional(rnn, nnx.clone(rnn)))


def test_a_gate_that_does_not_fit() -> None:
    params = linen_params()
    params["hg"]["kernel"] = np.zeros((HIDDEN, HIDDEN + 1))
    with pytest.raises(jl.InputError, match=r"`hg\.kernel` must have shape \(5, 5\); got \(5, 6\)"):
        interop.from_linen(params)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bias_hh": None}, "missing bias_hh"),
        ({"weight_hh": np.zeros((4 * HIDDEN, 2))}, r"`weight_ih` must have shape \(8, 3\); got \(20, 3\)"),
        ({"weight_ih": np.zeros(4 * HIDDEN)}, r"`weight_ih` must have shape \(4H, I\); got \(20,\)"),
        ({"bias_ih": np.zeros(HIDDEN)}, r"`bias_ih` must have shape \(20,\); got \(5,\)"),
        (
            {"weight_ih": np.zeros((4 * HIDDEN, INPUTS), int)},
            "`weight_ih` must be an array of floating-point numbers; got int64",
        ),
    ],
)
@pytest.mark.parametrize("to", ["to_keras", "to_equinox", "to_nnx", "to_linen", "to_state_dict"])
def test_params_that_do_not_fit(to: str, change: dict[str, Any], message: str) -> None:
    with pytest.raises(jl.InputError, match=message):
        getattr(interop, to)(random_params("float32")._replace(**change))


def test_a_projection_is_refused() -> None:
    weights = interop.to_state_dict(random_params("float32"), "{}_l0") | {"weight_hr_l0": np.zeros((2, HIDDEN))}
    with pytest.raises(jl.InputError, match="unknown weight_hr"):
        interop.from_state_dict(weights, "{}_l0")


@pytest.mark.parametrize("names", ["l0", "{}{}", "{}_l1"])
def test_missing_layers(names: str) -> None:
    with pytest.raises(jl.InputError, match=r"`names` must hold one \{\}|missing weight_ih, weight_hh"):
        interop.from_state_dict(interop.to_state_dict(random_params("float32"), "{}_l0"), names)


def test_traced_weights() -> None:
    params = random_params("float32")
    cell = drawn(lambda: nnx.OptimizedLSTMCell(INPUTS, HIDDEN, rngs=nnx.Rngs(0)))
    for convert in (
        lambda: nnx.jit(interop.from_nnx)(cell),
        lambda: jax.jit(lambda params: interop.to_state_dict(params)["weight_ih"])(params),
        lambda: jax.vmap(lambda params: interop.to_keras(params)[0])(jax.tree.map(lambda a: a[None], params)),
    ):
        with pytest.raises(jl.InputError, match=r"^the weights are being traced; convert them outside of jit and vmap"):
            convert()
