"""The native kernel under JAX's transformations. What is transformed gives what plain calls and the reference give."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from problems import Problem, Sizes, gradients, loss, native, problem, reference

from jax_lstm.params import LSTMState
from jax_lstm.tolerances import TOLERANCES, difference

CASE = problem(Sizes(4, 3, 3, 5, 2), mask=True, resets=True)


def value(params: Any, xs: Any, state: Any, kernel: Any = native, **options: Any) -> jax.Array:
    return loss(kernel, params, xs, state, **(CASE.options | options))[0]


def assert_same(got: Any, reference: Any, tolerance: float = TOLERANCES["gradients"].float32) -> None:
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(reference), strict=True):
        assert difference(a, b).relative <= tolerance


def calls(text: str) -> list[str]:
    """The native operations in a compiled program, in order."""
    return [word for word in ("infer", "forward", "backward") for _ in range(text.count(f'"jax_lstm_{word}"'))]


def several(tree: Any, count: int = 3) -> Any:
    return jax.tree.map(lambda array: np.stack([array * (1 + 0.2 * i) for i in range(count)]).astype(array.dtype), tree)


def at(tree: Any, index: int) -> Any:
    return jax.tree.map(lambda array: array[index], tree)


@pytest.mark.parametrize("batched", ["xs", "params", "params and xs", "state", "all"])
def test_vmap(batched: str) -> None:
    """Values and gradients of a batch of calls, whatever is batched, in one native call each."""
    names = {"all": "params xs state"}.get(batched, batched).replace(" and", "").split()
    axes = tuple(0 if name in names else None for name in ("params", "xs", "state"))
    args = tuple(several(arg) if axis == 0 else arg for arg, axis in zip(CASE[:3], axes, strict=True))
    step = jax.value_and_grad(value, argnums=(0, 1, 2))
    compiled = jax.jit(jax.vmap(step, in_axes=axes)).lower(*args).compile()
    assert calls(compiled.as_text() or "") == ["forward", "backward"]
    found, single = compiled(*args), jax.jit(step)
    for i in range(3):
        one = [at(arg, i) if axis == 0 else arg for arg, axis in zip(args, axes, strict=True)]
        assert_same(at(found, i), single(*one))


def test_vmap_over_data_is_more_rows_and_over_weights_more_members() -> None:
    for axes, ys in (((None, 0, None), "f32[1,4,9,2]"), ((0, None, None), "f32[3,4,3,2]")):
        args = [several(arg) if axis == 0 else arg for arg, axis in zip(CASE[:3], axes, strict=True)]
        text = jax.jit(jax.vmap(native, in_axes=axes)).lower(*args).compile().as_text() or ""
        assert calls(text) == ["infer"]
        assert f"= ({ys}" in next(line for line in text.splitlines() if '"jax_lstm_infer"' in line)


@pytest.mark.slow
def test_gradient_of_vmap() -> None:
    xs = several(CASE.xs)
    found = jax.jit(jax.grad(lambda params: jnp.sum(jax.vmap(lambda xs: value(params, xs, CASE.state))(xs))))(
        CASE.params
    )
    single = [jax.jit(jax.grad(value))(CASE.params, at(xs, i), CASE.state) for i in range(3)]
    assert_same(found, jax.tree.map(lambda *parts: sum(parts), *single))


def test_nested_vmap_in_other_axes() -> None:
    """Members of an ensemble, each over several sequences batched along the last axis."""
    params, xs = several(CASE.params, 2), np.moveaxis(several(CASE.xs), 0, -1)
    inner = jax.vmap(native, in_axes=(None, -1, None), out_axes=1)
    found = jax.jit(jax.vmap(inner, in_axes=(0, None, None)))(params, xs, CASE.state)
    single = jax.jit(native)
    for i in range(2):
        for j in range(3):
            reference = single(at(params, i), xs[..., j], CASE.state)
            assert_same(jax.tree.map(lambda array, i=i, j=j: array[i, :, j], found), reference, 1e-6)


def test_vmap_over_masks_and_over_nothing() -> None:
    masks = np.stack([CASE.options["mask"], ~CASE.options["mask"]])
    found = jax.jit(jax.vmap(lambda mask: native(*CASE[:3], mask=mask)))(masks)
    single = jax.jit(lambda mask: native(*CASE[:3], mask=mask))
    for i in range(2):
        assert_same(at(found, i), single(masks[i]), 1e-6)
    ys, _ = jax.jit(jax.vmap(native, in_axes=(None, 0, None)))(
        CASE.params, np.ones((0, *CASE.xs.shape), np.float32), CASE.state
    )
    assert ys.shape == (0, 4, 3, 2)


SMALL = problem(Sizes(3, 2, 2, 3), "float64", mask=True)


def function(kernel: Any) -> Any:
    """Of the parameters and the state, not linear in either; in float64."""
    return lambda params, h: loss(kernel, params, SMALL.xs, LSTMState(h, SMALL.state.c), **SMALL.options)[0]


@pytest.mark.slow
@pytest.mark.parametrize(
    "derivative",
    [
        jax.jacfwd,
        jax.hessian,
        lambda f: jax.jacrev(jax.jacrev(f)),
        lambda f: jax.grad(lambda h: jax.jvp(f, (h,), (h,))[1]),
    ],
    ids=["forward mode", "hessian", "reverse over reverse", "reverse over forward"],
)
def test_other_derivatives(derivative: Any, x64: None) -> None:
    """Forward mode and second derivatives, which fall back on plain JAX."""

    def derived(kernel: Any) -> Any:
        return jax.jit(derivative(lambda h: function(kernel)(SMALL.params, h)))(SMALL.state.h)

    assert_same(derived(native), derived(reference), 1e-12)


@pytest.mark.slow
def test_second_derivative_by_parameters(x64: None) -> None:
    """A Hessian-vector product over all parameters, as optimisers of second order take it."""

    def product(kernel: Any) -> Any:
        gradient = jax.grad(lambda params: function(kernel)(params, SMALL.state.h))
        return jax.jit(lambda params: jax.jvp(gradient, (params,), (params,))[1])(SMALL.params)

    assert_same(product(native), product(reference), 1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("policy", [None, jax.checkpoint_policies.dots_saveable], ids=["nothing", "products"])
def test_remat_computes_again(policy: Any) -> None:
    remat = jax.jit(jax.grad(jax.checkpoint(value, policy=policy), argnums=(0, 1, 2)))
    assert_same(remat(*CASE[:3]), jax.jit(jax.grad(value, argnums=(0, 1, 2)))(*CASE[:3]), 1e-6)


@pytest.mark.slow
def test_inside_scan_and_cond() -> None:
    def total(params: Any) -> jax.Array:
        def body(state: Any, xs: Any) -> Any:
            step = lambda state: native(params, xs, state, **CASE.options)[1]  # noqa: E731
            return jax.lax.cond(xs[0, 0, 0] > 0, step, lambda state: LSTMState(*step(state)), state), None

        last, _ = jax.lax.scan(body, LSTMState(*map(jnp.asarray, CASE.state)), several(CASE.xs))
        return jnp.sum(last.h)

    def by_hand(params: Any) -> jax.Array:
        state = CASE.state
        for i in range(3):
            _, state = native(params, several(CASE.xs)[i], state, **CASE.options)
        return jnp.sum(state.h)

    assert_same(jax.jit(jax.grad(total))(CASE.params), jax.jit(jax.grad(by_hand))(CASE.params))


def test_every_check_of_jax() -> None:
    """Strict types and ranks, NaNs, leaked tracers; and a NaN is found where it is looked for."""
    with (
        jax.numpy_dtype_promotion("strict"),
        jax.numpy_rank_promotion("raise"),
        jax.checking_leaks(),
        jax.debug_nans(True),
    ):
        for dtype in ("float32", "bfloat16"):
            gradients(native, problem(Sizes(3, 2, 2, 3, 2), dtype, mask=True, resets=True))
        with pytest.raises(FloatingPointError):
            native(CASE.params, np.full_like(CASE.xs, np.nan), CASE.state)


def test_without_jit() -> None:
    case: Problem = problem(Sizes(2, 2, 2, 3))
    with jax.disable_jit():
        found = jax.grad(lambda xs: loss(native, case.params, xs, case.state)[0])(case.xs)
    assert_same(found, gradients(native, case)[0][1], 1e-6)


def test_compiles_once_and_donates() -> None:
    traced = 0

    def step(params: Any, xs: Any) -> Any:
        nonlocal traced
        traced += 1
        return jax.tree.map(lambda p, g: p - g, params, jax.grad(value)(params, xs, CASE.state))

    compiled: Any = jax.jit(step, donate_argnums=0)
    expected = jax.jit(step)(CASE.params, CASE.xs)
    params, traced = jax.tree.map(jnp.array, CASE.params), 0
    found = compiled(params, CASE.xs)
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(params))
    assert_same(found, expected, 1e-6)
    compiled(found, CASE.xs)
    assert traced <= 1
    assert compiled._cache_size() == 1


def test_eval_shape() -> None:
    ys, state = jax.eval_shape(native, *CASE[:3])
    assert (ys.shape, state.h.shape, state.c.shape) == ((4, 3, 2), (3, 2), (3, 5))


@pytest.mark.slow
def test_exported_programs_need_no_library() -> None:
    """With symbolic sizes, for two platforms, gradient included."""
    steps, batch = jax.export.symbolic_shape("steps, batch")

    def shape(array: Any, *sizes: Any) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((*sizes, *array.shape[len(sizes) :]), array.dtype)

    args = (
        jax.tree.map(shape, CASE.params),
        shape(CASE.xs, steps, batch),
        jax.tree.map(lambda array: shape(array, batch), CASE.state),
    )
    masks = jax.tree.map(lambda array: shape(array, steps, batch), CASE.options)

    @jax.value_and_grad
    def step(params: Any, xs: Any, state: Any, options: Any) -> jax.Array:
        ys, last = native(params, xs, state, **options)
        return jnp.sum(jnp.sin(ys)) + jnp.sum(last.h * last.h) + jnp.sum(last.c)

    exported = jax.export.export(jax.jit(step), platforms=("cpu", "cuda"))(*args, masks)
    assert "jax_lstm_" not in exported.mlir_module()
    assert_same(exported.call(*CASE[:3], CASE.options), jax.jit(step)(*CASE[:3], CASE.options))


def test_lowered_for_another_platform_it_is_plain_jax() -> None:
    lowered = jax.jit(jax.grad(value)).trace(*CASE[:3]).lower(lowering_platforms=("tpu",))
    assert "jax_lstm_" not in lowered.as_text()
