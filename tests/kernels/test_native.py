"""The native kernel against autodiff of the reference in float64: outputs, last state and all gradients."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from problems import Sizes, gradients, loss, native, problem, reference

from jax_lstm.kernels import Call, Fused
from jax_lstm.kernels.fused import native_status, unavailable
from jax_lstm.tolerances import TOLERANCES, difference

CASES: dict[str, tuple[Sizes, dict[str, Any]]] = {
    "plain": (Sizes(5, 3, 4, 7), {}),
    "smallest": (Sizes(1, 1, 1, 1), {}),
    "no bias, reverse": (Sizes(4, 2, 3, 5), {"bias": False, "reverse": True}),
    "mask": (Sizes(6, 4, 3, 5), {"mask": True}),
    "resets, no bias": (Sizes(6, 4, 3, 5), {"resets": True, "bias": False}),
    "projection": (Sizes(5, 3, 4, 7, 3), {}),
    "all": (Sizes(6, 5, 3, 9, 4), {"mask": True, "resets": True, "reverse": True}),
    "one row": (Sizes(9, 1, 3, 33), {"mask": True, "reverse": True}),
    "many rows": (Sizes(3, 67, 5, 16), {"resets": True, "reverse": True}),
    "wide": (Sizes(6, 19, 70, 100), {"mask": True}),
    "wide projection": (Sizes(3, 40, 17, 64, 24), {"resets": True}),
    "many steps": (Sizes(70, 6, 2, 24), {}),
}
# A type of 8 bits rounds h at every step by up to 1/512 of its size, and errors add up over steps.
BFLOAT16 = 3e-2


def results(kernel: Any, name: str, dtype: str) -> tuple[Any, Any]:
    sizes, options = CASES[name]
    reverse = {"reverse": True} if "reverse" in options else {}
    options = {key: value for key, value in options.items() if key != "reverse"}
    return gradients(kernel, problem(sizes, dtype, **options), **reverse)


@functools.cache
def expected(name: str) -> Any:
    with jax.enable_x64(True):
        return jax.tree.map(np.asarray, results(reference, name, "float64"))


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
@pytest.mark.parametrize("name", CASES)
def test_native_is_the_reference(name: str, dtype: str) -> None:
    with jax.enable_x64(dtype == "float64"):
        found = results(native, name, dtype)
    for kind, got, want in zip(("gradients", "outputs"), found, expected(name), strict=True):
        tolerance = BFLOAT16 if dtype == "bfloat16" else TOLERANCES[kind].of(dtype)
        for (path, a), b in zip(jax.tree.leaves_with_path(got), jax.tree.leaves(want), strict=True):
            assert difference(a, b).relative <= tolerance, f"{kind}{jax.tree_util.keystr(path)}"
    state = "float32" if dtype == "bfloat16" else dtype
    assert [leaf.dtype.name for leaf in jax.tree.leaves(found[1])] == [dtype, state, state]
    assert {leaf.dtype.name for leaf in jax.tree.leaves(found[0][:2])} == {dtype}


def test_masked_steps_ignore_what_is_there() -> None:
    """A NaN in the padding reaches neither outputs nor gradients; outputs there are exactly zero."""
    case = problem(Sizes(6, 5, 3, 9), mask=True)
    mask = case.options["mask"]
    spoiled = case._replace(xs=np.where(mask[..., None], case.xs, np.float32(np.nan)))
    found, clean = gradients(native, spoiled), gradients(native, case)
    for got, want in zip(jax.tree.leaves(found), jax.tree.leaves(clean), strict=True):
        np.testing.assert_array_equal(got, want)
    assert not np.asarray(found[1][0])[~mask].any()
    assert not np.asarray(found[0][1])[~mask].any()


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_nan_and_infinity_go_through(value: float) -> None:
    case = problem(Sizes(3, 4, 3, 9))
    case.xs[1, 2, 1] = value
    with np.errstate(invalid="ignore"):
        _, (ys, last) = gradients(native, case)
        _, (want, want_last) = gradients(reference, case)
    for got, expected_part in ((ys, want), (last.h, want_last.h), (last.c, want_last.c)):
        np.testing.assert_allclose(got, expected_part, rtol=1e-5, atol=1e-6, equal_nan=True)


def test_no_rows() -> None:
    case = problem(Sizes(4, 0, 3, 5, 2), mask=True, resets=True)
    grads, (ys, last) = gradients(native, case)
    assert (ys.shape, last.h.shape, last.c.shape) == ((4, 0, 2), (0, 2), (0, 5))
    assert all(not np.asarray(leaf).any() for leaf in jax.tree.leaves(grads))


def test_the_way_back_wastes_nothing() -> None:
    """The gradient of `xs` is computed only where it is wanted, and the gates are not copied."""
    case = problem(Sizes(4, 3, 3, 5))
    gradient = jax.jit(jax.grad(functools.partial(loss, native), has_aux=True))
    compiled = gradient.lower(*case[:3]).compile().as_text() or ""
    (backward,) = [line for line in compiled.splitlines() if 'custom_call_target="jax_lstm_backward"' in line]
    assert "(f32[1,0,0,0]" in backward
    assert "output_to_operand_aliasing={{7}: (13, {})}" in backward  # the gates are written over by their gradients
    assert "= f32[1,4,3,20]{3,2,1,0} copy(" not in compiled


def test_float16_is_refused() -> None:
    call = Call("cpu", "float16", 4, 3, 3, 5)
    assert "not in float16" in Fused("native").refuses(call)
    assert not any(Fused("native").refuses(call._replace(dtype=name)) for name in ("float32", "float64", jnp.bfloat16))
    assert Fused("auto").refuses(call) == Fused("plain").refuses(call) == ""


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"xs": np.ones((4, 3, 2), np.float32)}, "axis I is 2 in `xs` and 3 in `weight_ih`"),
        ({"xs": jnp.ones((4, 3, 3), jnp.bfloat16)}, "`weight_ih` must have type bfloat16; got float32"),
    ],
)
def test_arrays_that_do_not_fit_are_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        native(*problem()._replace(**change)[:3])


def test_status() -> None:
    assert not unavailable()
    assert native_status().startswith("available (")
