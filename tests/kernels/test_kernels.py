"""Every kernel against the float64 NumPy oracle: outputs, last state and all gradients."""

import functools
import itertools
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import oracle
import pytest
from agree import assert_agree
from problems import sequence

from jax_lstm.kernels import KERNELS, Call, Kernel, Scan
from jax_lstm.params import LSTMParams, LSTMState


class Case(NamedTuple):
    """T, B, I, H, and options: odd sizes and single ones, rows enough for each way to project the inputs."""

    steps: int
    batch: int
    input_size: int
    hidden_size: int
    bias: bool = True
    proj_size: int = 0
    reverse: bool = False
    mask: bool = False
    resets: bool = False


CASES = {
    "plain": Case(5, 3, 4, 7),
    "without bias": Case(5, 3, 4, 7, bias=False),
    "one of each": Case(1, 1, 1, 1),
    "one row": Case(9, 1, 3, 5),
    "one step of a wide input": Case(1, 2, 256, 4),
    "many rows": Case(3, 20, 4, 7),
    "many rows, wide": Case(3, 20, 260, 5, bias=False),
    "many rows, large": Case(2, 18, 512, 512),
    "projection": Case(5, 3, 4, 7, proj_size=2),
    "reverse": Case(5, 3, 4, 7, reverse=True),
    "mask": Case(6, 4, 3, 5, mask=True),
    "resets": Case(6, 4, 3, 5, resets=True),
    "all": Case(11, 18, 3, 5, proj_size=4, reverse=True, mask=True, resets=True),
    "all but projection": Case(11, 4, 3, 5, mask=True, resets=True, reverse=True),
}
RUN: dict[str, Kernel] = {name: kernel for name, kernel in KERNELS.items() if name != "cudnn"}
OPTIONS = {"scan, gates": Scan(remat="gates"), "scan, chunks": Scan(remat="chunks"), "scan, unrolled": Scan(unroll=3)}
ALL = RUN | OPTIONS
FEW = ("plain", "all")  # on which all but `native` are tried in the plain run


class Arrays(NamedTuple):
    """What goes into a kernel, in float64, and the cotangents of what comes out."""

    params: oracle.Arrays
    xs: np.ndarray
    h: np.ndarray
    c: np.ndarray
    d_ys: np.ndarray
    d_h: np.ndarray
    d_c: np.ndarray
    options: dict[str, Any]


def draw(case: Case) -> Arrays:
    rng = np.random.default_rng(0)
    rows, output = (case.steps, case.batch), case.proj_size or case.hidden_size
    params = oracle.random_params(rng, case.input_size, case.hidden_size, case.bias, case.proj_size)
    xs, d_ys = rng.standard_normal((*rows, case.input_size)), rng.standard_normal((*rows, output))
    h, d_h = rng.standard_normal((2, case.batch, output))
    c, d_c = rng.standard_normal((2, case.batch, case.hidden_size))
    options: dict[str, Any] = {"reverse": case.reverse}
    if case.mask:
        options["mask"] = rng.random(rows) < 0.7
        xs[~options["mask"]] = np.nan  # what is masked may hold anything
    if case.resets:
        options["resets"] = rng.random(rows) < 0.3
    return Arrays(params, xs, h, c, d_ys, d_h, d_c, options)


def grid() -> Iterator[Any]:
    """Every kernel on every case, in both types; slow are all but `native` and, in float64, a few cases."""
    for name, dtype in itertools.product(ALL, ("float32", "float64")):
        for case in CASES:
            few = case in FEW and name not in ("reference", "scan, unrolled", "scan, gates")
            slow = [] if name == "native" or (few and dtype == "float64") else [pytest.mark.slow]
            if dtype == "float64" or CASES[case].input_size < 512:  # float32's tolerance is below such sums
                yield pytest.param(case, name, dtype, marks=slow)


@pytest.mark.parametrize(("case", "name", "dtype"), list(grid()))
def test_is_the_oracle(case: str, name: str, dtype: str) -> None:
    if refusal := ALL[name].refuses(Call("cpu", dtype, *CASES[case][:4])):
        pytest.skip(refusal)
    arrays = draw(CASES[case])
    ys, h_last, c_last, tapes = oracle.layer(arrays.params, arrays.xs, arrays.h, arrays.c, **arrays.options)
    d_params, *d_ins = oracle.layer_backward(arrays.params, tapes, arrays.d_ys, arrays.d_h, arrays.d_c)
    few = case in FEW and name != "native"
    outputs, (g_params, *g_ins) = computed(name, dtype, few)[case]
    for got, expected in zip(jax.tree.leaves(outputs), (ys, h_last, c_last), strict=True):
        assert_agree("outputs", got, expected, dtype)
    for key, expected in d_params.items():
        assert_agree("gradients", getattr(g_params, key), expected, dtype, key)
    for got, expected in zip(jax.tree.leaves(g_ins), d_ins, strict=True):
        assert_agree("gradients", got, expected, dtype)


@functools.cache
def computed(name: str, dtype: str, few: bool) -> dict[str, Any]:
    """Outputs and gradients of many cases of a kernel, in one program, which compiles faster than one for each."""
    chosen = {
        case: draw(CASES[case])
        for case in (FEW if few else CASES)
        if dtype == "float64" or CASES[case].input_size < 512
    }

    def call(arrays: Arrays) -> Any:
        params = LSTMParams(**{key: jnp.asarray(value, dtype) for key, value in arrays.params.items()})
        xs, h, c, d_ys, d_h, d_c = (jnp.asarray(part, dtype) for part in arrays[1:7])
        run = functools.partial(sequence(ALL[name]), **arrays.options)
        outputs, pullback = jax.vjp(run, params, xs, LSTMState(h, c))
        return outputs, pullback((d_ys, LSTMState(d_h, d_c)))

    with jax.enable_x64(dtype == "float64"):
        statics = {case: arrays.options.pop("reverse") for case, arrays in chosen.items()}

        @jax.jit
        def every(chosen: dict[str, Arrays]) -> Any:
            return {
                case: call(arrays._replace(options=arrays.options | {"reverse": statics[case]}))
                for case, arrays in chosen.items()
            }

        return every(chosen)


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


@pytest.mark.parametrize(
    "name",
    ["native", "scan", *(pytest.param(name, marks=pytest.mark.slow) for name in ALL if name not in ("native", "scan"))],
)
def test_a_nan_that_is_held_reaches_no_gradient(name: str) -> None:
    """In the state of a row whose every step is masked; what its own state is given goes through."""
    arrays = draw(Case(5, 3, 4, 7))
    mask = np.ones((5, 3), bool)
    mask[:, 1] = False
    h, c = (jnp.asarray(state, jnp.float32).at[1].set(jnp.nan) for state in (arrays.h, arrays.c))

    @jax.jit
    def gradients(params: LSTMParams, xs: jax.Array, c: jax.Array) -> Any:
        def loss(params: LSTMParams, xs: jax.Array, c: jax.Array) -> jax.Array:
            ys, state = sequence(ALL[name])(params, xs, LSTMState(h, c), mask=jnp.asarray(mask))
            return ys.sum() + jnp.where(jnp.isnan(state.c), 0, state.c).sum()

        return jax.grad(loss, argnums=(0, 1, 2))(params, xs, c)

    params = LSTMParams(**{key: jnp.asarray(value, jnp.float32) for key, value in arrays.params.items()})
    for gradient in jax.tree.leaves(gradients(params, jnp.asarray(arrays.xs, jnp.float32), c)):
        assert np.isfinite(gradient).all()


@pytest.mark.parametrize("name", RUN)
def test_no_rows(name: str) -> None:
    params = LSTMParams(jnp.ones((8, 3)), jnp.ones((8, 2)))

    def loss(params: LSTMParams) -> jax.Array:
        ys, state = sequence(ALL[name])(params, jnp.ones((4, 0, 3)), LSTMState.zeros((0, 2)))
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
    arrays = draw(Case(6, 3, 2, 4, proj_size=3, mask=True, resets=True, reverse=True))
    names = list(arrays.params)

    def scalar(xs: np.ndarray, h: np.ndarray, c: np.ndarray, *params: np.ndarray) -> float:
        named = dict(zip(names, params, strict=True))
        ys, h_last, c_last, _ = oracle.layer(named, xs, h, c, **arrays.options)
        return float((ys * arrays.d_ys).sum() + (h_last * arrays.d_h).sum() + (c_last * arrays.d_c).sum())

    ins = [np.nan_to_num(arrays.xs), arrays.h, arrays.c, *arrays.params.values()]
    *_, tapes = oracle.layer(arrays.params, *ins[:3], **arrays.options)
    d_params, *d_ins = oracle.layer_backward(arrays.params, tapes, arrays.d_ys, arrays.d_h, arrays.d_c)
    for at, gradient in enumerate([*d_ins, *d_params.values()]):
        direction = np.random.default_rng(at).standard_normal(gradient.shape)
        expected = oracle.slope(scalar, ins, at, direction)
        assert (gradient * direction).sum() == pytest.approx(expected, rel=1e-6, abs=1e-8), at
