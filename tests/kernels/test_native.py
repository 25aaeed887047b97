"""The native kernel against autodiff of the reference in float64: outputs, last state and all gradients."""

import functools
import re
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from problems import Sizes, gradients, loss, native, problem, reference

from jax_lstm.kernels import Call, Fused
from jax_lstm.kernels.fused import arrays, native_status, unavailable
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


FEW = ("mask", "projection", "wide")  # in the plain run; test_kernels.py has float32 and float64 too


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in FEW else [pytest.mark.slow]) for name in CASES]
)
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
    found = re.search(r'aliasing={{(\d+)}: \((\d+), {}\)}.*operands = "(.*?)", results = "(.*?)"', backward)
    assert found
    result, operand, operands, results = found.groups()
    assert "d_xs" not in results.split()
    assert operands.split()[int(operand)] == "gates"  # overwritten by their gradients
    assert results.split()[int(result)] == "d_gates"
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


OPERANDS = "xs weight_ih weight_hh bias_ih bias_hh h0 c0 mask"
RESULTS = "ys h c"
SHAPE = {"N": 1, "T": 4, "B": 3, "I": 2, "H": 5, "G": 20, "R": 5}


def call_library(operands: str = OPERANDS, results: str = RESULTS, target: str = "forward", **changes: Any) -> Any:
    """The library called with arrays of zeros, past all checks in Python; `changes` replaces single arrays."""
    made = {
        name: np.zeros([SHAPE[axis] for axis in arrays.axes(name)], arrays.dtype(name, np.float32))
        for name in (*operands.split(), *results.split())
        if name.removeprefix("d_") in arrays.AXES
    } | changes
    passed, wanted = ([made[name] for name in names.split() if name in made] for names in (operands, results))
    types = [jax.ShapeDtypeStruct(array.shape, array.dtype) for array in wanted]
    call = jax.ffi.ffi_call(f"jax_lstm_{target}", types)
    with jax.enable_x64(True):
        return call(*passed, operands=operands, results=results, reverse=np.bool_(False))


def zeros(*shape: int, dtype: Any = np.float32) -> np.ndarray:
    return np.zeros(shape, dtype)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"operands": OPERANDS + " ws"}, "more names than arrays: ws"),
        ({"operands": OPERANDS.replace("mask", "ws"), "ws": zeros(1, 4, 3)}, "unknown array `ws`"),
        ({"operands": OPERANDS.replace("c0 ", "")}, "`c0` is missing"),
        ({"operands": OPERANDS.replace("bias_hh ", "")}, "`bias_ih` and `bias_hh` must be given together"),
        ({"results": "ys h"}, "`c` is missing"),
        ({"results": "ys h c gates cs"}, "`hs` must be given with `gates` and `mask`"),
        ({"results": "ys h c d_xs"}, "does not compute"),
        ({"target": "backward"}, "`gates` is missing"),
        ({"xs": zeros(4, 3, 2)}, "`xs` must have the axes NTBI; got 3 axes"),
        ({"weight_ih": zeros(1, 20, 3)}, "axis I is 2 in `xs` and 3 in `weight_ih`"),
        (
            {"weight_hh": zeros(1, 20, 3), "h0": zeros(1, 3, 3), "ys": zeros(1, 4, 3, 3), "h": zeros(1, 3, 3)},
            "equal without",
        ),
        ({"c0": zeros(1, 3, 4), "c": zeros(1, 3, 4)}, "axis G must be 4 \\* 4; got 20"),
        ({"xs": zeros(1, 0, 3, 2), "ys": zeros(1, 0, 3, 5), "mask": zeros(1, 0, 3, dtype=bool)}, "must not be empty"),
        ({"weight_ih": zeros(1, 20, 2, dtype=np.float64)}, "`weight_ih` must have the element type of `xs`"),
        ({"mask": zeros(1, 4, 3)}, "`mask` must be boolean"),
        (
            {
                name: zeros(*shape, dtype=np.float16)
                for name, shape in {
                    "xs": (1, 4, 3, 2),
                    "weight_ih": (1, 20, 2),
                    "weight_hh": (1, 20, 5),
                    "ys": (1, 4, 3, 5),
                }.items()
            },
            "`xs` must be float32, float64 or bfloat16",
        ),
    ],
)
def test_the_library_checks_what_it_is_given(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(jax.errors.JaxRuntimeError, match=message):
        jax.block_until_ready(call_library(**changes))


@pytest.mark.parametrize("empty", ["N", "B"])
def test_the_library_with_nothing_to_do(empty: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Operands come in any order."""
    monkeypatch.setitem(SHAPE, empty, 0)
    call_library(" ".join(reversed(OPERANDS.split())), "ys h c gates cs hs")
    found = call_library(
        "gates cs hs d_ys d_h d_c xs weight_ih weight_hh h0 c0", "d_weight_ih d_weight_hh d_h0 d_c0 d_gates", "backward"
    )
    assert found[0].shape == (SHAPE["N"], 20, 2)
    assert not np.asarray(found[0]).any()


def test_python_reads_the_whole_table() -> None:
    rows = Path(arrays.__file__).with_name("arrays.def").read_text().count("\nJAX_LSTM_ARRAY(")
    assert rows == len(arrays.AXES)


def test_status() -> None:
    assert not unavailable()
    assert native_status().startswith("available (")
