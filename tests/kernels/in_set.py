"""Run by test_native_processes.py: the native kernel with the instruction set that JAX_LSTM_ISA names."""

import functools
import os

import jax
import numpy as np
import torch
from kernels import stacked
from kernels.cases import CASES, Case, assert_is_the_oracle, draw, loss, native, run_cases

from jax_lstm.kernels import Fused
from jax_lstm.kernels.fused import native_status


def assert_unmoved_by_torch() -> None:
    """PyTorch sets the tile registers of AMX for other sizes, in the thread that calls the kernel next."""
    case = draw(Case(3, 37, 40, 48), "bfloat16")
    run, found = jax.jit(jax.value_and_grad(functools.partial(loss, native))), []
    for rows in (5, 19, 70):
        found.append(jax.block_until_ready(run(*case[:3])))
        torch.ones(rows, 64, dtype=torch.bfloat16) @ torch.ones(64, 2 * rows, dtype=torch.bfloat16)
    for other in found[1:]:
        jax.tree.map(np.testing.assert_array_equal, found[0], other)


if __name__ == "__main__":
    assert os.environ["JAX_LSTM_ISA"] in native_status(), native_status()
    jax.config.update("jax_cpu_enable_async_dispatch", False)  # all calls in this thread
    assert_unmoved_by_torch()
    for dtype in ("float32", "float64", "bfloat16"):
        for case, found in run_cases(Fused("native"), CASES.values(), dtype).items():
            assert_is_the_oracle(found, case, dtype)
        with jax.enable_x64(dtype == "float64"):
            for count, case in stacked.CASES.values():
                stacked.assert_is_the_oracle(jax.jit(stacked.stack_of(Fused("native"))), case, count, dtype)
    print("agrees")
