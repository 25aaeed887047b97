"""The `parallel` kernel: what converges, what falls back, and how many iterations it takes."""

import functools
import re
from collections.abc import Callable
from operator import itemgetter
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import oracle
import pytest
from agree import assert_agree
from drawn import drawn
from flax import nnx
from jax import export
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P
from kernels.cases import Arrays, Case, draw, loss, scan, sequence

import jax_lstm as jl
from jax_lstm.checks import InputError
from jax_lstm.kernels import Direction, Iterations, Parallel, iterations
from jax_lstm.kernels.fixed_point import tolerance
from jax_lstm.params import LSTMState
from jax_lstm.tolerances import difference

CHAOS = 40.0  # times the recurrent weights: errors grow from step to step


def problem(dtype: str = "float32", **options: Any) -> Arrays:
    """Random arguments: a few steps, rows and units, but for the `options` of `Case`."""
    return draw(Case(4, 3, 3, 5)._replace(**options), dtype)


def results(kernel: Callable[..., Any], case: Arrays) -> Any:
    """Outputs, last state and all gradients, compiled."""
    run = functools.partial(kernel, **case.options)
    return jax.jit(lambda *of: (run(*of), jax.grad(functools.partial(loss, run), (0, 1, 2))(*of)))(*case[:3])


def chaotic(case: Arrays) -> Arrays:
    return case._replace(params=case.params._replace(weight_hh=CHAOS * case.params.weight_hh))


def assert_near(got: Any, expected: Any, tolerance: float) -> None:
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
        assert difference(np.asarray(a, np.float64), b).relative <= tolerance


@pytest.mark.parametrize("proj_size", [pytest.param(0, marks=pytest.mark.slow), 4])
def test_what_does_not_converge_is_the_oracle(proj_size: int, x64: None) -> None:
    """With one iteration nothing converges: outputs, last state and all gradients come from the loops."""
    case = problem("float64", proj_size=proj_size, mask=True, resets=True, bias=proj_size > 0)
    params = {name: value for name, value in case.params._asdict().items() if value is not None}
    run = functools.partial(sequence(Parallel(max_iterations=1)), **case.options, reverse=True)

    @jax.jit
    def both(*arrays: Any) -> Any:
        found, pullback = jax.vjp(run, *arrays)
        return found, pullback(found)

    found, (d_params, *d_ins) = both(*case[:3])
    *expected, tapes = oracle.layer(params, case.xs, *case.state, **case.options, reverse=True)
    for got, wanted in zip(jax.tree.leaves(found), expected, strict=True):
        assert_agree("outputs", got, wanted, "float64")
    d_wanted, *d_ins_wanted = oracle.layer_backward(params, tapes, *expected)
    for name, wanted in d_wanted.items():
        assert_agree("gradients", getattr(d_params, name), wanted, "float64", name)
    for got, wanted in zip(jax.tree.leaves(d_ins), d_ins_wanted, strict=True):
        assert_agree("gradients", got, wanted, "float64")


TYPES = [("bfloat16", 3e-2), ("float16", 3e-3), ("float32", 2e-5)]


@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [pytest.param(*each, marks=[] if each[0] == "bfloat16" else [pytest.mark.slow]) for each in TYPES],
)
def test_a_tolerance_for_every_type(dtype: str, tolerance: float, x64: None) -> None:
    """Where it, and not the end of the sequence, stops the iterations."""
    sizes, kernel = {"steps": 40, "hidden_size": 16}, Parallel(max_iterations=30)
    assert_near(
        jax.jit(sequence(kernel))(*problem(dtype, **sizes)[:3]), scan(*problem("float64", **sizes)[:3]), tolerance
    )


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "tolerance"), TYPES)
def test_a_tolerance_for_the_gradients_of_every_type(dtype: str, tolerance: float, x64: None) -> None:
    sizes = {"steps": 60, "hidden_size": 16}
    expected = results(scan, problem("float64", **sizes))
    assert_near(results(sequence(Parallel()), problem(dtype, **sizes)), expected, tolerance)


@pytest.mark.parametrize(
    ("platform", "precision", "expected"),
    [("cpu", None, 2**-20), ("cuda", None, 2**-13), ("tpu", None, 2**-10), ("tpu", "highest", 2**-20)],
)
def test_the_tolerance_knows_how_products_are_rounded(platform: str, precision: Any, expected: float) -> None:
    with jax.default_matmul_precision(precision):
        lowered = export.export(jax.jit(lambda: tolerance(None, jnp.dtype("float32"))), platforms=[platform])()
    found = re.findall(r"dense<([\d.E+-]+)> : tensor<f32>", lowered.mlir_module())
    assert {np.float32(value) for value in found} == {np.float32(expected)}


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_chaos_falls_back_on_scan(dtype: str) -> None:
    """Where every rounding error grows, only the same loop gives the same numbers."""
    case = chaotic(problem(dtype, steps=16, hidden_size=16))
    got, expected = (jax.jit(kernel)(*case[:3]) for kernel in (sequence(Parallel(max_iterations=8)), scan))
    assert_near(got, expected, 1e-6)


def growing(steps: int) -> tuple[Arrays, Any]:
    """One unit whose `h`, tiny at first, and gradients grow nearly tenfold a step."""
    case = problem("float64", steps=steps, batch=1, input_size=1, hidden_size=1, bias=False)
    params = case.params._replace(weight_hh=np.array([[0.0], [0.0], [36.0], [0.0]]))
    return case._replace(params=params, xs=np.zeros((steps, 1, 1))), LSTMState(
        jnp.full((1, 1), 1e-25), jnp.zeros((1, 1))
    )


def test_what_is_tiny_at_first_and_grows_is_not_lost(x64: None) -> None:
    """The first change is far below any absolute tolerance, and so are the first gradients on their way back."""
    case, start = growing(16)
    weights = np.zeros((16, 1, 1))
    weights[0], weights[-1] = 1.0, 1e-16  # a gradient relative to the largest would stop with the first

    def loss(kernel: Callable[..., Any], state: LSTMState) -> Any:
        ys, last = kernel(case.params, case.xs, state)
        return (weights * ys).sum(), (ys, last)

    got, expected = (
        jax.jit(jax.grad(functools.partial(loss, kernel), has_aux=True))(start)
        for kernel in (sequence(Parallel()), scan)
    )
    assert abs(expected[1][0][-1]).max() > 1e12 * 1e-25
    assert_near(got, expected, 1e-11)


def test_vmap_decides_once_for_all_members() -> None:
    """One member that does not converge takes all of them to the loop; only one side is run."""
    case = problem(steps=6, hidden_size=4)
    members = jax.tree.map(lambda *leaves: np.stack(leaves), case[:3], chaotic(case)[:3])
    function = sequence(Parallel(max_iterations=4))
    many = jax.vmap(function)
    got = jax.jit(many)(*members)
    for at in range(2):
        member = jax.tree.map(itemgetter(at), members)
        assert_near(jax.tree.map(itemgetter(at), got), jax.jit(scan)(*member), 1e-6)
    one, all_of_them = (str(jax.make_jaxpr(f)(*a)).count(" cond[") for f, a in ((function, case[:3]), (many, members)))
    assert one == all_of_them > 0  # a batched condition would have become a select of both sides


@pytest.mark.slow
def test_vmap_of_gradients() -> None:
    case = problem(steps=30, hidden_size=8)
    members = jax.tree.map(lambda *leaves: np.stack(leaves), case[:3], chaotic(case)[:3])

    def gradients(kernel: Callable[..., Any]) -> Any:
        return jax.jit(jax.vmap(jax.grad(lambda *arrays: loss(kernel, *arrays), (0, 1, 2))))(*members)

    assert_near(gradients(sequence(Parallel(max_iterations=20))), gradients(scan), 1e-5)


@pytest.mark.slow
def test_a_nan_ends_the_iterations_and_goes_where_scan_takes_it() -> None:
    case = problem(steps=6, hidden_size=4, resets=True)
    case.xs[2, 1, 0] = np.nan
    got, expected = (jax.jit(functools.partial(k, **case.options))(*case[:3]) for k in (sequence(Parallel()), scan))
    assert np.isnan(expected[0]).any()
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), got, expected)


@pytest.mark.slow
def test_the_gradients_of_a_nan_are_those_of_scan() -> None:
    case = problem(steps=6, hidden_size=4, resets=True, mask=True)
    case.xs[2, 1, 0] = np.nan
    got, expected = results(sequence(Parallel()), case), results(scan, case)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), got, expected)


@pytest.mark.slow
@pytest.mark.parametrize("max_iterations", [100, 1])
def test_forward_mode_and_second_derivatives(max_iterations: int, x64: None) -> None:
    case = problem("float64", steps=2, batch=1, input_size=2, hidden_size=2)

    def derivatives(kernel: Callable[..., Any]) -> Any:
        def scalar(xs: Any) -> jax.Array:
            return loss(kernel, case.params, xs, case.state)

        return jax.jvp(jax.grad(scalar), (case.xs,), (np.ones_like(case.xs),))

    got, expected = jax.jit(
        lambda: [derivatives(k) for k in (sequence(Parallel(max_iterations=max_iterations)), scan)]
    )()
    assert_near(got, expected, 1e-12)


@pytest.mark.slow
def test_under_shard_map() -> None:
    case = problem(steps=6, batch=2, hidden_size=4, mask=True, resets=True)
    mesh = Mesh(np.array(jax.devices()[:1]), ("data",))
    rows = P(None, "data")

    def gradients(kernel: Any) -> Any:
        def run(params: Any, xs: Any, state: Any, mask: Any, resets: Any) -> Any:
            def scalar(params: Any, xs: Any) -> Any:
                stack = jl.kernels.Stack(xs, ((Direction(params, state),),), (None,), None, mask, resets)
                return kernel.run(stack)[0].sum()

            return jax.grad(scalar, (0, 1))(params, xs)

        specs = (P(), rows, P("data"), rows, rows)
        return jax.jit(jax.shard_map(run, mesh=mesh, in_specs=specs, out_specs=(P(), rows)))(
            *case[:3], case.options["mask"], case.options["resets"]
        )

    assert_near(gradients(Parallel()), gradients(jl.kernels.Scan()), 1e-5)


def test_refusals() -> None:
    lstm: Any = drawn(lambda: jl.LSTM(3, 5, backend="parallel", rngs=nnx.Rngs(0)))
    steps, batch = export.symbolic_shape("t, b")
    for shape, fits in (((4, batch, 3), True), ((steps, 2, 3), False)):
        x = jax.ShapeDtypeStruct(shape, jnp.float32)
        if fits:
            export.export(jax.jit(lambda x: lstm(x)[0]))(x)
        else:
            with pytest.raises(InputError, match=r"`backend` 'parallel' .*fixed number of steps; T is symbolic"):
                export.export(jax.jit(lambda x: lstm(x)[0]))(x)
    wrong: Any
    for wrong, message in (({"tol": 0.0}, "`tol` must be a positive"), ({"max_iterations": 0}, "`max_iterations`")):
        with pytest.raises(InputError, match=message):
            Parallel(**wrong)


def test_iterations_count_what_is_remembered() -> None:
    """Without recurrent weights the second iteration finds no change; chaos needs as many as steps, and one."""
    x = np.random.default_rng(0).standard_normal((2, 6, 3)).astype(np.float32)
    lstm: Any = drawn(lambda: jl.LSTM(3, 5, batch_first=True, rngs=nnx.Rngs(0)))
    weight = lstm.weight_hh_l0[...]
    lstm.weight_hh_l0[...] = 0 * weight
    assert iterations(lstm, x) == ((Iterations(2, 1),),)
    lstm.weight_hh_l0[...] = 200 * weight
    ((chaos,),) = iterations(lstm, x)
    assert chaos.forward == 7
    assert lstm.backend == "auto"
    for wrong, message in (
        (nnx.Linear(1, 1, rngs=nnx.Rngs(0)), "give the LSTM in it"),
        (3, "must be an LSTM; got int"),
    ):
        with pytest.raises(InputError, match=message):
            iterations(wrong, x)


@pytest.mark.slow
def test_iterations_of_many_layers() -> None:
    x = np.random.default_rng(0).standard_normal((60, 2, 3)).astype(np.float32)
    lstm: Any = drawn(lambda: jl.LSTM(3, 5, 2, bidirectional=True, rngs=nnx.Rngs(0)))
    found = iterations(lstm, x, lengths=[60, 50])
    assert [len(layer) for layer in found] == [2, 2]
    for made in jax.tree.leaves(found):
        assert 2 < made < 30
    rough = iterations(lstm, x, lengths=[60, 50], tol=1e-3)
    assert all(a < b for a, b in zip(jax.tree.leaves(rough), jax.tree.leaves(found), strict=True))
    none = iterations(lstm, x, max_iterations=1)
    assert none == ((Iterations(None, None),) * 2,) * 2
