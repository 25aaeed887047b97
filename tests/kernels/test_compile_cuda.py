"""Programs for H100s are compiled by XLA, Mosaic and NVIDIA's assembler, on a machine without one. Nothing is run."""

import jax
import pytest

pytest.importorskip("jax_plugins.xla_cuda12", reason='not installed: pip install "jax-lstm[cuda-compile]"')

from benchmarks.device import cuda
from benchmarks.scaling.rows import Size, Target
from benchmarks.scaling.step import CALLS, row
from jax_lstm.kernels.fused import gpu

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
        assert each.launches >= 5  # of the loop in plain JAX
    assert infer.products == 8  # 128 wide, in four gates, 64 at a time
    assert backward.products == 4 * infer.products


def test_a_size_that_does_not_fit_is_refused_before_the_compiler() -> None:
    found = list(cuda.compiled_for(sizes=[cuda.Size(1024, 64, "bfloat16")]))
    assert [row.failed for row in found] == 3 * ["it needs 537 KiB of shared memory a block, of 227"]


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
