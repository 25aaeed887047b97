"""The kernel for TPUs without one: Pallas's interpreter runs it on a CPU, looks for races, and fills memory with NaN.

`test_mistakes_are_seen` plants mistakes in the source that these checks must find. test_compile.py compiles the kernel.
"""

import functools
import importlib.util
import inspect
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from agree import assert_agree
from jax._src.pallas.mosaic.interpret import interpret_pallas_call as interpreter
from jax.experimental.pallas import tpu as pltpu
from lowered import Case, draw, expected, lowered

import jax_lstm as jl
from jax_lstm.kernels import Call, Fused
from jax_lstm.kernels.fused import tpu
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
QUICK = "all"
CALL = Call("tpu", jnp.float32, 100, 64, 512, 512)


def check(case: Case, compute: Any, kernel: ModuleType = tpu, backward: bool = True) -> None:
    arrays = draw(case, compute)
    params = pltpu.InterpretParams(dma_execution_mode="on_wait", uninitialized_memory="nan", detect_races=True)
    with jax.default_matmul_precision("highest"), pltpu.force_tpu_interpret_mode(params):
        got = lowered(kernel.run, arrays, case.reverse, backward)
    assert not interpreter.races.races_found
    for name, reference in expected(arrays, case.reverse).items():
        if name not in got:
            continue
        assert got[name].dtype == dtype(name, compute)
        if compute == jnp.float32:
            assert_agree("gradients" if name.startswith("d_") else "outputs", got[name], reference, compute, name)
        else:
            assert difference(np.asarray(got[name], np.float64), reference).relative <= BFLOAT16, name


@pytest.mark.parametrize("compute", [jnp.float32, jnp.bfloat16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("name", [pytest.param(name, marks=() if name == QUICK else pytest.mark.slow) for name in CASES])
def test_is_the_oracle(name: str, compute: Any) -> None:
    check(CASES[name], compute)


MISTAKES = {  # name: what the source says, what it would say
    "no initial state": ("part[...] = named[name][...]", "pass"),
    "gates swapped": ("_sigmoid(z[0]), _sigmoid(z[1])", "_sigmoid(z[1]), _sigmoid(z[0])"),
    "last state not written": ("named[name][...] = part[...]", "pass"),
    "chunks in parallel": ('"parallel", "parallel", "arbitrary"', '"parallel", "parallel", "parallel"'),
    "the edge of the chunk ignored": ("jnp.where(inside, ", "jnp.where(inside | True, "),
    "chunks in the wrong order": ("last - chunk if reverse else chunk", "last - chunk"),
    "a chunk too long": ("run(rest)", "run(steps)"),
    "dropped carry": ("d_hs = d_h[...] + ", "d_hs = 0 * d_h[...] + "),
}


@pytest.mark.parametrize(
    "mistake", [pytest.param(name, marks=() if name == "gates swapped" else pytest.mark.slow) for name in MISTAKES]
)
def test_mistakes_are_seen(mistake: str) -> None:
    old, new = MISTAKES[mistake]
    source = inspect.getsource(tpu)
    assert source.count(old) == 1, old
    wrong = ModuleType("wrong")
    wrong.__dict__.update(__name__="wrong")
    exec(compile(source.replace(old, new), "wrong", "exec"), wrong.__dict__)
    with pytest.raises(AssertionError):
        check(Case(steps=19, batch=3), jnp.float32, wrong, backward=mistake not in ("gates swapped",))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"dtype": jnp.float16}, "it computes in float32 or bfloat16; not in float16"),
        ({"steps": jax.export.symbolic_shape("t")[0]}, "it needs fixed sizes; T or B is symbolic"),
        ({"chip": "v9"}, "it knows the chips v4, v5e, v5p, v6e, tpu7x; not v9"),
        ({"hidden_size": 2048}, "MiB of VMEM, and may use 14.4 MiB of v4, which has the least"),
        ({"hidden_size": 4096, "chip": "v5e"}, "and may use 115.2 MiB of v5e"),
        ({"hidden_size": 1024, "chip": "v5e"}, ""),
        ({"hidden_size": 1024, "dtype": jnp.bfloat16}, ""),
    ],
)
def test_what_it_refuses(changes: dict[str, Any], reason: str) -> None:
    found = Fused("pallas", changes.pop("chip", None)).refuses(CALL._replace(**changes))
    assert reason in found and bool(reason) == bool(found)


def test_it_is_explained_and_exported(lstm_and_xs: Any = None) -> None:
    from flax import nnx

    lstm, xs = jl.LSTM(3, 5, rngs=nnx.Rngs(0)), jnp.zeros((4, 2, 3))
    assert "pallas" not in str(jl.explain_backend(lstm, xs, platform="tpu")).splitlines()[0]
