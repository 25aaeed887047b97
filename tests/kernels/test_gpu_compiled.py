"""The kernel for NVIDIA GPUs, compiled down to machine code for an H100 that is not here; each in a child process."""

from importlib.util import find_spec
from typing import Any

import jax
import pytest

from benchmarks.device import cuda
from benchmarks.device.cuda import BACKWARD, EXACT, FORWARD, INFER, Size
from jax_lstm.kernels.fused import gpu, gpu_cluster

pytestmark = pytest.mark.usefixtures("compiled_anew")
# The least and the most that a block holds, in each type.
SMALL, LARGE = Size(7, 3, "bfloat16"), [Size(640, 64, "bfloat16"), Size(320, 130, "float32"), Size(192, 64, EXACT)]


@pytest.fixture(autouse=True)
def compiler_is_there() -> None:
    if jax.__version_info__ < gpu.NEEDS or find_spec("jax_cuda12_plugin") is None:
        pytest.skip('a compiler for NVIDIA GPUs: pip install ".[cuda-compile]", with JAX 0.12 or later')


def sized(sizes: list[Size]) -> list[Any]:
    return [pytest.param(size, marks=[] if size == SMALL else [pytest.mark.slow]) for size in sizes]


@pytest.mark.parametrize("size", sized([SMALL, *LARGE]))
def test_fits_a_block_without_spilling(size: Size) -> None:
    rows = list(cuda.compiled_for("h100", [size]))
    assert [row.measure for row in rows] == [INFER, FORWARD, BACKWARD]
    for row in rows:
        assert not row.failed
        assert row.spilled == 0
        assert 0 < row.shared <= gpu_cluster.SHARED_MEMORY
        assert row.products > 0


def test_what_is_too_large_is_refused_before_it_is_compiled() -> None:
    [row, *_] = cuda.compiled_for("h100", [Size(704, 64, "bfloat16")])
    assert row.failed.startswith("it needs 311 KiB of shared memory a block, of 227"), row.failed
