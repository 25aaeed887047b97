"""Programs for H100s are compiled by XLA, Mosaic and NVIDIA's assembler, on a machine without one. Nothing is run."""

import os
import re
import subprocess
import sys
from pathlib import Path

import jax
import pytest

pytest.importorskip("jax_plugins.xla_cuda12", reason='not installed: pip install "jax-lstm[cuda-compile]"')

import jax_lstm as jl
from benchmarks.device import cuda
from benchmarks.device.compile_for import compiled
from benchmarks.jit import hlo
from benchmarks.record import ROOT
from benchmarks.scaling.rows import Size, Target
from benchmarks.scaling.step import CALLS, row
from jax_lstm.kernels.fused import gpu
from jax_lstm.params import Sizes

pytestmark = [
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
import jax, jax_lstm as jl
from benchmarks.device.compile_for import compiled
from jax_lstm.params import Sizes

params = {name: jax.ShapeDtypeStruct(shape, "float32") for name, shape in Sizes(128, 128, 1).shapes().items()}
loss = lambda *args: jl.functional.lstm(*args, dtype="bfloat16", backend="scan")[0].astype("float32").sum()
compiled(jax.grad(loss, (0, 1)), params, jax.ShapeDtypeStruct((16, 8, 128), "bfloat16"), chip="h100")
"""


def test_training_with_scan_is_one_cuda_graph(tmp_path: Path) -> None:
    """With the flags of docs/accelerators.md; a step that stored an array as it is would keep its loop out of it."""
    page = (ROOT / "docs" / "accelerators.md").read_text(encoding="utf-8")
    flags = f"{re.findall(r'XLA_FLAGS=(--xla_gpu_enable_command_buffer=[A-Z_,]+)', page)[0]} --xla_dump_to={tmp_path}"
    env = os.environ | {"XLA_FLAGS": flags, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
    subprocess.run([sys.executable, "-c", GRAPHS], env=env, check=True, timeout=300)
    (thunks,) = tmp_path.glob("*thunk_sequence_after_thunk_passes.txt")
    lines = thunks.read_text(encoding="utf-8").splitlines()
    assert [line.split()[1] for line in lines if line[0].isdigit()] == ["kCommandBuffer"]
    assert sum("kWhile" in line for line in lines) == 2  # forward and backward


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
    """The program of `jax-lstm train text --mesh data=8`: gradients are reduced once a step."""
    found = row(Size(128, 1, 8, 4), 8, 1, Target("h100:8", kernel, "bfloat16"))
    assert found.calls_kernel is (kernel == "pallas")
    assert found.devices == 8
    assert found.number() == found.number("all-reduce") == 1
    assert [each["group"] for each in found.exchanges] == [8]
    assert [each["times"] for each in found.exchanges] == [CALLS]
    assert found.exchanges[0]["bytes"] >= found.parameters - 4 * 4 * 128  # but for one of two equal biases
    assert found.memory["arguments"] > 3 * found.parameters  # with both moments of Adam
