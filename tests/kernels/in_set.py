"""Run by test_native_processes.py: the native kernel with the instruction set that JAX_LSTM_ISA names."""

import os

from kernels.cases import CASES, assert_is_the_oracle, run_cases

from jax_lstm.kernels import Fused
from jax_lstm.kernels.fused import native_status

if __name__ == "__main__":
    assert os.environ["JAX_LSTM_ISA"] in native_status(), native_status()
    for dtype in ("float32", "float64", "bfloat16"):
        for case, found in run_cases(Fused("native"), CASES.values(), dtype).items():
            assert_is_the_oracle(found, case, dtype)
    print("agrees")
