"""`LSTM` under JAX's transformations, checks and export, and inside Flax's."""

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax import export

import jax_lstm as jl

RNG = np.random.default_rng(0)
XS = jnp.asarray(RNG.standard_normal((4, 2, 3)), jnp.float32)
PARAMS = {name: jnp.asarray(value) for name, value in jl.state_dict(jl.LSTM(3, 5, rngs=nnx.Rngs(0))).items()}
ENSEMBLE = {name: jnp.asarray(RNG.uniform(-1, 1, (3, *value.shape)), jnp.float32) for name, value in PARAMS.items()}


def outputs(params: Any, xs: jax.Array, **options: Any) -> jax.Array:
    return jl.functional.lstm(params, xs, **options)[0]


def gradient(params: Any, xs: jax.Array) -> Any:
    return jax.grad(lambda params, xs: jnp.square(outputs(params, xs)).sum(), argnums=(0, 1))(params, xs)


@pytest.mark.parametrize("function", [outputs, gradient])
@pytest.mark.parametrize("over", ["data", "parameters", "both"])
def test_vmap_is_a_loop(over: str, function: Callable[..., Any]) -> None:
    many = jnp.asarray(RNG.standard_normal((3, 4, 2, 3)), jnp.float32)
    params, p_axis = (PARAMS, None) if over == "data" else (ENSEMBLE, 0)
    xs, x_axis = (XS, None) if over == "parameters" else (many, 0)
    got = jax.jit(jax.vmap(function, in_axes=(p_axis, x_axis)))(params, xs)
    for at in range(3):
        one = jax.tree.map(lambda a: a[at], params) if p_axis == 0 else params  # noqa: B023
        expected = function(one, xs[at] if x_axis == 0 else xs)
        for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
            np.testing.assert_allclose(a[at], b, rtol=2e-5, atol=2e-6)


def test_vmap_over_masks() -> None:
    masks = jnp.asarray(RNG.random((3, 2, 4)) < 0.6)
    got = jax.jit(jax.vmap(lambda mask: outputs(PARAMS, XS, mask=mask)))(masks)
    for ys, mask in zip(got, masks, strict=True):
        np.testing.assert_allclose(ys, outputs(PARAMS, XS, mask=mask), rtol=2e-5, atol=2e-6)


def every_derivative(backend: Any, xs: jax.Array) -> list[jax.Array]:
    """Forward mode, and both orders of the second derivative."""
    params = {name: value.astype("float64") for name, value in PARAMS.items()}

    def scalar(xs: jax.Array) -> jax.Array:
        return jnp.square(outputs(params, xs, backend=backend)).sum()

    return [derivative(scalar)(xs) for derivative in (jax.jacfwd, jax.hessian, lambda f: jax.jacrev(jax.jacrev(f)))]


def assert_derivatives_are_those_of_the_reference(backends: list[Any]) -> None:
    xs = jnp.asarray(XS[:3, :1], "float64")
    expected, *found = jax.jit(lambda xs: [every_derivative(backend, xs) for backend in ("reference", *backends)])(xs)
    for derivatives in found:
        for a, b in zip(derivatives, expected, strict=True):
            assert np.abs(b).max() > 0
            np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


def test_every_derivative_is_that_of_the_reference(x64: None) -> None:
    assert_derivatives_are_those_of_the_reference(["auto", "scan"])


@pytest.mark.slow
def test_every_derivative_with_remat_is_that_of_the_reference(x64: None) -> None:
    assert_derivatives_are_those_of_the_reference([jl.kernels.Scan(remat=kept) for kept in ("gates", "chunks")])


def test_a_compiled_step_compiles_once() -> None:
    traced = 0

    @jax.jit
    def step(params: Any, xs: jax.Array) -> Any:
        nonlocal traced
        traced += 1
        return gradient(params, xs)

    for at in range(3):
        step(PARAMS, XS + at)
    assert traced == 1


def test_calls_outside_jit_compile_once() -> None:
    lstm = jl.LSTM(3, 5, backend="scan", rngs=nnx.Rngs(0))
    lstm(XS)
    cache_size: Any = jl.kernels.Kernel.run.__getattribute__("_cache_size")
    compiled = cache_size()
    lstm(XS + 1)
    assert cache_size() == compiled > 0


def test_inside_nnx_transformations() -> None:
    lstm = jl.LSTM(3, 5, 2, dropout=0.5, rngs=nnx.Rngs(0))
    plain = jl.LSTM(3, 5, 2, rngs=nnx.Rngs(0))
    expected = plain(XS)[0]
    np.testing.assert_allclose(nnx.jit(lambda m, x: m(x)[0])(plain, XS), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(nnx.remat(lambda m, x: m(x)[0])(plain, XS), expected, rtol=1e-5, atol=1e-6)
    first, second = (nnx.jit(lambda m, x: m(x)[0])(lstm, XS) for _ in range(2))
    assert not np.array_equal(first, second)  # the state of dropout went on

    def loss(model: jl.LSTM, x: jax.Array) -> jax.Array:
        return jnp.square(model(x)[0]).sum()

    straight = nnx.grad(loss)(plain, XS)
    checkpointed = nnx.grad(lambda m, x: nnx.remat(loss)(m, x))(plain, XS)
    for a, b in zip(jax.tree.leaves(straight), jax.tree.leaves(checkpointed), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_eval_shape() -> None:
    def run(x: jax.Array) -> Any:
        return jl.LSTM(3, 5, 2, bidirectional=True, proj_size=2, rngs=nnx.Rngs(0))(x)

    ys, state = jax.eval_shape(run, XS)
    assert (ys.shape, state.h.shape, state.c.shape) == ((4, 2, 4), (4, 2, 2), (4, 2, 5))


@pytest.mark.slow
@pytest.mark.parametrize("platform", ["cpu", "cuda", "tpu"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_export_with_symbolic_batch_and_time(platform: str, dtype: str) -> None:
    """Forward and backward, for platforms that this machine need not have; on its own, the numbers too."""
    lstm = jl.LSTM(3, 5, bidirectional=True, rngs=nnx.Rngs(0))
    params = jl.state_dict(lstm)

    def loss(params: Any, x: jax.Array, lengths: jax.Array) -> jax.Array:
        return jnp.square(outputs(params, x, lengths=lengths, dtype=dtype).astype(jnp.float32)).sum()

    steps, batch = export.symbolic_shape("t, b")
    x = jax.ShapeDtypeStruct((steps, batch, 3), jnp.float32)
    lengths = jax.ShapeDtypeStruct((batch,), jnp.int32)
    function = jax.jit(jax.value_and_grad(loss))
    shapes = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype), params)
    exported = export.export(function, platforms=[platform])(shapes, x, lengths)
    again = export.deserialize(exported.serialize())
    if platform == jax.default_backend():
        for shape in ((4, 2, 3), (7, 3, 3)):
            xs, ls = RNG.standard_normal(shape).astype(np.float32), np.arange(1, shape[1] + 1, dtype=np.int32)
            got, expected = again.call(params, xs, ls), function(params, xs, ls)
            rtol, atol = (2e-2, 1e-3) if dtype == "bfloat16" else (2e-5, 1e-5)
            for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
                np.testing.assert_allclose(a, b, rtol, atol)


@pytest.mark.slow
@pytest.mark.parametrize("variant", [jl.Variant(layer_norm=True, peepholes=True), jl.Variant(0.2, 0.1, 0.1, 0.3)])
def test_export_of_variants_with_symbolic_batch_and_time(variant: jl.Variant) -> None:
    lstm = jl.LSTM(3, 5, bidirectional=True, variant=variant, rngs=nnx.Rngs(0))
    steps, batch = export.symbolic_shape("t, b")

    def run(params: Any, x: jax.Array, key: jax.Array) -> jax.Array:
        return jl.functional.lstm(params, x, variant=variant, key=key)[0]

    x = jax.ShapeDtypeStruct((steps, batch, 3), jnp.float32)
    exported = export.export(jax.jit(run))(lstm.params, x, jax.random.key(0))
    ys = exported.call(lstm.params, XS, jax.random.key(0))
    np.testing.assert_allclose(ys, run(lstm.params, XS, jax.random.key(0)), rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_inside_flax_rnn_with_lengths() -> None:
    cell = jl.LSTMCell(3, 5, rngs=nnx.Rngs(0))
    lstm = jl.LSTM(3, 5, batch_first=True, rngs=nnx.Rngs(1))
    jl.load_state_dict(lstm, {f"{name}_l0": value for name, value in jl.state_dict(cell).items()})
    x, lengths = XS.swapaxes(0, 1), jnp.asarray([2, 4])
    carry, _ = nnx.RNN(cell, return_carry=True)(x, seq_lengths=lengths)
    _, state = lstm(x, lengths=lengths)
    np.testing.assert_allclose(carry.h, state.h[0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(carry.c, state.c[0], rtol=1e-5, atol=1e-6)


STRICT = """
import jax, jax.numpy as jnp, numpy as np
for name, value in dict(jax_numpy_dtype_promotion="strict", jax_numpy_rank_promotion="raise", jax_debug_nans=True,
                        jax_check_tracer_leaks=True).items():
    jax.config.update(name, value)
from flax import nnx
import jax_lstm as jl
mask, resets = np.array([[1, 0, 1], [1, 1, 0]], bool), np.array([[0, 0, 1], [1, 0, 0]], bool)
x = jnp.ones((3, 2, 3))
for options in OPTIONS:
    model = jl.LSTM(3, 5, bidirectional=True, proj_size=2, **options, rngs=nnx.Rngs(0))
    graph, params, rest = nnx.split(model, nnx.Param, ...)
    @jax.jit
    def step(params, rest, x):
        x = jnp.where(mask.T[..., None], x, jnp.log(-x))  # NaN where masked
        def loss(params):
            model = nnx.merge(graph, params, rest, copy=True)
            ys, state = model(x, resets=resets, mask=mask, lengths=np.array([3, 2]))
            return jnp.square(ys.astype(jnp.float32)).sum() + state.c.sum()
        return jax.value_and_grad(loss)(params)
    loss, grads = step(params, rest, x)
    assert all(np.isfinite(np.asarray(leaf, np.float32)).all() for leaf in jax.tree.leaves((loss, grads)))
    cell = jl.LSTMCell(3, 5, rngs=nnx.Rngs(0))
    cell(None, jnp.ones((2, 3)))
    print("whole")
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        ["dict(num_layers=2, dropout=0.5)", "dict(variant=jl.Variant(0.2, 0.1, 0.1, 0.3, True, True))"],
        ["dict(dtype=jnp.bfloat16, backend=jl.kernels.Scan(remat='gates'))"],
        ["dict(backend='parallel')"],
    ],
)
def test_under_jaxs_strictest_checks(options: list[str]) -> None:
    """No implicit promotion of types or ranks, no NaN, not even from one in masked input, no leaked tracer."""
    program = STRICT.replace("OPTIONS", f"[{', '.join(options)}]")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout == "whole\n" * len(options), done.stderr[-3000:]
