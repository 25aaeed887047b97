"""`LSTM` inside Flax's transformations, exported, and under JAX's checks; tests/kernels transforms the kernels."""

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


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_export_with_symbolic_batch_and_time(dtype: str) -> None:
    """Forward and backward, for three platforms; on the CPU, the numbers too."""
    lstm = jl.LSTM(3, 5, bidirectional=True, rngs=nnx.Rngs(0))
    params = jl.state_dict(lstm)

    def loss(params: Any, x: jax.Array, lengths: jax.Array) -> jax.Array:
        return jnp.square(jl.functional.lstm(params, x, lengths=lengths, dtype=dtype)[0].astype(jnp.float32)).sum()

    steps, batch = export.symbolic_shape("t, b")
    x = jax.ShapeDtypeStruct((steps, batch, 3), jnp.float32)
    lengths = jax.ShapeDtypeStruct((batch,), jnp.int32)
    function = jax.jit(jax.value_and_grad(loss))
    shapes = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype), params)
    exported = export.export(function, platforms=["cpu", "cuda", "tpu"])(shapes, x, lengths)
    again = export.deserialize(exported.serialize())
    rtol, atol = (2e-2, 1e-3) if dtype == "bfloat16" else (2e-5, 1e-5)
    for shape in ((4, 2, 3), (7, 3, 3)):
        xs, ls = RNG.standard_normal(shape).astype(np.float32), np.arange(1, shape[1] + 1, dtype=np.int32)
        got, expected = again.call(params, xs, ls), function(params, xs, ls)
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


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {"num_layers": 2, "dropout": 0.5},
        {"variant": jl.Variant(0.2, 0.1, 0.1, 0.3, True, True)},
        {"dtype": "bfloat16", "backend": jl.kernels.Scan(remat="gates")},
        {"backend": "parallel"},
    ],
)
def test_under_jaxs_strictest_checks(options: dict[str, Any]) -> None:
    """No implicit promotion of types or ranks, no NaN, not even from one in masked input, no leaked tracer."""
    mask, resets = np.array([[1, 0, 1], [1, 1, 0]], bool), np.array([[0, 0, 1], [1, 0, 0]], bool)
    lstm = jl.LSTM(3, 5, bidirectional=True, proj_size=2, **options, rngs=nnx.Rngs(0))
    graph, params, rest = nnx.split(lstm, nnx.Param, ...)

    @jax.jit
    def step(params: Any, rest: Any, x: jax.Array) -> Any:
        x = jnp.where(mask.T[..., None], x, jnp.log(-x))  # NaN where masked

        def loss(params: Any) -> jax.Array:
            lstm = nnx.merge(graph, params, rest, copy=True)
            ys, state = lstm(x, resets=resets, mask=mask, lengths=np.array([3, 2]))
            return jnp.square(ys.astype(jnp.float32)).sum() + state.c.sum()

        return jax.value_and_grad(loss)(params)

    with (
        jax.numpy_dtype_promotion("strict"),
        jax.numpy_rank_promotion("raise"),
        jax.checking_leaks(),
        jax.debug_nans(True),
    ):
        found = step(params, rest, jnp.ones((3, 2, 3)))
    assert all(np.isfinite(np.asarray(leaf, np.float32)).all() for leaf in jax.tree.leaves(found))
