"""`LSTM`: layouts, lengths, masks, resets, streaming, dropout, initial weights, and its errors."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import oracle
import pytest
from agree import assert_agree
from flax import nnx

import jax_lstm as jl

RNG = np.random.default_rng(0)
XS = RNG.standard_normal((6, 2, 3)).astype(np.float32)  # T, B, I


def make_lstm(num_layers: int = 2, **options: Any) -> jl.LSTM:
    return jl.LSTM(3, 5, num_layers, **options, rngs=nnx.Rngs(0))


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


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("num_layers", [1, 3])
def test_layers_are_the_oracle(num_layers: int, bias: bool, dtype: str) -> None:
    lstm = make_lstm(num_layers, bias=bias, param_dtype=dtype)
    xs, (h, c) = RNG.standard_normal((6, 2, 3)), RNG.standard_normal((2, num_layers, 2, 5))
    ys, state = lstm(jnp.asarray(xs, dtype), (jnp.asarray(h, dtype), jnp.asarray(c, dtype)))
    for got, expected in zip((ys, *state), by_oracle(lstm, xs, h, c), strict=True):
        assert_agree("outputs", got, expected, dtype)


def test_zero_state_by_default() -> None:
    lstm, zeros = make_lstm(), np.zeros((2, 2, 5))
    ys, state = lstm(XS)
    for got, expected in zip((ys, *state), by_oracle(lstm, XS, zeros, zeros), strict=True):
        assert_agree("outputs", got, expected, "float32")


def test_batch_first_and_unbatched() -> None:
    ys, state = make_lstm()(XS)
    first, first_state = make_lstm(batch_first=True)(XS.swapaxes(0, 1))
    np.testing.assert_array_equal(first, ys.swapaxes(0, 1))
    np.testing.assert_array_equal(first_state.h, state.h)
    one, one_state = make_lstm(batch_first=True)(XS[:, 1])
    np.testing.assert_allclose(one, ys[:, 1], rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(one_state.c, state.c[:, 1], rtol=1e-5, atol=1e-7)


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


@pytest.mark.parametrize("options", [{}, {"bidirectional": True, "proj_size": 4, "num_layers": 1}])
def test_no_rows(options: dict[str, Any]) -> None:
    lstm = make_lstm(**options)
    ys, state = lstm(jnp.zeros((4, 0, 3)))
    rows, output = lstm.sizes.num_layers * lstm.sizes.num_directions, lstm.sizes.output_size
    assert ys.shape == (4, 0, lstm.sizes.num_directions * output)
    assert state.h.shape == (rows, 0, output)
    assert state.c.shape == (rows, 0, 5)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_masks_resets_and_lengths_are_the_oracle(bidirectional: bool, x64: None) -> None:
    """Together, with holes, with a reset in the padding, and rows of every length down to zero."""
    lstm = make_lstm(bidirectional=bidirectional, param_dtype="float64")
    steps, batch, rows = 7, 4, 4 if bidirectional else 2
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


@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_reset_makes_two_sequences_of_one(bidirectional: bool) -> None:
    lstm, resets = make_lstm(bidirectional=bidirectional), np.zeros((2, 6), bool)
    resets[:, 4] = True
    whole, _ = lstm(XS, resets=resets)
    np.testing.assert_allclose(whole, jnp.concatenate([lstm(XS[:4])[0], lstm(XS[4:])[0]]), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("cuts", [(4,), (1, 2, 5)])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_sequence_in_pieces_is_the_sequence(dtype: str, cuts: tuple[int, ...]) -> None:
    """In bfloat16 too: the state that is handed on loses nothing, since it is float32."""
    lstm = make_lstm(dtype=dtype, proj_size=4)
    whole, last = lstm(XS)
    state, parts = None, []
    for piece in np.split(XS, cuts):
        ys, state = lstm(piece, state)
        parts.append(np.asarray(ys, np.float32))
    assert isinstance(state, jl.LSTMState)
    np.testing.assert_allclose(np.concatenate(parts), np.asarray(whole, np.float32), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(state.h, last.h, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(state.c, last.c, rtol=1e-5, atol=1e-6)


def test_cell_step_by_step_is_the_sequence() -> None:
    lstm, cell = make_lstm(1), jl.LSTMCell(3, 5, rngs=nnx.Rngs(1))
    jl.load_state_dict(cell, {name.removesuffix("_l0"): value for name, value in jl.state_dict(lstm).items()})
    whole, last = lstm(XS)
    state: Any = None
    for x, expected in zip(XS, whole, strict=True):
        state, y = cell(state, x)
        np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(state.c, last.c[0], rtol=1e-5, atol=1e-6)


def test_truncated_backpropagation() -> None:
    """The recipe of docs/recipes.md: the state goes on, its gradient does not."""
    lstm = make_lstm()
    graph, params = nnx.split(lstm)

    def loss(params: nnx.State, xs: Any, state: jl.LSTMState | None) -> tuple[jax.Array, jl.LSTMState]:
        ys, state = nnx.merge(graph, params)(xs, state)
        return jnp.square(ys).sum(), jax.lax.stop_gradient(state)

    def pieces(params: nnx.State) -> jax.Array:
        first, state = loss(params, XS[:3], None)
        return first + loss(params, XS[3:], state)[0]

    first, state = jax.grad(loss, has_aux=True)(params, XS[:3], None)
    second, _ = jax.grad(loss, has_aux=True)(params, XS[3:], state)
    together = jax.grad(pieces)(params)
    for a, b, both in zip(*map(jax.tree.leaves, (first, second, together)), strict=True):
        np.testing.assert_allclose(a + b, both, rtol=1e-4, atol=1e-6)
    whole = jax.grad(lambda params: loss(params, XS, None)[0])(params)
    assert not np.allclose(jax.tree.leaves(whole)[0], jax.tree.leaves(together)[0], rtol=1e-3)


def test_dropout_falls_between_layers_in_training_only() -> None:
    lstm, plain = make_lstm(dropout=0.5), make_lstm()
    lstm.eval()
    np.testing.assert_array_equal(lstm(XS)[0], plain(XS)[0])
    lstm.train()
    (first, first_state), (second, _) = lstm(XS), lstm(XS)
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(first_state.h[0], plain(XS)[1].h[0])  # the first layer is not touched
    assert (first != 0).all()  # nor are the outputs


def test_view_in_evaluation() -> None:
    lstm = make_lstm(dropout=0.5)
    np.testing.assert_array_equal(nnx.view(lstm, deterministic=True)(XS)[0], make_lstm()(XS)[0])
    assert not lstm.deterministic


def test_dropout_of_one_drops_all() -> None:
    lstm = make_lstm(dropout=1.0)
    lstm.train()
    ys, _ = lstm(jnp.ones((3, 2, 3)))
    zeros = np.zeros((1, 2, 5))
    second = jl.LSTM(5, 5, rngs=nnx.Rngs(0))
    jl.load_state_dict(second, {k.replace("l1", "l0"): v for k, v in jl.state_dict(lstm).items() if k.endswith("l1")})
    np.testing.assert_allclose(ys, by_oracle(second, np.zeros((3, 2, 5)), zeros, zeros)[0], rtol=1e-5)


def test_dropout_with_one_layer_warns_as_in_pytorch() -> None:
    with pytest.warns(UserWarning, match="`dropout` applies between layers"):
        make_lstm(1, dropout=0.5)


def test_lstm_model_takes_the_last_step_of_each_row() -> None:
    model = jl.LSTMModel(3, 5, 2, bidirectional=True, proj_size=4, rngs=nnx.Rngs(0))
    x = XS.swapaxes(0, 1)
    y = model(x, lengths=[4, 6])
    ys, _ = model.lstm(x, lengths=[4, 6])
    weights = jl.state_dict(model)
    for row, length in enumerate((4, 6)):
        expected = ys[row, length - 1] @ weights["fc.weight"].T + weights["fc.bias"]
        np.testing.assert_allclose(y[row], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("lengths", [np.array([0, 6], np.uint8), np.array([0, 6])])
def test_lstm_model_takes_a_row_of_no_steps(lengths: np.ndarray) -> None:
    model = jl.LSTMModel(3, 5, 2, rngs=nnx.Rngs(0))
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


def test_functional_is_the_module() -> None:
    lstm = make_lstm(bidirectional=True)
    ys, state = lstm(XS, lengths=[3, 6])
    params = {name: jnp.asarray(value) for name, value in jl.state_dict(lstm).items()}
    plain, last = jl.functional.lstm(params, XS, lengths=[3, 6])
    for got, expected in zip((plain, *last), (ys, *state), strict=True):
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_layers": 0}, "`num_layers` must be an integer of at least 1; got 0"),
        ({"dropout": 1.5}, "`dropout` must be a probability, 0 to 1; got 1.5"),
        ({"dropout": -0.1}, "`dropout` must be a probability, 0 to 1; got -0.1"),
        ({"dropout": True}, "`dropout` must be a probability, 0 to 1; got True"),
        ({"dropout": "0.5"}, "`dropout` must be a probability, 0 to 1; got '0.5'"),
        ({"proj_size": -1}, "`proj_size` must be an integer of at least 0; got -1"),
        ({"proj_size": 5}, "`proj_size` must be smaller than hidden_size, 5; got 5"),
        ({"bias": 1}, "`bias` must be True or False; got 1"),
        ({"batch_first": None}, "`batch_first` must be True or False; got None"),
        ({"bidirectional": "yes"}, "`bidirectional` must be True or False; got 'yes'"),
        ({"backend": "fast"}, "be a kernel or one of auto, native, plain, cudnn, scan, reference; got 'fast'"),
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


@pytest.mark.parametrize(
    ("shape", "state", "message"),
    [
        ((6, 2, 4), None, r"`x` must have shape \(T, B, 3\) or \(T, 3\); got \(6, 2, 4\)"),
        ((3,), None, r"`x` must have shape \(T, B, 3\) or \(T, 3\); got \(3,\)"),
        ((6, 2, 2, 3), None, r"`x` must have shape \(T, B, 3\) or \(T, 3\); got \(6, 2, 2, 3\)"),
        ((0, 2, 3), None, r"`x` must have at least one time step; got shape \(0, 2, 3\)"),
        ((6, 2, 3), (2, 5), r"`state.h` must have shape \(2, 2, 5\); got \(2, 5\)"),
        ((6, 3), (2, 2, 5), r"`state.h` must have shape \(2, 5\); got \(2, 2, 5\)"),
        ((6, 2, 3), (2, 3, 5), r"`state.h` must have shape \(2, 2, 5\); got \(2, 3, 5\)"),
    ],
)
def test_wrong_shapes(shape: tuple[int, ...], state: tuple[int, ...] | None, message: str) -> None:
    with pytest.raises(jl.InputError, match=message):
        make_lstm()(jnp.zeros(shape), None if state is None else (jnp.zeros(state), jnp.zeros(state)))


WRONG_CALLS: dict[str, tuple[Callable[[], dict[str, Any]], str]] = {
    "x of integers": (
        lambda: {"x": np.ones((6, 2, 3), int)},
        "`x` must be an array of floating-point numbers; got int32",
    ),
    "no pair": (lambda: {"state": jnp.zeros((2, 2, 5))}, r"`state` must be an LSTMState or a pair \(h, c\)"),
    "c of integers": (
        lambda: {"state": (jnp.zeros((2, 2, 5)), jnp.zeros((2, 2, 5), int))},
        "`state.c` must be an array of floating-point numbers; got int32",
    ),
    "text for x": (lambda: {"x": "text"}, "`x` must be an array; got str"),
    "a state of nothing": (lambda: {"state": (None, None)}, "`state.h` must be an array; got NoneType"),
    "lengths beyond int32": (
        lambda: {"lengths": [2**32 + 2, 1]},
        "`lengths` must lie between 0 and T, 6; got 4294967298",
    ),
    "lengths too long": (lambda: {"lengths": [7, 1]}, "`lengths` must lie between 0 and T, 6; got 7"),
    "lengths below 0": (lambda: {"lengths": [6, -1]}, "`lengths` must lie between 0 and T, 6; got -1"),
    "lengths of floats": (lambda: {"lengths": [6.0, 1.0]}, "`lengths` must be an array of integers; got float64"),
    "lengths of bools": (lambda: {"lengths": [True, True]}, "`lengths` must be an array of integers; got bool"),
    "too many lengths": (lambda: {"lengths": [1, 2, 3]}, r"`lengths` must have shape \(2,\); got \(3,\)"),
    "mask time first": (lambda: {"mask": np.ones((6, 2), bool)}, r"`mask` must have shape \(2, 6\); got \(6, 2\)"),
    "mask of integers": (lambda: {"mask": np.ones((2, 6), int)}, "`mask` must be an array of bools; got int32"),
    "resets of integers": (lambda: {"resets": np.ones((2, 6), int)}, "`resets` must be an array of bools; got int32"),
}


@pytest.mark.parametrize("case", WRONG_CALLS)
def test_wrong_calls(case: str) -> None:
    call, message = WRONG_CALLS[case]
    arguments: dict[str, Any] = {"x": XS, **call()}
    with pytest.raises(jl.InputError, match=message):
        make_lstm()(**arguments)


def test_a_wider_state_is_refused(x64: None) -> None:
    wide = (jnp.zeros((2, 2, 5), "float64"), jnp.zeros((2, 2, 5), "float64"))
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
    lstm = make_lstm()
    choice = jl.explain_backend(lstm, jax.ShapeDtypeStruct((6, 2, 3), jnp.float32))
    assert choice.backend in str(choice)
    variant = jl.LSTM(3, 5, variant=jl.Variant(peepholes=True), rngs=nnx.Rngs(0))
    assert jl.explain_backend(variant, XS).backend == "variant"
    named = jl.LSTM(3, 5, backend="reference", rngs=nnx.Rngs(0))
    assert str(jl.explain_backend(named, XS)) == "reference: named by `backend`"


def test_a_backend_by_name_that_cannot_serve(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(jl.InputError, match=r"`backend` 'native' cannot serve this call: .* not in float16"):
        make_lstm(backend="native", dtype="float16")(XS)
    monkeypatch.setenv("JAX_LSTM_BACKEND", "fast")
    with pytest.raises(
        jl.InputError,
        match="`JAX_LSTM_BACKEND` must be auto or one of native, plain, cudnn, scan, reference; got 'fast'",
    ):
        make_lstm()(XS)
    monkeypatch.setenv("JAX_LSTM_BACKEND", "")
    make_lstm()(XS)
    monkeypatch.setenv("JAX_LSTM_BACKEND", "native")
    assert jl.explain_backend(make_lstm(), XS).reason == "named by `JAX_LSTM_BACKEND`"
    with pytest.raises(jl.InputError, match="`JAX_LSTM_BACKEND` 'native' cannot serve this call"):
        make_lstm(dtype="float16")(XS)


def test_options_of_a_kernel() -> None:
    x = np.random.default_rng(0).standard_normal((7, 2, 3)).astype(np.float32)
    kernels = (jl.kernels.Scan(), jl.kernels.named("scan", unroll=3))
    one, three = (jl.LSTM(3, 5, 2, backend=kernel, rngs=nnx.Rngs(0)) for kernel in kernels)
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
    with pytest.raises(jl.InputError, match=r"`backend` must be a kernel or .* \(an object: Scan\(\)\)"):
        make_lstm(backend=jl.kernels.Scan)
    with pytest.raises(TypeError, match="LSTM got an unexpected keyword argument 'units'"):
        make_lstm(units=3)


def test_state_of_a_module_as_parameters() -> None:
    """`functional.lstm` takes `nnx.state(lstm)`, with or without the state of dropout, and differentiates in it."""
    lstm = jl.LSTM(3, 5, 2, dropout=0.5, rngs=nnx.Rngs(0))
    expected, _ = jl.functional.lstm(lstm.params, XS)
    for state in (nnx.state(lstm), nnx.state(lstm, nnx.Param)):
        np.testing.assert_array_equal(jl.functional.lstm(state, XS)[0], expected)
    gradient = jax.grad(lambda state: jl.functional.lstm(state, XS)[0].sum())(nnx.state(lstm, nnx.Param))
    np.testing.assert_array_equal(jl.functional.lstm(nnx.as_pure(nnx.state(lstm, nnx.Param)), XS)[0], expected)
    with pytest.raises(jl.InputError, match="be a JAX or NumPy array; got State"):
        jl.functional.lstm(nnx.state(jl.LSTMModel(3, 5, 2, rngs=nnx.Rngs(0))), XS)
    by_name = jax.grad(lambda params: jl.functional.lstm(params, XS)[0].sum())(lstm.params)
    for name, expected in by_name.items():
        np.testing.assert_array_equal(gradient[name][...], expected)


def test_the_public_face() -> None:
    assert dir(jl) == sorted(jl.__all__)
    assert not hasattr(jl, "lstm")
    assert dir(jl.kernels) == sorted(jl.kernels.__all__)
    abstract = nnx.eval_shape(lambda: jl.LSTM(3, 5, rngs=nnx.Rngs(0)))
    assert jl.explain_backend(abstract, XS, platform="tpu").backend == "plain"
    cell = jl.LSTMCell(3, 5, rngs=nnx.Rngs(0))
    assert jl.explain_backend(cell, XS[0]).backend == "step"
    with pytest.raises(
        jl.InputError, match=r"`module` must be an LSTM or an LSTMCell; got LSTMModel \(give the LSTM in"
    ):
        jl.explain_backend(jl.LSTMModel(3, 5, 2, rngs=nnx.Rngs(0)), XS)  # type: ignore[arg-type]
