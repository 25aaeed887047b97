"""Run by test_native_processes.py: the native kernel with the instruction set that JAX_LSTM_ISA names."""

import os

import jax
from problems import Sizes, gradients, native, problem, scan

from jax_lstm.kernels.fused import native_status
from jax_lstm.tolerances import TOLERANCES, difference

BFLOAT16 = 3e-2  # see test_native.py


def main() -> None:
    assert os.environ["JAX_LSTM_ISA"] in native_status(), native_status()
    for sizes, options in (
        (Sizes(5, 33, 19, 37, 9), {"mask": True, "resets": True}),
        (Sizes(4, 1, 1, 50), {"bias": False}),
    ):
        with jax.enable_x64(True):
            expected = gradients(scan, problem(sizes, "float64", **options))
            found = gradients(native, problem(sizes, "float64", **options))
        check("float64", found, expected)
        for dtype in ("float32", "bfloat16"):
            check(dtype, gradients(native, problem(sizes, dtype, **options)), expected)


def check(dtype: str, found: object, expected: object) -> None:
    limit = BFLOAT16 if dtype == "bfloat16" else TOLERANCES["gradients"].of(dtype)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert difference(a, b).relative <= limit, f"{dtype}: {difference(a, b)}"


if __name__ == "__main__":
    main()
    print("agrees")
