"""The `scan` kernel with several `unroll`, types and XLA flags, a child process for each set of flags."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp

from benchmarks.core import child
from benchmarks.core.cases import Case, draw
from benchmarks.core.contenders.base import BACKWARD, FORWARD
from benchmarks.core.contenders.in_jax import ours
from benchmarks.core.record import FAILED, SECONDS, Row
from benchmarks.core.sampling import Plan, sample
from jax_lstm.kernels import Scan

UNROLLS, DTYPES = (1, 4, 8), ("float32", "bfloat16")
FLAGS = {
    "XLA as it is": "",
    "loops as command buffers": "--xla_gpu_enable_command_buffer=FUSION,CUBLAS,CUBLASLT,CUDNN,CUSTOM_CALL,WHILE",
    "no command buffers": "--xla_gpu_enable_command_buffer=",
}
PART = "scan"
PLAN = Plan(budget=0.5, least=3, most=9)


def settings(case: Case, unrolls: tuple[int, ...], seconds: float) -> Iterator[list[Row]]:
    """Rows for each set of flags; a child has failed if it exceeds its share of `seconds`."""
    for name, flags in FLAGS.items():
        platform, share = jax.default_backend(), seconds / len(FLAGS)
        found, failed = child.run(measured, platform, case, unrolls, seconds=share, flags=flags)
        about = {"shape": case.shape} | ({"note": f"XLA_FLAGS={flags}"} if flags else {})
        if failed:
            yield [Row(PART, name, "scan", "a call", status=FAILED + failed, about=about)]
        else:
            yield [Row(PART, name, "scan", setting, SECONDS, taken, about=about) for setting, taken in found.items()]


def measured(platform: str, case: Case, unrolls: tuple[int, ...]) -> dict[str, list[float]]:
    """Seconds by `unroll`, type and measure; float32 at JAX's default matmul precision."""
    if platform != jax.default_backend():
        raise RuntimeError(f"JAX runs on {jax.default_backend()}; not on {platform}")
    problem = draw(case)
    turns = {
        f"unroll {unroll}, {dtype}, {measure}": ours(Scan(unroll=unroll), jnp.dtype(dtype))(problem)[measure].run
        for unroll in unrolls
        for dtype in DTYPES
        for measure in (FORWARD, BACKWARD)
    }
    with ThreadPoolExecutor() as pool:  # compile
        list(pool.map(lambda run: run(), turns.values()))
    return sample(turns, PLAN)[0]
