"""The kernel for NVIDIA GPUs without one: Pallas's interpreter runs it on a CPU, where a race is an error.

The interpreter fills memory with NaN. Results are compared with the float64 oracle on the same rounded numbers.
`test_mistakes_are_seen` plants mistakes in the source, each of which this must find.
"""

import inspect
import itertools
import sys
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from agree import assert_agree
from jax.sharding import AbstractMesh, AxisType, PartitionSpec
from kernels.lowered import Case, draw, expected, lowered

from jax_lstm import functional
from jax_lstm.kernels import Call, Fused
from jax_lstm.kernels.fused import gpu, gpu_cluster
from jax_lstm.kernels.fused.arrays import dtype
from jax_lstm.params import Sizes
from jax_lstm.tolerances import difference

needs_mosaic = pytest.mark.skipif(jax.__version_info__ < gpu.NEEDS, reason="Mosaic GPU of a newer JAX")
HIGHEST, TF32, BFLOAT16 = "float32, highest", "float32", "bfloat16"
# Relative to the largest magnitude. TF32 keeps 11 bits, bfloat16 8; states, gates and sums are in float32.
TOLERANCES = {TF32: 2e-3, BFLOAT16: 2e-2}
CALL = Call("cuda", jnp.float32, 4, 2, 3, 5)


CASES = {
    "plain": Case(),
    "without bias": Case(batch=1, bias=False),
    "two clusters, two members": Case(members=2, steps=2, batch=66),
    "reverse, mask, resets": Case(steps=4, reverse=True, mask=True, resets=True),
    "mask, resets": Case(steps=4, mask=True, resets=True),
    "wider than the slots": Case(steps=2, hidden_size=192),  # with three products: fewer chunks fit than there are
}


def interpreted(arrays: dict[str, Any], reverse: bool, lowering: Any = gpu, backward: bool = True) -> dict[str, Any]:
    plgpu = gpu_cluster.mosaic()
    with plgpu.force_gpu_interpret_mode(plgpu.InterpretGPUParams(detect_races=True, uninitialized_memory="nan")):
        return lowered(lowering.run, arrays, reverse, backward)


def check(case: Case, kind: str, lowering: Any = gpu, backward: bool = True) -> None:
    compute = jnp.bfloat16 if kind == BFLOAT16 else jnp.float32
    arrays = draw(case, compute)
    with jax.default_matmul_precision("highest" if kind == HIGHEST else "default"):
        got = interpreted(arrays, case.reverse, lowering, backward)
    for name, reference in expected(arrays, case.reverse).items():
        if name not in got:
            continue
        assert got[name].dtype == dtype(name, compute)
        if kind == HIGHEST:
            assert_agree("gradients" if name.startswith("d_") else "outputs", got[name], reference, "float32", name)
        else:
            found = difference(np.asarray(got[name], np.float64), reference).relative
            assert found <= TOLERANCES[kind], f"{name}: {found:.2e}"


def grid() -> Iterator[Any]:
    for case, kind in itertools.product(CASES, (HIGHEST, BFLOAT16, TF32)):
        quick = (case, kind) in (("plain", TF32), ("mask, resets", BFLOAT16), ("reverse, mask, resets", HIGHEST))
        yield pytest.param(case, kind, marks=[] if quick else [pytest.mark.slow])


@needs_mosaic
@pytest.mark.parametrize(("case", "kind"), list(grid()))
def test_is_the_oracle(case: str, kind: str) -> None:
    check(CASES[case], kind)


MISTAKES = {  # name: file, what it says, what it would say, and how this is seen
    "no barrier": (gpu_cluster, 'plgpu.barrier_wait(self.scratch["together"])', "pass", "RACE"),
    "one buffer to exchange in": (gpu_cluster, "turn % 2", "0", "RACE"),
    "a chunk read before it is there": (gpu_cluster, "plgpu.barrier_wait(filled.at[slot])", "pass", "RACE"),
    "the slice of another block": (gpu_cluster, "self.index * self.cut.units", "0 * self.cut.units", "RACE"),
    "one product of three": (gpu_cluster, "for b in range(cut.parts - a)]", "for b in range(1 - a)]", "ys"),
    "gates swapped": (gpu, "_sigmoid(z[0]), _sigmoid(z[1])", "_sigmoid(z[1]), _sigmoid(z[0])", "ys"),
    "a late output": (gpu, 'block.store("ys", select(valid, next_h, 0.0), at)', 'block.store("ys", h, at)', "ys"),
    "no initial state": (gpu, 'block.load("h0"), block.load("c0")', '*(2 * [0 * block.load("h0")])', "ys"),
    "c of the same step": (gpu, 'block.load("cs", before)', 'block.load("cs", at)', "d_"),
    "a held gradient lost": (gpu, "jnp.where(valid, 0.0, d_h)", "0.0", "d_"),
}


@needs_mosaic
@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_seen(mistake: str, monkeypatch: pytest.MonkeyPatch) -> None:
    file, old, new, seen = MISTAKES[mistake]
    sources = {module: inspect.getsource(module) for module in (gpu_cluster, gpu)}
    assert sources[file].count(old) == 1, old
    sources[file] = sources[file].replace(old, new)
    wrong = {module: ModuleType(module.__name__) for module in sources}
    for module, source in sources.items():  # `gpu` imports `gpu_cluster`, and gets the one with the mistake
        monkeypatch.setitem(sys.modules, module.__name__, wrong[module])
        exec(compile(source, module.__name__, "exec"), wrong[module].__dict__)
    kind = HIGHEST if mistake == "one product of three" else TF32
    with pytest.raises((AssertionError, jax.errors.JaxRuntimeError), match=seen):
        check(Case(steps=2, mask=True), kind, wrong[gpu], backward=seen == "d_")


@needs_mosaic
def test_a_nan_that_is_held_reaches_no_other_row_and_no_gradient() -> None:
    case = Case(mask=True)
    arrays = {name: array.copy() for name, array in draw(case, jnp.float32).items()}
    arrays["mask"][:, :, 1] = False
    arrays["h0"][:, 1] = arrays["c0"][:, 1] = np.nan
    got = interpreted(arrays, case.reverse)
    assert np.isnan(got["h"][:, 1]).all()
    for name, array in got.items():
        if name.startswith(("ys", "d_")):
            assert np.isfinite(array).all(), name


@needs_mosaic
def test_is_what_a_gpu_program_calls() -> None:
    """One kernel forward and one backward, also under `vmap` over rows and members, and on each device of a mesh."""
    params = {name: jax.ShapeDtypeStruct(shape, jnp.float32) for name, shape in Sizes(3, 5, 1).shapes().items()}
    xs = jax.ShapeDtypeStruct((4, 2, 3), jnp.float32)

    def loss(params: Any, xs: Any) -> Any:
        return functional.lstm(params, xs, backend=Fused(lowering="pallas", chip="h100"))[0].sum()

    def several(of: Any, count: int) -> Any:
        return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((count, *leaf.shape), leaf.dtype), of)

    step, over = jax.grad(loss, (0, 1)), PartitionSpec(None, "data")
    divided = jax.shard_map(
        step,
        mesh=AbstractMesh((2,), ("data",), axis_types=(AxisType.Auto,)),
        in_specs=(PartitionSpec(), over),
        out_specs=(PartitionSpec(), over),
    )
    for function, given in (
        (divided, (params, xs)),
        (step, (params, xs)),
        (jax.vmap(step, (None, 0)), (params, several(xs, 3))),
        (jax.vmap(step), (several(params, 3), several(xs, 3))),
    ):
        program = jax.jit(function).trace(*given).lower(lowering_platforms=("cuda",)).as_text()
        assert program.count("@mosaic_gpu_v2") == 2
        assert "stablehlo.while" not in program


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (CALL._replace(dtype=jnp.float16), "float16"),
        (CALL._replace(dtype=jnp.float64), "float64"),
        (CALL._replace(proj_size=2), "proj_size must be 0"),
        (CALL._replace(chip="b200"), "not those of b200"),
        (CALL._replace(hidden_size=2048, dtype=jnp.bfloat16), "KiB of shared memory a block, of 227"),
    ],
)
def test_says_what_it_refuses(call: Call, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "NEEDS", (0,))
    assert reason in gpu.refuses(call)


def test_refuses_older_jax_and_other_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "NEEDS", (99, 1))
    assert gpu.refuses(CALL).startswith("it needs JAX 99.1 or later; this is 0.")
    monkeypatch.setattr(gpu, "NEEDS", (0,))
    assert not gpu.refuses(CALL)
    ampere = SimpleNamespace(compute_capability="8.0", device_kind="NVIDIA A100")
    monkeypatch.setattr(jax, "devices", lambda: [ampere])
    assert "NVIDIA A100 has 8.0" in gpu.refuses(CALL)
    assert not gpu.refuses(CALL._replace(chip="h100"))


def test_the_largest_layers() -> None:
    """H up to which the weights fit in shared memory, by cluster; the blocks of every plan hold what they are given."""

    def largest(compute: Any) -> dict[int, int]:
        found = {}
        for hidden_size in range(8, 1024, 8):
            cut = gpu_cluster.plan(hidden_size, compute)
            assert cut.units * cut.blocks == cut.hidden >= hidden_size
            if cut.shared <= gpu_cluster.SHARED_MEMORY:
                found[cut.blocks] = hidden_size
        return found

    assert largest(jnp.bfloat16) == {8: 448, 16: 640}
    assert largest(jnp.float32) == {8: 320, 16: 384}
    with jax.default_matmul_precision("highest"):
        assert largest(jnp.float32) == {8: 192, 16: 256}
