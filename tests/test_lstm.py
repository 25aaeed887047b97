"""`LSTM`: layouts, lengths, masks, resets, streaming, dropout, initial weights, and its errors."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import oracle
import pytest
from agree import assert_agree
from drawn import drawn
from flax import nnx

import jax_lstm as jl

RNG = np.random.default_rng(0)
XS = RNG.standard_normal((6, 2, 3)).astype(np.float32)  # T, B, I


def make_lstm(num_layers: int = 2, **options: Any) -> jl.LSTM:
    return drawn(lambda: jl.LSTM(3, 5, num_layers, **options, rngs=nnx.Rngs(0)))


def with_dropout(rate: float) -> jl.LSTM:
    """`make_lstm` with dropout, and a state of random numbers for it."""
    lstm = jl.LSTM(3, 5, 2, dropout=rate, rngs=nnx.Rngs(0))
    jl.load_state_dict(lstm, jl.state_dict(make_lstm()))
    return lstm


def by_oracle(lstm: jl.LSTM, xs: Any, h: Any, c: Any, mask: Any = None, resets: Any = None) -> tuple[np.ndarray, ...]:
    """Layers and directions, each by the oracle; `mask` and `resets` (T, B) as `LSTM` means them."""
    weights, last, directions = jl.state_dict(lstm), [], 2 if lstm.bidirectional else 1
    behind = None if resets is None else np.concatenate([resets[1:], np.zeros_like(resets[:1])])
    for layer in range(lstm.num_layers):
        outputs = []
        for at, suffix in enumerate((f"_l{layer}", f"_l{layer}_reverse")[:directions]):
            params = {name.removesuffix(suffix): value for name, value in weights.items() if name.endswith(suffix)}
            row = layer * directions + at
            options = {"reverse": at == 1, "mask": mask, "resets": behind if at else resets}
            ys, *state, _ = oracle.layer(params, xs, h[row], c[row], **options)
            outputs.append(ys)
            last.append(state)
        xs = np.concatenate(outputs, axis=-1)
    h_last, c_last = zip(*last, strict=True)
    return xs, np.stack(h_last), np.stack(c_last)


def test_layers_are_the_oracle(dtype: str) -> None:
    lstm = make_lstm(3, param_dtype=dtype)
    xs, (h, c) = RNG.standard_normal((6, 2, 3)), RNG.standard_normal((2, 3, 2, 5))
    ys, state = lstm(jnp.asarray(xs, dtype), (jnp.asarray(h, dtype), jnp.asarray(c, dtype)))
    for got, expected in zip((ys, *state), by_oracle(lstm, xs, h, c), strict=True):
        assert_agree("outputs", got, expected, dtype)


def test_unbatched_takes_its_state_and_the_rest() -> None:
    lstm, xs = make_lstm(bidirectional=True), jnp.ones((4, 3))
    state = jl.LSTMState(jnp.full((4, 5), 0.3), jnp.full((4, 5), -0.2))
    mask, resets = np.array([True, False, True, True]), np.array([False, False, True, False])
    ys, last = lstm(xs, state, lengths=3, mask=mask, resets=resets)
    batched, _ = lstm(
        xs[:, None], (state.h[:, None], state.c[:, None]), lengths=[3], mask=mask[None], resets=resets[None]
    )
    assert last.h.shape == (4, 5)
    np.testing.assert_allclose(ys, batched[:, 0], rtol=1e-6)


def test_no_rows() -> None:
    ys, state = make_lstm(bidirectional=True, proj_size=4)(jnp.zeros((4, 0, 3)))
    assert (ys.shape, state.h.shape, state.c.shape) == ((4, 0, 8), (4, 0, 4), (4, 0, 5))


def test_masks_resets_and_lengths_are_the_oracle(x64: None) -> None:
    """Together, with holes, with a reset in the padding, and rows of every length down to zero."""
    lstm = make_lstm(bidirectional=True, param_dtype="float64")
    steps, batch, rows = 7, 4, 4
    xs, (h, c) = RNG.standard_normal((steps, batch, 3)), RNG.standard_normal((2, rows, batch, 5))
    mask, resets = RNG.random((batch, steps)) < 0.7, RNG.random((batch, steps)) < 0.4
    lengths = np.array([5, 0, 7, 2])
    within = np.arange(steps) < lengths[:, None]
    resets |= ~within
    ys, state = jax.jit(lambda xs, h, c: lstm(xs, (h, c), lengths=lengths, mask=mask, resets=resets))(xs, h, c)
    expected = by_oracle(lstm, xs, h, c, (mask & within).T, (resets & within).T)
    for got, want in zip((ys, *state), expected, strict=True):
        assert_agree("outputs", got, want, "float64")
    np.testing.assert_array_equal(state.h[:, 1], h[:, 1])  # the row of length 0 hands its state through
    assert (np.asarray(ys)[:, 1] == 0).all()


def test_a_sequence_in_pieces_is_the_sequence() -> None:
    """In bfloat16 too: the state that is handed on loses nothing, since it is float32."""
    lstm = make_lstm(dtype="bfloat16", proj_size=4)
    whole, last = lstm(XS)
    state, parts = None, []
    for piece in np.split(XS, (1, 2, 5)):
        ys, state = lstm(piece, state)
        parts.append(np.asarray(ys, np.float32))
    assert isinstance(state, jl.LSTMState)
    np.testing.assert_allclose(np.concatenate(parts), np.asarray(whole, np.float32), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(state.h, last.h, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(state.c, last.c, rtol=1e-5, atol=1e-6)


def test_dropout_falls_between_layers_in_training_only() -> None:
    lstm, plain = with_dropout(0.5), make_lstm()
    lstm.eval()
    np.testing.assert_array_equal(lstm(XS)[0], plain(XS)[0])
    lstm.train()
    np.testing.assert_array_equal(nnx.view(lstm, deterministic=True)(XS)[0], plain(XS)[0])
    (first, first_state), (second, _) = lstm(XS), lstm(XS)
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(first_state.h[0], plain(XS)[1].h[0])  # the first layer is not touched
    assert (first != 0).all()  # nor are the outputs


def test_dropout_of_one_drops_all() -> None:
    lstm = with_dropout(1.0)
    lstm.train()
    ys, _ = lstm(jnp.ones((3, 2, 3)))
    zeros = np.zeros((1, 2, 5))
    second = drawn(lambda: jl.LSTM(5, 5, rngs=nnx.Rngs(0)))
    jl.load_state_dict(second, {k.replace("l1", "l0"): v for k, v in jl.state_dict(lstm).items() if k.endswith("l1")})
    np.testing.assert_allclose(ys, by_oracle(second, np.zeros((3, 2, 5)), zeros, zeros)[0], rtol=1e-5)


def test_dropout_with_one_layer_warns_as_in_pytorch() -> None:
    with pytest.warns(UserWarning, match="`dropout` applies between layers"):
        make_lstm(1, dropout=0.5)


def test_lstm_model_takes_the_last_step_of_each_row() -> None:
    model = drawn(lambda: jl.LSTMModel(3, 5, 2, bidirectional=True, proj_size=4, rngs=nnx.Rngs(0)))
    x = XS.swapaxes(0, 1)
    y = model(x, lengths=[4, 6])
    ys, _ = model.lstm(x, lengths=[4, 6])
    weights = jl.state_dict(model)
    for row, length in enumerate((4, 6)):
        expected = ys[row, length - 1] @ weights["fc.weight"].T + weights["fc.bias"]
        np.testing.assert_allclose(y[row], expected, rtol=1e-5, atol=1e-6)


def test_lstm_model_takes_a_row_of_no_steps() -> None:
    model, lengths = drawn(lambda: jl.LSTMModel(3, 5, 2, rngs=nnx.Rngs(0))), np.array([0, 6], np.uint8)
    y = model(XS.swapaxes(0, 1), lengths=lengths)
    np.testing.assert_allclose(y[0], jl.state_dict(model)["fc.bias"], rtol=1e-6)
    traced = jax.jit(lambda lengths: model(XS.swapaxes(0, 1), lengths=lengths))
    np.testing.assert_allclose(traced(lengths), y, rtol=1e-5, atol=1e-6)
    assert np.isfinite(traced(np.array([9, 6]))).all()  # counts as T


def test_numpy_sizes() -> None:
    sizes: Any = (np.int64(3), np.int32(5), np.int64(2))
    lstm = jl.LSTM(*sizes, rngs=nnx.Rngs(0))
    assert (lstm.input_size, lstm.hidden_size, lstm.num_layers) == (3, 5, 2)
    assert isinstance(lstm.hidden_size, int)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_layers": 0}, "`num_layers` must be an integer of at least 1; got 0"),
        ({"dropout": 1.5}, "`dropout` must be a probability, 0 to 1; got 1.5"),
        ({"dropout": True}, "`dropout` must be a probability, 0 to 1; got True"),
        ({"dropout": "0.5"}, "`dropout` must be a probability, 0 to 1; got '0.5'"),
        ({"proj_size": -1}, "`proj_size` must be an integer of at least 0; got -1"),
        ({"proj_size": 5}, "`proj_size` must be smaller than hidden_size, 5; got 5"),
        ({"bias": 1}, "`bias` must be True or False; got 1"),
        (
            {"backend": "fast"},
            "be a kernel or one of auto, native, pallas, plain, cudnn, scan, parallel, reference; got 'fast'",
        ),
        ({"dtype": "int32"}, "`dtype` must be a floating-point type of 16 bits or more; got int32"),
        ({"param_dtype": "text"}, "`param_dtype` must be a floating-point type of 16 bits or more; got 'text'"),
        ({"variant": None}, "`variant` must be jax_lstm's Variant; got None"),
        ({"init": nnx.initializers.zeros}, "`init` must be jax_lstm's Init; got <function"),
        ({"num_layers": True}, "`num_layers` must be an integer of at least 1; got True"),
        ({"remat": "gates"}, r"`remat` is an option of a kernel: give backend=jax_lstm.kernels.Scan\(remat='gates'\)"),
        ({"unroll": 4}, r"`unroll` is an option of a kernel: give backend=jax_lstm.kernels.Scan\(unroll=4\)"),
    ],
)
def test_wrong_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(jl.InputError, match=message):
        make_lstm(**options)


def zeros(*shape: int) -> tuple[jax.Array, jax.Array]:
    return jnp.zeros(shape), jnp.zeros(shape)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"x": np.ones((6, 2, 4))}, r"`x` must have shape \(T, B, 3\) or \(T, 3\); got \(6, 2, 4\)"),
        ({"x": np.ones(3)}, r"`x` must have shape \(T, B, 3\) or \(T, 3\); got \(3,\)"),
        ({"x": np.ones((6, 2, 2, 3))}, r"`x` must have shape \(T, B, 3\) or \(T, 3\); got \(6, 2, 2, 3\)"),
        ({"x": np.ones((0, 2, 3))}, r"`x` must have at least one time step; got shape \(0, 2, 3\)"),
        ({"x": np.ones((6, 2, 3), int)}, "`x` must be an array of floating-point numbers; got int32"),
        ({"x": "text"}, "`x` must be an array; got str"),
        ({"state": zeros(2, 5)}, r"`state.h` must have shape \(2, 2, 5\); got \(2, 5\)"),
        ({"state": zeros(2, 3, 5)}, r"`state.h` must have shape \(2, 2, 5\); got \(2, 3, 5\)"),
        ({"x": XS[:, 0], "state": zeros(2, 2, 5)}, r"`state.h` must have shape \(2, 5\); got \(2, 2, 5\)"),
        ({"state": jnp.zeros((2, 2, 5))}, r"`state` must be an LSTMState or a pair \(h, c\)"),
        ({"state": np.array([6, 4])}, r"pair \(h, c\); got ndarray \(lengths are a keyword: lengths=\.\.\.\)$"),
        ({"state": np.array([6, 4, 2])}, r"pair \(h, c\); got ndarray$"),
        ({"state": np.array([6.0, 4.0])}, r"pair \(h, c\); got ndarray$"),
        ({"state": (None, None)}, "`state.h` must be an array; got NoneType"),
        (
            {"state": (jnp.zeros((2, 2, 5)), jnp.zeros((2, 2, 5), int))},
            "`state.c` must be an array of floating-point numbers; got int32",
        ),
        ({"lengths": [2**32 + 2, 1]}, "`lengths` must lie between 0 and T, 6; got 4294967298"),
        ({"lengths": [7, 1]}, "`lengths` must lie between 0 and T, 6; got 7"),
        ({"lengths": [6, -1]}, "`lengths` must lie between 0 and T, 6; got -1"),
        ({"lengths": [6.0, 1.0]}, "`lengths` must be an array of integers; got float64"),
        ({"lengths": [True, True]}, "`lengths` must be an array of integers; got bool"),
        ({"lengths": [1, 2, 3]}, r"`lengths` must have shape \(2,\); got \(3,\)"),
        ({"mask": np.ones((6, 2), bool)}, r"`mask` must have shape \(2, 6\); got \(6, 2\)"),
        ({"mask": np.ones((2, 6), int)}, "`mask` must be an array of bools; got int32"),
        ({"resets": np.ones((2, 6), int)}, "`resets` must be an array of bools; got int32"),
    ],
)
def test_wrong_calls(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(jl.InputError, match=message):
        make_lstm()(**{"x": XS, **arguments})


def test_a_wider_state_is_refused(x64: None) -> None:
    wide = zeros(2, 2, 5)
    with pytest.raises(jl.InputError, match=r"`state.h` must be float32, or narrower; got float64 \(cast it"):
        make_lstm()(XS, wide)
    assert make_lstm(dtype="float64")(XS, wide)[1].c.dtype == np.float64


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weight_hh_l0": None}, "`params` must have a weight_hh_l0"),
        ({"bias_ih_l0": [1.0] * 20}, r"`params\['bias_ih_l0'\]` must be a JAX or NumPy array; got list"),
        ({"bias_ih_l0": np.zeros(20, int)}, "`bias_ih_l0` must be an array of floating-point numbers; got int64"),
        ({"norm_ih_l0": np.ones(20)}, "`params` must name the parameters of one LSTM; it lacks norm_c_bias_l0"),
        ({"weight_hh_l1": None}, "`params` must name the parameters of one LSTM; it lacks weight_hh_l1"),
        ({"fc.weight": np.zeros((1, 5))}, "`params` must name the parameters of one LSTM; it has an unknown fc.weight"),
        ({"bias_hh_l0": np.zeros(21)}, r"`bias_hh_l0` must have shape \(20,\); got \(21,\)"),
        ({"weight_ih_l0": np.zeros((21, 3))}, "`weight_ih_l0` must have 4H rows, one block a gate; got 21 rows"),
    ],
)
def test_wrong_params_of_the_function(change: dict[str, Any], message: str) -> None:
    params = jl.state_dict(make_lstm()) | change
    with pytest.raises(jl.InputError, match=message):
        jl.functional.lstm({name: value for name, value in params.items() if value is not None}, XS)


def test_parameters_and_variant_must_fit() -> None:
    plain, normed = make_lstm(1), make_lstm(1, variant=jl.Variant(layer_norm=True))
    with pytest.raises(
        jl.InputError, match=r"`variant.peepholes` must be False, since `params` lack its parameters; got True"
    ):
        jl.functional.lstm(plain.params, XS, variant=jl.Variant(peepholes=True))
    with pytest.raises(
        jl.InputError, match=r"`variant.layer_norm` must be True, since `params` have its parameters; got False"
    ):
        jl.functional.lstm(normed.params, XS)


def test_explain_backend() -> None:
    choice = jl.explain_backend(make_lstm(), jax.ShapeDtypeStruct((6, 2, 3), jnp.float32))
    assert choice.backend in str(choice)
    assert jl.explain_backend(make_lstm(variant=jl.Variant(peepholes=True)), XS).backend == "variant"
    assert str(jl.explain_backend(make_lstm(backend="reference"), XS)) == "reference: named by `backend`"
    assert jl.explain_backend(drawn(lambda: jl.LSTMCell(3, 5, rngs=nnx.Rngs(0))), XS[0]).backend == "step"
    abstract = nnx.eval_shape(lambda: jl.LSTM(3, 5, rngs=nnx.Rngs(0)))
    assert jl.explain_backend(abstract, XS, platform="tpu").backend == "plain"
    model: Any = nnx.eval_shape(lambda: jl.LSTMModel(3, 5, 2, rngs=nnx.Rngs(0)))
    for given in ("mask", ["mask"]):
        with pytest.raises(jl.InputError, match="cuDNN takes lengths; not mask"):
            jl.explain_backend(make_lstm(backend="cudnn"), XS, given=given, platform="cuda")
    with pytest.raises(jl.InputError, match="`given` must be one of 'lengths', 'mask', 'resets'; got 'masks'"):
        jl.explain_backend(make_lstm(), XS, given="masks")
    explain: Any = jl.explain_backend
    with pytest.raises(TypeError, match=r"unexpected keyword argument 'lengths'; say given=\['lengths'\]"):
        explain(make_lstm(), XS, lengths=[6, 3])
    explain = jl.functional.explain_backend
    with pytest.raises(TypeError, match=r"unexpected keyword argument 'mask'; say given=\['mask'\]"):
        explain(make_lstm().params, XS, mask=None)
    with pytest.raises(
        jl.InputError, match=r"`module` must be an LSTM or an LSTMCell; got LSTMModel \(give the LSTM in"
    ):
        jl.explain_backend(model, XS)


def test_a_backend_by_name_that_cannot_serve(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(jl.InputError, match=r"`backend` 'native' does not support this call: .* not in float16"):
        make_lstm(backend="native", dtype="float16")(XS)
    monkeypatch.setenv("JAX_LSTM_BACKEND", "fast")
    with pytest.raises(
        jl.InputError,
        match=r"`JAX_LSTM_BACKEND` must be auto or one of native, pallas, plain, .*, reference; got 'fast'",
    ):
        make_lstm()(XS)
    monkeypatch.setenv("JAX_LSTM_BACKEND", "")
    make_lstm()(XS)
    monkeypatch.setenv("JAX_LSTM_BACKEND", "native")
    assert jl.explain_backend(make_lstm(), XS).reason == "named by `JAX_LSTM_BACKEND`"
    with pytest.raises(jl.InputError, match="`JAX_LSTM_BACKEND` 'native' does not support this call"):
        make_lstm(dtype="float16")(XS)


def test_options_of_a_kernel() -> None:
    x = jnp.concatenate([XS, XS[:1]])  # 7 steps, which 3 does not divide
    kernels = (jl.kernels.Scan(), jl.kernels.named("scan", unroll=3))
    one, three = (make_lstm(backend=kernel) for kernel in kernels)
    programs = [str(jax.make_jaxpr(lambda x, lstm=lstm: lstm(x))(x)) for lstm in (one, three)]
    assert ["unroll=3" in program for program in programs] == [False, True]
    for got, expected in zip(jax.tree.leaves(three(x)), jax.tree.leaves(one(x)), strict=True):
        assert_agree("outputs", got, expected, "float32")
    for options, message in (
        ({"unroll": 0}, "`unroll` must be an integer of at least 1; got 0"),
        ({"remat": "all"}, "`remat` must be one of None, 'gates', 'chunks'; got 'all'"),
        (
            {"rolled": 2},
            "`backend` must be given options that it has: 'scan' has the options unroll and remat; got rolled",
        ),
    ):
        with pytest.raises(jl.InputError, match=message):
            jl.kernels.named("scan", **options)
    with pytest.raises(jl.InputError, match=r"give backend=jax_lstm.kernels.Scan\(remat='gates', unroll=2\)"):
        make_lstm(remat="gates", unroll=2)
    with pytest.raises(jl.InputError, match=r"be a kernel or .* \(pass an instance, as backend=Scan\(\)\)"):
        make_lstm(backend=jl.kernels.Scan)
    with pytest.raises(TypeError, match="LSTM got an unexpected keyword argument 'units'"):
        make_lstm(units=3)


def test_an_argument_of_flaxs_name() -> None:
    lstm: Any = make_lstm()
    function: Any = jl.functional.lstm
    for call in (lstm, lambda x, **options: function(lstm.params, x, **options)):
        with pytest.raises(TypeError, match="unexpected keyword argument 'seq_lengths'; here it is `lengths`"):
            call(XS, seq_lengths=[6, 3])
        with pytest.raises(TypeError, match=r"unexpected keyword argument 'length'$"):
            call(XS, length=[6, 3])


def test_functional_is_the_module_by_state_or_by_name() -> None:
    """It takes `nnx.state(lstm)`, with or without the state of dropout, and differentiates in it."""
    lstm = jl.LSTM(3, 5, 2, bidirectional=True, dropout=0.5, rngs=nnx.Rngs(0))
    lstm.eval()
    state = nnx.state(lstm, nnx.Param)
    expected = lstm(XS, lengths=[3, 6])
    for params in (lstm.params, jl.state_dict(lstm), nnx.state(lstm), state, nnx.as_pure(state)):
        found = jl.functional.lstm(params, XS, lengths=[3, 6])
        for got, wanted in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
            np.testing.assert_array_equal(got, wanted)
    gradient, by_name = (
        jax.grad(lambda params: jl.functional.lstm(params, XS)[0].sum())(params) for params in (state, lstm.params)
    )
    for name, wanted in by_name.items():
        np.testing.assert_array_equal(gradient[name][...], wanted)
    with pytest.raises(jl.InputError, match="be a JAX or NumPy array; got State"):
        jl.functional.lstm(nnx.state(drawn(lambda: jl.LSTMModel(3, 5, 2, rngs=nnx.Rngs(0)))), XS)


def test_the_public_face() -> None:
    assert dir(jl) == sorted(jl.__all__)
    assert not hasattr(jl, "lstm")
    assert dir(jl.kernels) == sorted(jl.kernels.__all__)
