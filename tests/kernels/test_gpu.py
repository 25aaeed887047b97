"""The kernel for NVIDIA GPUs without one: Pallas's interpreter runs it on a CPU, where a race is an error.

The interpreter fills memory with NaN. Results are compared with the float64 oracle on the same rounded numbers.
`test_mistakes_are_seen` plants mistakes in the source, each of which this must find.
"""

import functools
import inspect
import itertools
import sys
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import oracle
import pytest
from agree import assert_agree

from jax_lstm import functional
from jax_lstm.kernels import Call, Fused
from jax_lstm.kernels.fused import cluster, gpu
from jax_lstm.kernels.fused.arrays import OUTPUTS, Signature, axes, dtype
from jax_lstm.params import Sizes
from jax_lstm.tolerances import difference

needs_mosaic = pytest.mark.skipif(jax.__version_info__ < gpu.NEEDS, reason="Mosaic GPU of a newer JAX")
HIGHEST, TF32, BFLOAT16 = "float32, highest", "float32", "bfloat16"
# Relative to the largest magnitude. TF32 keeps 11 bits, bfloat16 8; states, gates and sums are in float32.
TOLERANCES = {TF32: 2e-3, BFLOAT16: 2e-2}
CALL = Call("cuda", jnp.float32, 4, 2, 3, 5)


class Case(NamedTuple):
    members: int = 1
    steps: int = 3
    batch: int = 3
    hidden_size: int = 7
    bias: bool = True
    reverse: bool = False
    mask: bool = False
    resets: bool = False


CASES = {
    "plain": Case(),
    "without bias": Case(batch=1, bias=False),
    "two clusters, two members": Case(members=2, steps=2, batch=66),
    "reverse, mask, resets": Case(steps=4, reverse=True, mask=True, resets=True),
    "mask, resets": Case(steps=4, mask=True, resets=True),
    "wider than the slots": Case(steps=2, hidden_size=192),  # with three products: fewer chunks fit than there are
}


def draw(case: Case, compute: Any) -> dict[str, np.ndarray]:
    """Operands and cotangents by name, with values that `compute` and the type of the state represent exactly."""
    rng = np.random.default_rng(0)
    size = {"N": case.members, "T": case.steps, "B": case.batch, "I": 4, "H": case.hidden_size}
    size |= {"G": 4 * size["H"], "R": size["H"]}
    names = ["xs", "weight_ih", "weight_hh", *(["bias_ih", "bias_hh"] if case.bias else []), "h0", "c0"]
    found = {}
    for name in (*names, "d_ys", "d_h", "d_c"):
        shape = tuple(size[axis] for axis in axes(name))
        width = size["H"] ** -0.5 if "weight" in name else 1.0
        found[name] = np.array(jnp.asarray(width * rng.standard_normal(shape), dtype(name, compute)))
    if case.mask:
        found["mask"] = rng.random(found["xs"].shape[:3]) < 0.7
        found["xs"] = np.where(found["mask"][..., None], found["xs"], np.nan).astype(found["xs"].dtype)
    if case.resets:
        found["resets"] = rng.random(found["xs"].shape[:3]) < 0.3
    return found


def expected(arrays: dict[str, np.ndarray], reverse: bool) -> dict[str, np.ndarray]:
    """Outputs and gradients of every member, by the oracle."""
    members = []
    for at in range(len(arrays["xs"])):
        own = {
            name: array[at] if array.dtype == bool else array[at].astype(np.float64) for name, array in arrays.items()
        }
        params = {name: own[name] for name in own if name.startswith(("weight", "bias"))}
        options: dict[str, Any] = {name: own[name] for name in ("mask", "resets") if name in own}
        ys, h, c, tapes = oracle.layer(params, own["xs"], own["h0"], own["c0"], reverse=reverse, **options)
        d_params, d_xs, d_h0, d_c0 = oracle.layer_backward(params, tapes, own["d_ys"], own["d_h"], own["d_c"])
        gradients = {f"d_{name}": value for name, value in (d_params | {"xs": d_xs, "h0": d_h0, "c0": d_c0}).items()}
        members.append({"ys": ys, "h": h, "c": c} | gradients)
    return {name: np.stack([member[name] for member in members]) for name in members[0]}


def interpreted(arrays: dict[str, Any], reverse: bool, lowering: Any = gpu, backward: bool = True) -> dict[str, Any]:
    """What `lowering` computes in the interpreter, called as the primitive does."""
    plgpu = cluster.mosaic()

    def run(arrays: dict[str, Any], wanted: tuple[str, ...]) -> dict[str, Any]:
        signature = Signature(tuple(arrays), wanted, reverse, "pallas", None)
        found = jax.block_until_ready(jax.jit(functools.partial(lowering.run, signature))(*arrays.values()))
        return dict(zip(wanted, found, strict=True))

    cotangents = {name: array for name, array in arrays.items() if name in ("d_ys", "d_h", "d_c")}
    operands = {name: array for name, array in arrays.items() if name not in cotangents}
    with plgpu.force_gpu_interpret_mode(plgpu.InterpretGPUParams(detect_races=True, uninitialized_memory="nan")):
        outputs = run(operands, (*OUTPUTS, "gates", "cs", *(["hs"] if "mask" in arrays else [])))
        if not backward:
            return outputs
        known = {"gates": outputs["gates"], "cs": outputs["cs"], "hs": outputs.get("hs", outputs["ys"])}
        wanted = tuple(f"d_{name}" for name in operands if name not in ("mask", "resets"))
        return outputs | run(operands | known | cotangents, wanted)


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
    "no barrier": (cluster, 'plgpu.barrier_wait(self.scratch["together"])', "pass", "RACE"),
    "one buffer to exchange in": (cluster, "turn % 2", "0", "RACE"),
    "a chunk read before it is there": (cluster, "plgpu.barrier_wait(filled.at[slot])", "pass", "RACE"),
    "the slice of another block": (cluster, "self.index * self.cut.units", "0 * self.cut.units", "RACE"),
    "one product of three": (cluster, "for b in range(cut.parts - a)]", "for b in range(1 - a)]", "ys"),
    "gates swapped": (gpu, "_sigmoid(z[0]), _sigmoid(z[1])", "_sigmoid(z[1]), _sigmoid(z[0])", "ys"),
    "a late output": (gpu, 'block.store("ys", _select(valid, next_h, 0.0), at)', 'block.store("ys", h, at)', "ys"),
    "no initial state": (gpu, 'block.load("h0"), block.load("c0")', '*(2 * [0 * block.load("h0")])', "ys"),
    "c of the same step": (gpu, 'block.load("cs", before)', 'block.load("cs", at)', "d_"),
    "a held gradient lost": (gpu, "jnp.where(valid, 0.0, d_h)", "0.0", "d_"),
}


def planted(file: ModuleType, says: str, would_say: str) -> Any:
    """The lowering with one mistake in its source."""
    changed = {}
    for module in (cluster, gpu):
        source = inspect.getsource(module)
        if module is file:
            assert source.count(says) == 1, says
            source = source.replace(says, would_say)
        changed[module.__name__] = ModuleType(module.__name__)
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(sys.modules, module.__name__, changed[module.__name__])
            if module is gpu:
                patch.setitem(sys.modules, cluster.__name__, changed[cluster.__name__])
            exec(compile(source, str(module.__file__), "exec"), changed[module.__name__].__dict__)
    return changed[gpu.__name__]


@needs_mosaic
@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_seen(name: str) -> None:
    file, says, would_say, seen = MISTAKES[name]
    kind = HIGHEST if name == "one product of three" else TF32
    with pytest.raises((AssertionError, jax.errors.JaxRuntimeError), match=seen):
        check(Case(steps=2, mask=True), kind, planted(file, says, would_say), backward=seen == "d_")


@needs_mosaic
def test_a_nan_that_is_held_reaches_no_other_row_and_no_gradient() -> None:
    case = Case(mask=True)
    arrays = draw(case, jnp.float32)
    arrays["mask"][:, :, 1] = False
    arrays["h0"][:, 1] = arrays["c0"][:, 1] = np.nan
    got = interpreted(arrays, case.reverse)
    assert np.isnan(got["h"][:, 1]).all()
    for name, array in got.items():
        if name.startswith(("ys", "d_")):
            assert np.isfinite(array).all(), name


@needs_mosaic
def test_is_what_a_gpu_program_calls() -> None:
    """One kernel forward and one backward, also under `vmap` over rows and over members."""
    params = {name: jax.ShapeDtypeStruct(shape, jnp.float32) for name, shape in Sizes(3, 5, 1).shapes().items()}
    xs = jax.ShapeDtypeStruct((4, 2, 3), jnp.float32)

    def loss(params: Any, xs: Any) -> Any:
        return functional.lstm(params, xs, backend=Fused(lowering="pallas", chip="h100"))[0].sum()

    def several(of: Any, count: int) -> Any:
        return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((count, *leaf.shape), leaf.dtype), of)

    step = jax.grad(loss, (0, 1))
    for function, given in (
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
            cut = cluster.plan(hidden_size, compute)
            assert cut.units * cut.blocks == cut.hidden >= hidden_size
            if cut.shared <= cluster.SHARED_MEMORY:
                found[cut.blocks] = hidden_size
        return found

    assert largest(jnp.bfloat16) == {8: 448, 16: 640}
    assert largest(jnp.float32) == {8: 320, 16: 384}
    with jax.default_matmul_precision("highest"):
        assert largest(jnp.float32) == {8: 192, 16: 256}
