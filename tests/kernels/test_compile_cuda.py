"""Programs for H100s are compiled by XLA, Mosaic and NVIDIA's assembler, on a machine without one. Nothing is run."""

import os
import re
import subprocess
import sys
from pathlib import Path

import jax
import pytest

pytest.importorskip("jax_plugins.xla_cuda12", reason='not installed: pip install ".[cuda-compile]"')

from kernels.compiled_step import assert_gradients_are_reduced_once

import jax_lstm as jl
from benchmarks.core import hlo
from benchmarks.core.record import ROOT
from benchmarks.device import cuda
from benchmarks.device.compile_for import compiled
from jax_lstm.kernels.fused import gpu
from jax_lstm.params import Sizes

pytestmark = [
    pytest.mark.usefixtures("compiled_anew"),
    pytest.mark.slow,
    pytest.mark.skipif(jax.__version_info__ < gpu.NEEDS, reason="Mosaic GPU of a newer JAX"),
]


def test_the_kernel_spills_nothing() -> None:
    infer, forward, backward = cuda.compiled_for(sizes=[cuda.Size(128, 64, "bfloat16")])
    for each in (infer, forward, backward):
        assert each.failed == ""
        assert each.spilled == 0
        assert 0 < each.registers <= 255
        assert 0 < each.shared <= 227 * 1024
    assert infer.products == 8  # 128 wide, in four gates, 64 at a time
    assert backward.products == 4 * infer.products


def test_a_size_that_does_not_fit_is_refused_before_the_compiler() -> None:
    found = list(cuda.compiled_for(sizes=[cuda.Size(1024, 64, "bfloat16")]))
    assert [row.failed for row in found] == 3 * ["it needs 537 KiB of shared memory a block, of 227"]


GRAPHS = """
import sys
import jax, jax_lstm as jl
from benchmarks.device.compile_for import compiled
from jax_lstm.params import Sizes

dtype, of = sys.argv[1:]
params = {name: jax.ShapeDtypeStruct(shape, "float32") for name, shape in Sizes(128, 128, 1).shapes().items()}
run = lambda *args: jl.functional.lstm(*args, dtype=dtype, backend="scan")[0].astype("float32").sum()
function = {"inference": run, "training": jax.grad(run, (0, 1))}[of]
compiled(function, params, jax.ShapeDtypeStruct((16, 8, 128), dtype), chip="h100")
"""


@pytest.mark.parametrize(
    ("dtype", "of", "loops_on_the_host"),
    [
        ("bfloat16", "inference", 0),
        ("bfloat16", "training", 0),
        ("float32", "inference", 1),
        ("float32", "training", 1),
    ],
)
def test_loops_in_cuda_graphs(dtype: str, of: str, loops_on_the_host: int, tmp_path: Path) -> None:
    """With the flags of docs/accelerators.md; a step that stores an array as it is keeps its loop out of the graph."""
    page = (ROOT / "docs" / "accelerators.md").read_text(encoding="utf-8")
    flags = f"{re.findall(r'XLA_FLAGS=(--xla_gpu_enable_command_buffer=[A-Z_,]+)', page)[0]} --xla_dump_to={tmp_path}"
    env = os.environ | {"XLA_FLAGS": flags, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
    subprocess.run([sys.executable, "-c", GRAPHS, dtype, of], env=env, check=True, timeout=300)
    (thunks,) = tmp_path.glob("*thunk_sequence_after_thunk_passes.txt")
    lines = thunks.read_text(encoding="utf-8").splitlines()
    launched = [line.split()[1] for line in lines if line[0].isdigit()]  # the others are inside of these
    assert launched.count("kWhile") == loops_on_the_host
    assert launched == ["kCommandBuffer"] or loops_on_the_host
    assert sum("kWhile" in line for line in lines) == (2 if of == "training" else 1)


@pytest.mark.parametrize(("backend", "kernels"), [("auto", (5, 8, 6)), ("scan", (5, 11, 6))])
def test_kernels_a_step(backend: str, kernels: tuple[int, int, int]) -> None:
    """As docs/accelerators.md says: for inference, and in training forward and backward."""
    params = {name: jax.ShapeDtypeStruct(shape, "float32") for name, shape in Sizes(128, 128, 1).shapes().items()}
    xs = jax.ShapeDtypeStruct((16, 8, 128), "bfloat16")

    def run(params: dict[str, jax.Array], xs: jax.Array) -> jax.Array:
        return jl.functional.lstm(params, xs, dtype="bfloat16", backend=backend)[0].astype("float32").sum()

    programs = [compiled(each, params, xs, chip="h100") for each in (run, jax.grad(run, (0, 1)))]
    assert tuple(loop.kernels for each in programs for loop in hlo.read(each.as_text()).loops) == kernels


@pytest.mark.parametrize("kernel", ["auto", "pallas"])
def test_a_training_step_over_eight_gpus(kernel: str) -> None:
    assert_gradients_are_reduced_once("h100:8", kernel)
