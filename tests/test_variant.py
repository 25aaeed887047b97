"""`Variant` and `Init` through the modules: what they draw and when; tests/kernels compares the numbers."""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import oracle
import pytest
from agree import assert_agree
from flax import nnx

import jax_lstm as jl
from jax_lstm.variants import dropout_mask

XS = np.random.default_rng(0).standard_normal((6, 2, 3)).astype(np.float32)


def make_lstm(num_layers: int = 1, **options: Any) -> jl.LSTM:
    return jl.LSTM(3, 5, num_layers, **options, rngs=nnx.Rngs(0))


def by_oracle(lstm: jl.LSTM, **changes: Any) -> np.ndarray:
    """The outputs of one layer from zeros; `changes` replaces parameters."""
    params = {name.removesuffix("_l0"): value for name, value in jl.state_dict(lstm).items()} | changes
    return oracle.layer(params, XS, np.zeros((2, 5)), np.zeros((2, 5)))[0]


@pytest.mark.parametrize("name", ["recurrent_dropout", "zoneout_c"])
def test_random_in_training_only(name: str) -> None:
    lstm = make_lstm(proj_size=2, variant=replace(jl.Variant(), **{name: 0.5}))
    run = nnx.jit(lambda lstm: lstm(XS)[0])
    lstm.train()
    assert not np.array_equal(run(lstm), run(lstm))
    lstm.eval()
    np.testing.assert_array_equal(run(lstm), run(lstm))


@pytest.mark.parametrize("name", ["recurrent_dropout", "weight_dropout"])
def test_dropouts_leave_evaluation_plain(name: str) -> None:
    lstm = make_lstm(variant=replace(jl.Variant(), **{name: 0.5}))
    lstm.eval()
    np.testing.assert_array_equal(lstm(XS)[0], make_lstm()(XS)[0])
    assert jl.explain_backend(lstm, XS).backend == jl.explain_backend(make_lstm(), XS).backend


def test_zoneout_takes_its_mean_in_evaluation() -> None:
    lstm = make_lstm(variant=jl.Variant(zoneout_h=0.3, zoneout_c=0.1))
    lstm.eval()
    params = {name.removesuffix("_l0"): value for name, value in jl.state_dict(lstm).items()}
    means = oracle.Variant(zoneout_h=np.full((6, 1, 1), 0.3), zoneout_c=np.full((6, 1, 1), 0.1))
    zeros = np.zeros((2, 5))
    ys, *_ = oracle.layer(params, XS, zeros, zeros, variant=means)
    assert_agree("outputs", lstm(XS)[0], ys, "float32")


@pytest.mark.parametrize("name", ["recurrent_dropout", "weight_dropout"])
def test_all_dropped_means_no_recurrence(name: str) -> None:
    """Without its recurrent product an LSTM still has the memory of its cell."""
    lstm = make_lstm(variant=replace(jl.Variant(), **{name: 1.0}))
    assert_agree("outputs", lstm(XS)[0], by_oracle(lstm, weight_hh=np.zeros((20, 5))), "float32")


def test_weight_dropout_is_the_oracle_with_the_weights_that_are_left() -> None:
    """Which those are is seen from the gradient: it is zero for the dropped, and twice as large for the kept."""
    lstm, key = make_lstm(variant=jl.Variant(weight_dropout=0.5)), jax.random.key(3)

    def run(params: Any) -> jax.Array:
        return jl.functional.lstm(params, XS, variant=lstm.variant, key=key)[0]

    gradient = np.asarray(jax.grad(lambda params: jnp.square(run(params)).sum())(lstm.params)["weight_hh_l0"])
    assert 0.3 < (gradient == 0).mean() < 0.7
    left = np.where(gradient == 0, 0, jl.state_dict(lstm)["weight_hh_l0"] / 0.5)
    assert_agree("outputs", run(lstm.params), by_oracle(lstm, weight_hh=left), "float32")


def test_zoneout_of_one_holds_still() -> None:
    lstm = make_lstm(variant=jl.Variant(zoneout_h=1.0, zoneout_c=1.0))
    state = (jnp.full((1, 2, 5), 0.3), jnp.full((1, 2, 5), -0.2))
    ys, last = lstm(XS, state)
    np.testing.assert_allclose(ys, np.full((6, 2, 5), 0.3), rtol=1e-6)
    np.testing.assert_allclose(last.c, state[1], rtol=1e-6)


def test_own_parameters_are_learned() -> None:
    lstm = make_lstm(variant=jl.Variant(layer_norm=True, peepholes=True))
    gradients = jax.jit(jax.grad(lambda p: jnp.square(jl.functional.lstm(p, XS, variant=lstm.variant)[0]).sum()))(
        lstm.params
    )
    own = {name for name in gradients if name.startswith(("norm", "weight_ch"))}
    assert own == {f"{name}_l0" for name in ("norm_ih", "norm_hh", "norm_c", "norm_c_bias", "weight_ch")}
    assert all(np.abs(gradients[name]).max() > 0 for name in own)
    without = nnx.eval_shape(lambda: make_lstm(bias=False, variant=lstm.variant)).params
    assert "norm_c_bias_l0" not in without


def test_dropout_mask() -> None:
    mask = np.asarray(dropout_mask(jax.random.key(0), 0.25, (100, 500), np.float32))
    np.testing.assert_allclose(np.unique(mask), [0, 1 / 0.75], rtol=1e-6)
    assert mask.mean() == pytest.approx(1, abs=0.01)
    assert (np.asarray(dropout_mask(jax.random.key(0), 1.0, (3,), np.float32)) == 0).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"zoneout_c": 1.5}, "`variant.zoneout_c` must be a probability, 0 to 1; got 1.5"),
        ({"layer_norm": 1}, "`variant.layer_norm` must be True or False; got 1"),
    ],
)
def test_wrong_variants(options: dict[str, Any], message: str) -> None:
    with pytest.raises(jl.InputError, match=message):
        jl.Variant(**options)


@pytest.mark.parametrize("backend", ["scan", jl.kernels.Scan(remat="gates")])
def test_a_variant_has_its_own_kernel(backend: Any) -> None:
    with pytest.raises(jl.InputError, match="`backend` must be 'auto' with a `variant` that changes the recurrence"):
        make_lstm(backend=backend, variant=jl.Variant(peepholes=True))(XS)


def test_initial_weights_are_drawn_as_in_pytorch() -> None:
    for lstm in (jl.LSTM(50, 100, rngs=nnx.Rngs(0)), jl.LSTM(50, 100, proj_size=40, rngs=nnx.Rngs(0))):
        for name, weights in jl.state_dict(lstm).items():
            assert np.abs(weights).max() <= 0.1, name
            assert np.abs(weights).max() > 0.095, name
            assert weights.std() == pytest.approx(0.1 / np.sqrt(3), rel=0.1), name


def test_orthogonal_gates() -> None:
    init = jl.Init(weight_hh=nnx.initializers.orthogonal(), bias=nnx.initializers.zeros_init(), forget_bias=1.0)
    for module, suffix in ((make_lstm(init=init), "_l0"), (jl.LSTMCell(3, 5, init=init, rngs=nnx.Rngs(0)), "")):
        weights = jl.state_dict(module)
        for gate in np.split(weights["weight_hh" + suffix], 4):
            np.testing.assert_allclose(gate @ gate.T, np.eye(5), atol=1e-5)
        bias = weights["bias_ih" + suffix] + weights["bias_hh" + suffix]
        np.testing.assert_array_equal(np.split(bias, 4), [[0] * 5, [1] * 5, [0] * 5, [0] * 5])


def test_initialisers_see_one_gate_with_the_inputs_first() -> None:
    seen = []

    def spy(key: jax.Array, shape: tuple[int, ...], dtype: Any) -> jax.Array:
        seen.append(shape)
        return jnp.arange(np.prod(shape), dtype=dtype).reshape(shape)

    init = jl.Init(weight_ih=spy, weight_hr=spy)
    lstm = make_lstm(init=init, proj_size=2)
    assert seen == [(3, 5)] * 4 + [(5, 2)]
    np.testing.assert_array_equal(jl.state_dict(lstm)["weight_ih_l0"][5:10], np.arange(15).reshape(3, 5).T)


@pytest.mark.parametrize(
    ("init", "bias", "message"),
    [
        (jl.Init(forget_bias=1.0), False, "`init.forget_bias` must be left out where bias is False; got 1.0"),
        (jl.Init(weight_hh="orthogonal"), True, "`init.weight_hh` must be a function .*; got 'orthogonal'"),  # pyright: ignore[reportArgumentType]
    ],
)
def test_wrong_inits(init: jl.Init, bias: bool, message: str) -> None:
    with pytest.raises(jl.InputError, match=message):
        make_lstm(bias=bias, init=init)
