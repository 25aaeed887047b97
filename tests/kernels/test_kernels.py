"""Every kernel against the float64 NumPy oracle: outputs, last state and all gradients."""

import doctest
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import oracle
import pytest
from flax import nnx
from kernels.cases import ALL, CASES, OPTIONS, RUN, Case, assert_is_the_oracle, by_oracle, draw, run_cases, sequence

import jax_lstm as jl
from jax_lstm.kernels import Call, Kernel, Reference
from jax_lstm.params import LSTMParams, LSTMState

# What an option does to a program does not depend on the type; of `parallel` test_parallel.py has the other types.
FLOAT64_ONLY = {*OPTIONS, "parallel"}
QUICK = {(name, "all", "float64") for name in ("plain", "scan")}


def slow_unless(quick: bool, *values: Any) -> Any:
    return pytest.param(*values, marks=[] if quick else [pytest.mark.slow])


@pytest.mark.parametrize(
    ("name", "case", "dtype"),
    [
        slow_unless(name == "native" or (name, case, dtype) in QUICK, name, case, dtype)
        for name in ALL
        for dtype in (*["float32"] * (name not in FLOAT64_ONLY), "float64", *["bfloat16"] * (name == "native"))
        for case in CASES
    ],
)
def test_is_the_oracle(name: str, case: str, dtype: str) -> None:
    if refusal := ALL[name].refuses(Call("cpu", dtype, *CASES[case][:5])):
        pytest.skip(refusal)
    quick = (name, case, dtype) in QUICK
    found = run_once(name, (case,) if quick else tuple(CASES), dtype)
    assert_is_the_oracle(found[CASES[case]], CASES[case], dtype)


@functools.cache
def run_once(name: str, cases: tuple[str, ...], dtype: str) -> dict[Case, Any]:
    return run_cases(ALL[name], [CASES[case] for case in cases], dtype)


@pytest.mark.parametrize("name", RUN)
def test_masked_steps_put_out_zero_whatever_they_hold(name: str) -> None:
    params = LSTMParams(jnp.ones((8, 3)), jnp.ones((8, 2)))
    mask = jnp.asarray([[True, False], [False, False], [True, False]])
    xs = jnp.where(mask[..., None], 1.0, jnp.nan) * jnp.ones((3, 2, 3))
    start = LSTMState(jnp.full((2, 2), 0.3), jnp.full((2, 2), -0.2))
    ys, state = sequence(ALL[name])(params, xs, start, mask=mask)
    assert (np.asarray(ys)[~np.asarray(mask)] == 0).all()
    np.testing.assert_array_equal(state.h[1], start.h[1])
    np.testing.assert_array_equal(state.c[1], start.c[1])


@pytest.mark.parametrize("name", [slow_unless(name in ("native", "scan"), name) for name in ALL])
def test_a_nan_that_is_held_reaches_no_gradient(name: str) -> None:
    """In the state of a row whose every step is masked; what its own state is given goes through."""
    params, xs, (h, c), *_ = draw(Case(5, 3, 4, 7), "float32")
    mask = np.ones((5, 3), bool)
    mask[:, 1] = False
    h[1] = c[1] = np.nan

    @functools.partial(jax.grad, argnums=(0, 1, 2))
    def gradients(params: LSTMParams, xs: Any, c: Any) -> jax.Array:
        ys, state = sequence(ALL[name])(params, xs, LSTMState(jnp.asarray(h), c), mask=jnp.asarray(mask))
        return ys.sum() + jnp.where(jnp.isnan(state.c), 0, state.c).sum()

    for gradient in jax.tree.leaves(jax.jit(gradients)(params, xs, c)):
        assert np.isfinite(gradient).all()


@pytest.mark.parametrize("name", RUN)
def test_no_rows(name: str) -> None:
    params, nothing = LSTMParams(jnp.ones((8, 3)), jnp.ones((8, 2))), jnp.ones((4, 0), bool)

    def loss(params: LSTMParams) -> jax.Array:
        zeros = LSTMState.zeros((0, 2))
        ys, state = sequence(ALL[name])(params, jnp.ones((4, 0, 3)), zeros, mask=nothing, resets=nothing)
        assert ys.shape == (4, 0, 2)
        assert state.h.shape == state.c.shape == (0, 2)
        return ys.sum()

    for gradient in jax.grad(loss)(params)[:2]:
        np.testing.assert_array_equal(gradient, np.zeros_like(gradient))


@pytest.mark.parametrize("name", RUN)
def test_infinity_and_nan_go_through(name: str) -> None:
    params = LSTMParams(jnp.ones((4, 1)), jnp.zeros((4, 1)))
    xs = jnp.asarray([[[jnp.inf], [-jnp.inf], [jnp.nan]]])
    _, state = sequence(ALL[name])(params, xs, LSTMState.zeros((3, 1)))
    np.testing.assert_allclose(state.c[:2, 0], [1, 0], rtol=1e-6, atol=1e-30)  # i g = 1 * 1, and 0 * -1
    np.testing.assert_allclose(state.h[:2, 0], [np.tanh(1), 0], rtol=1e-6, atol=1e-30)
    assert np.isnan(state.h[2, 0])


def test_oracle_backward_is_the_slope_of_its_forward() -> None:
    """The oracle itself, against central differences."""
    case = Case(6, 3, 2, 4, proj_size=3, mask=True, resets=True, reverse=True)
    params, xs, (h, c), d_ys, (d_h, d_c), options = draw(case)
    given = {"xs": np.nan_to_num(xs), "h": h, "c": c} | params._asdict()

    def scalar(xs: np.ndarray, h: np.ndarray, c: np.ndarray, *params: np.ndarray) -> float:
        named = dict(zip(LSTMParams._fields, params, strict=True))
        ys, h_last, c_last, _ = oracle.layer(named, xs, h, c, reverse=True, **options)
        return float((ys * d_ys).sum() + (h_last * d_h).sum() + (c_last * d_c).sum())

    _, gradients = by_oracle(case)
    for at, name in enumerate(given):
        direction = np.random.default_rng(at).standard_normal(gradients[name].shape)
        expected = oracle.slope(scalar, list(given.values()), at, direction)
        assert (gradients[name] * direction).sum() == pytest.approx(expected, rel=1e-6, abs=1e-8), name


@pytest.mark.slow
def test_the_kernel_in_the_docstring_is_the_oracle() -> None:
    names: dict[str, Any] = {}
    examples = doctest.DocTestParser().get_examples(Kernel.__doc__ or "")
    exec("".join(each.source for each in examples), names)
    cases = [Case(5, 3, 4, 7), CASES["all"], CASES["all but projection"]]
    found = run_cases(names["Mine"](), cases, "float64")
    for case in cases:
        assert_is_the_oracle(found[case], case, "float64")


class Nothing(Kernel):
    pass


class Swapped(Reference):
    def sequence(self, *args: Any, **options: Any) -> Any:
        return super().sequence(*args, **options)[::-1]


class LastOutput(Reference):
    def sequence(self, *args: Any, **options: Any) -> Any:
        ys, state = super().sequence(*args, **options)
        return ys[-1], state


class OneRow(Reference):
    def sequence(self, *args: Any, **options: Any) -> Any:
        ys, state = super().sequence(*args, **options)
        return ys, LSTMState(state.h, state.c[:1])


@pytest.mark.parametrize(
    ("kernel", "got"),
    [
        (Swapped(), "(LSTMState(h=(2, 5), c=(2, 5)), (6, 2, 5))"),
        (LastOutput(), "((2, 5), LSTMState(h=(2, 5), c=(2, 5)))"),
        (OneRow(), "((6, 2, 5), LSTMState(h=(2, 5), c=(1, 5)))"),
    ],
)
def test_a_kernel_of_wrong_shapes(kernel: Kernel, got: str) -> None:
    with pytest.raises(jl.InputError) as raised:
        jl.LSTM(3, 5, backend=kernel, rngs=nnx.Rngs(0))(jnp.zeros((6, 2, 3)))
    wanted = "((6, 2, 5), LSTMState(h=(2, 5), c=(2, 5)))"
    assert str(raised.value).startswith(
        f"`{type(kernel).__name__}.sequence` must return arrays of shapes {wanted}; got {got}"
    )


def test_a_kernel_without_a_sequence() -> None:
    with pytest.raises(NotImplementedError, match="Nothing must define `sequence`"):
        jl.LSTM(3, 5, backend=Nothing(), rngs=nnx.Rngs(0))(jnp.zeros((6, 2, 3)))
