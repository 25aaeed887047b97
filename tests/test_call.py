"""The functions that a call passes on its way to the C++ are those of docs/how-it-works.md."""

import re
import traceback
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from flax import nnx
from jax.extend.core import Primitive

import jax_lstm as jl
from jax_lstm.kernels.fused import unavailable

ROOT = Path(jl.__file__).parent
PAGE = (ROOT.parent / "docs" / "how-it-works.md").read_text()
STEPS = re.findall(r"\| \d \| `([\w/.]+): (?:\w+\.)?(\w+)` \|", PAGE)


def own_functions() -> list[tuple[str, str]]:
    """The functions of this package on the stack, outermost first, as (file, function)."""
    frames = [frame for frame in traceback.extract_stack() if frame.filename.startswith(str(ROOT))]
    functions = [(str(Path(frame.filename).relative_to(ROOT)), frame.name) for frame in frames]
    return [function for function in functions if function[1] != "<listcomp>"]  # no function of its own from 3.12 on


@pytest.fixture
def passed(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[tuple[str, str]]]:
    """By primitive and by target of the library: the functions that lead there."""
    found: dict[str, list[tuple[str, str]]] = {}
    bind, ffi_call = Primitive.bind, jax.ffi.ffi_call

    def spying_bind(self: Any, *args: Any, **params: Any) -> Any:
        if self.name in ("lstm_infer", "lstm_backward"):
            found.setdefault(self.name, own_functions())
        return bind(self, *args, **params)

    def spying_call(target: str, *args: Any, **options: Any) -> Any:
        found.setdefault(target, own_functions())
        return ffi_call(target, *args, **options)

    monkeypatch.setattr(Primitive, "bind", spying_bind)
    monkeypatch.setattr(jax.ffi, "ffi_call", spying_call)
    return found


@pytest.mark.skipif(bool(unavailable()), reason=unavailable())
def test_a_call_passes_the_functions_of_the_page(passed: dict[str, list[tuple[str, str]]]) -> None:
    lstm, x = jl.LSTM(3, 5, rngs=nnx.Rngs(0)), jnp.ones((11, 2, 3))
    jax.jit(lambda x: lstm(x)[0]).lower(x)
    jax.jit(jax.grad(lambda x: lstm(x)[0].sum())).lower(x)
    assert len(STEPS) == 8
    assert passed["lstm_infer"] + passed["jax_lstm_infer"] == STEPS
    assert passed["lstm_backward"][-2:] + passed["jax_lstm_backward"] == [
        ("kernels/fused/operations.py", "_transpose"), *STEPS[5:]
    ]  # fmt: skip
