"""The kernel for TPUs without one: Pallas's interpreter runs it on a CPU, looks for races, and fills memory with NaN.

`test_mistakes_are_seen` plants mistakes in the source that these checks must find. test_compile.py compiles the kernel.
"""

import inspect
import itertools
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from agree import assert_agree
from flax import nnx
from jax._src.pallas.mosaic.interpret import interpret_pallas_call as interpreter
from jax.experimental.pallas import tpu as pltpu
from kernels.lowered import Case, draw, expected, lowered

import jax_lstm as jl
from jax_lstm.kernels import Call, Fused
from jax_lstm.kernels.fused import tpu, tpu_loop
from jax_lstm.kernels.fused.arrays import dtype
from jax_lstm.tolerances import difference

BFLOAT16 = 2e-2  # relative to the largest magnitude: it keeps 8 bits; states, gates and sums are in float32
CASES = {
    "plain": Case(),
    "two members, without bias, reverse": Case(members=2, batch=1, bias=False, reverse=True),
    "chunks and blocks": Case(steps=19, batch=130, hidden_size=130),
    "projection, mask": Case(steps=4, proj_size=3, mask=True),
    "all": Case(members=2, steps=11, batch=18, proj_size=5, reverse=True, mask=True, resets=True),
    "all but projection": Case(steps=9, mask=True, resets=True),
}
CALL = Call("tpu", jnp.float32, 100, 64, 512, 512)


def check(case: Case, compute: Any, kernel: ModuleType = tpu) -> None:
    arrays = draw(case, compute)
    params = pltpu.InterpretParams(dma_execution_mode="on_wait", uninitialized_memory="nan", detect_races=True)
    with jax.default_matmul_precision("highest"), pltpu.force_tpu_interpret_mode(params):
        got = lowered(kernel.run, arrays, case.reverse)
    races: Any = interpreter.races
    assert not races.races_found, "a race"
    for name, reference in expected(arrays, case.reverse).items():
        assert got[name].dtype == dtype(name, compute)
        if compute == jnp.float32:
            assert_agree("gradients" if name.startswith("d_") else "outputs", got[name], reference, compute, name)
        else:
            assert difference(np.asarray(got[name], np.float64), reference).relative <= BFLOAT16, name


def grid() -> Iterator[Any]:
    for name, compute in itertools.product(CASES, ("float32", "bfloat16")):
        quick = (name, compute) == ("all", "float32")
        yield pytest.param(CASES[name], compute, marks=() if quick else pytest.mark.slow, id=f"{name}, {compute}")


@pytest.mark.parametrize(("case", "compute"), list(grid()))
def test_is_the_oracle(case: Case, compute: str) -> None:
    check(case, jnp.dtype(compute))


MISTAKES = {  # name: file, what it says, what it would say
    "no initial state": (tpu_loop, "part[...] = named[name][...]", "pass"),
    "last state not written": (tpu_loop, "named[name][...] = part[...]", "pass"),
    "chunks in parallel": (tpu_loop, '"parallel", "parallel", "arbitrary"', '"parallel", "parallel", "parallel"'),
    "chunks in the wrong order": (tpu_loop, "last - chunk if reverse else chunk", "last - chunk"),
    "a chunk too long": (tpu_loop, "run(rest)", "run(steps)"),
    "gates swapped": (tpu, "_sigmoid(z[0]), _sigmoid(z[1])", "_sigmoid(z[1]), _sigmoid(z[0])"),
    "the edge of a chunk ignored": (tpu, "jnp.where(inside, ", "jnp.where(inside | True, "),
    "no gradient from the next step": (tpu, "d_h[...] + refs", "0 * d_h[...] + refs"),
}


@pytest.mark.slow
@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_seen(mistake: str, monkeypatch: pytest.MonkeyPatch) -> None:
    file, old, new = MISTAKES[mistake]
    sources = {module: inspect.getsource(module) for module in (tpu_loop, tpu)}
    assert sources[file].count(old) == 1, old
    sources[file] = sources[file].replace(old, new)
    wrong = ModuleType("none")
    for module, source in sources.items():  # `tpu` imports `tpu_loop`, and gets the one with the mistake
        wrong = ModuleType(module.__name__)
        monkeypatch.setitem(sys.modules, module.__name__, wrong)
        exec(compile(source, module.__name__, "exec"), wrong.__dict__)
    with pytest.raises(AssertionError):
        check(Case(steps=19), jnp.dtype("float32"), wrong)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"dtype": jnp.float16}, "it computes in float32 or bfloat16; not in float16"),
        ({"steps": jax.export.symbolic_shape("t")[0]}, "it needs fixed sizes; T or B is symbolic"),
        ({"batch": 0}, "it needs a row; B is 0"),
        ({"chip": "h100"}, "it knows the chips v4, v5e, v5p, v6e, tpu7x; not h100"),
        ({"hidden_size": 2048}, "MiB of v4, which has the least (`chip` names another)"),
        ({"hidden_size": 4096, "chip": "v5e"}, "MiB of v5e"),
        ({"hidden_size": 1024, "chip": "v5e"}, ""),
        ({"hidden_size": 1024, "dtype": jnp.bfloat16}, ""),
    ],
)
def test_what_it_refuses(changes: dict[str, Any], reason: str) -> None:
    changes = dict(changes)
    found = Fused("pallas", changes.pop("chip", None)).refuses(CALL._replace(**changes))
    assert reason in found if reason else not found


def test_a_chip_that_it_does_not_know() -> None:
    with pytest.raises(jl.InputError, match=r"`chip` must be one of None, 'v4', 'v5e', .*, 'h200'; got 'v5litepod'"):
        Fused("pallas", chip="v5litepod")


def test_it_is_taken_by_name_only() -> None:
    named, auto = (jl.LSTM(3, 5, backend=kernel, rngs=nnx.Rngs(0)) for kernel in (Fused("pallas"), "auto"))
    xs = jnp.zeros((4, 2, 3))
    choice = jl.explain_backend(named, xs, platform="tpu")
    assert str(choice) == "pallas: named by `backend`; never run on such a device"
    assert jl.explain_backend(auto, xs, platform="tpu").backend == "plain"
    with pytest.raises(jl.InputError, match="not on cpu"):
        named(xs)
