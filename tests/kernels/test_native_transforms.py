"""Kernels under JAX's transformations: what is transformed gives what plain calls and the reference give."""

from functools import partial
from itertools import product
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import oracle
import pytest
from kernels.cases import ALL, Case, draw, gradients, loss, named, native, scan, sequence

from jax_lstm.params import LSTMState
from jax_lstm.tolerances import TOLERANCES, difference

CASE = draw(Case(4, 3, 3, 5, 2, mask=True, resets=True), "float32")


def value(params: Any, xs: Any, state: Any, kernel: Any = native, **options: Any) -> jax.Array:
    return loss(kernel, params, xs, state, **(CASE.options | options))


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


@pytest.mark.parametrize(
    ("kernel", "batched"),
    [
        *((native, names) for names in ("xs", "params", "params xs", "state", "all")),
        pytest.param(scan, "all", marks=pytest.mark.slow),
    ],
    ids=lambda value: value if isinstance(value, str) else "native" if value is native else "scan",
)
def test_vmap(kernel: Any, batched: str) -> None:
    """Values and gradients of a batch of calls, whatever is batched, in one native call each."""
    axes = tuple(0 if batched == "all" or name in batched.split() else None for name in ("params", "xs", "state"))
    args = tuple(several(arg) if axis == 0 else arg for arg, axis in zip(CASE[:3], axes, strict=True))
    step = jax.value_and_grad(partial(value, kernel=kernel), argnums=(0, 1, 2))
    compiled = jax.jit(jax.vmap(step, in_axes=axes)).lower(*args).compile()
    assert calls(compiled.as_text() or "") == (["forward", "backward"] if kernel is native else [])
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
    xs = np.nan_to_num(CASE.xs)
    params, xs = several(CASE.params, 2), np.moveaxis(several(xs), 0, -1)
    inner = jax.vmap(native, in_axes=(None, -1, None), out_axes=1)
    found = jax.jit(jax.vmap(inner, in_axes=(0, None, None)))(params, xs, CASE.state)
    single = jax.jit(native)
    for i in range(2):
        for j in range(3):
            reference = single(at(params, i), xs[..., j], CASE.state)
            assert_same(jax.tree.map(lambda array, i=i, j=j: array[i, :, j], found), reference, 1e-6)


def test_vmap_over_masks_and_over_nothing() -> None:
    params, xs, state = CASE.params, np.nan_to_num(CASE.xs), CASE.state
    masks = np.stack([CASE.options["mask"], ~CASE.options["mask"]])
    found = jax.jit(jax.vmap(lambda mask: native(params, xs, state, mask=mask)))(masks)
    single = jax.jit(lambda mask: native(params, xs, state, mask=mask))
    for i in range(2):
        assert_same(at(found, i), single(masks[i]), 1e-6)
    ys, _ = jax.jit(jax.vmap(native, in_axes=(None, 0, None)))(params, np.ones((0, *xs.shape), np.float32), state)
    assert ys.shape == (0, 4, 3, 2)
    nobody = jax.tree.map(lambda array: array[None][:0], params)
    ys, _ = jax.jit(jax.vmap(native, in_axes=(0, None, None)))(nobody, xs, state)
    assert ys.shape == (0, 4, 3, 2)


@pytest.mark.slow
@pytest.mark.parametrize("policy", [None, jax.checkpoint_policies.dots_saveable], ids=["nothing", "products"])
def test_remat_computes_again(policy: Any) -> None:
    remat = jax.jit(jax.grad(jax.checkpoint(value, policy=policy), argnums=(0, 1, 2)))
    assert_same(remat(*CASE[:3]), jax.jit(jax.grad(value, argnums=(0, 1, 2)))(*CASE[:3]), 1e-6)


@pytest.mark.slow
def test_inside_scan_and_cond() -> None:
    batches = several(np.nan_to_num(CASE.xs))

    def total(params: Any) -> jax.Array:
        def body(state: Any, xs: Any) -> Any:
            step = lambda state: native(params, xs, state, **CASE.options)[1]  # noqa: E731
            return jax.lax.cond(xs[0, 0, 0] > 0, step, lambda state: LSTMState(*step(state)), state), None

        last, _ = jax.lax.scan(body, LSTMState(*map(jnp.asarray, CASE.state)), batches)
        return jnp.sum(last.h)

    def by_hand(params: Any) -> jax.Array:
        state = CASE.state
        for xs in batches:
            _, state = native(params, xs, state, **CASE.options)
        return jnp.sum(state.h)

    assert_same(jax.jit(jax.grad(total))(CASE.params), jax.jit(jax.grad(by_hand))(CASE.params))


DERIVED = Case(3, 2, 2, 3, mask=True)


def dot(a: Any, b: Any) -> Any:
    return sum((x * y).sum() for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))


def second_derivative_of_the_oracle(along: Any) -> Any:
    """That of the outputs weighted by their cotangents: central differences of the oracle's gradients."""
    arrays = draw(DERIVED)

    def gradients(step: float) -> dict[str, np.ndarray]:
        params, xs, (h, c) = jax.tree.map(lambda array, other: array + step * other, tuple(arrays[:3]), along)
        *_, tapes = oracle.layer(named(params), xs, h, c, **arrays.options)
        d_params, *others = oracle.layer_backward(named(params), tapes, arrays.d_ys, *arrays.d_state)
        return d_params | dict(zip(("xs", "h", "c"), others, strict=True))

    above, below = gradients(1e-5), gradients(-1e-5)
    return {name: (above[name] - below[name]) / 2e-5 for name in above}


DERIVATIVES: dict[str, Any] = {
    "forward over reverse": lambda f, point, along: jax.jvp(jax.grad(f), (point,), (along,))[1],
    "reverse over forward": lambda f, point, along: jax.grad(lambda point: jax.jvp(f, (point,), (along,))[1])(point),
    "reverse over reverse": lambda f, point, along: jax.grad(lambda point: dot(jax.grad(f)(point), along))(point),
}


QUICK = ("native", "forward over reverse")


@pytest.mark.parametrize(
    ("kernel", "name"),
    [
        pytest.param(*each, marks=[] if each == QUICK else [pytest.mark.slow])
        for each in product(("native", "scan", "scan, gates", "scan, chunks"), DERIVATIVES)
    ],
)
def test_second_derivatives(kernel: str, name: str, x64: None) -> None:
    """Of everything along random directions, two at once."""
    params, xs, state, *cotangents, options = draw(DERIVED)
    point, rng = (params, xs, state), np.random.default_rng(1)
    along: Any = jax.tree.map(lambda array: rng.standard_normal((2, *array.shape)), point)

    def outputs(point: Any) -> Any:
        return dot(sequence(ALL[kernel])(*point, **options), cotangents)

    derivative = partial(DERIVATIVES[name], outputs)
    d_params, d_xs, d_state = jax.jit(jax.vmap(derivative, in_axes=(None, 0)))(point, along)
    found = named(d_params) | {"xs": d_xs, "h": d_state.h, "c": d_state.c}
    for i in range(2):
        for key, expected in second_derivative_of_the_oracle(at(along, i)).items():
            assert difference(found[key][i], expected).relative < 1e-7, key


def test_every_check_of_jax() -> None:
    """Strict types and ranks, NaNs, leaked tracers; and a NaN is found where it is looked for."""
    with (
        jax.numpy_dtype_promotion("strict"),
        jax.numpy_rank_promotion("raise"),
        jax.checking_leaks(),
        jax.debug_nans(True),
    ):
        for dtype in ("float32", "bfloat16"):
            gradients(native, draw(Case(3, 2, 2, 3, 2, mask=True, resets=True), dtype))
        with pytest.raises(FloatingPointError):
            native(CASE.params, np.full_like(CASE.xs, np.nan), CASE.state)


def test_without_jit() -> None:
    params, xs, state, *_ = draw(Case(2, 2, 2, 3), "float32")
    function = jax.grad(lambda xs: loss(native, params, xs, state))
    with jax.disable_jit():
        found = function(xs)
    assert_same(found, jax.jit(function)(xs), 1e-6)


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
