"""What is the native kernel's own: its compiled form, what it refuses, and the checks of the C++ library."""

import functools
import re
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from kernels.cases import Case, draw, loss, native

from jax_lstm.kernels import Call, Fused
from jax_lstm.kernels.fused import arrays

CASE = draw(Case(4, 3, 3, 5), "float32")


def test_the_way_back_wastes_nothing() -> None:
    """The gradient of `xs` is computed only where it is wanted, and the gates are not copied."""
    gradient = jax.jit(jax.grad(functools.partial(loss, native)))
    compiled = gradient.lower(*CASE[:3]).compile().as_text() or ""
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
        native(*CASE._replace(**change)[:3])


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
