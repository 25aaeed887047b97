"""The `scan` kernel with several `unroll`, types and XLA flags.

XLA reads its flags when it starts, so each set of flags has a child process. There, `python -m
benchmarks.device.scan_settings PLATFORM H B T UNROLL...` prints JSON: {"unroll 4, bfloat16, forward": [seconds, ...]}.
"""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks.cases import Case, draw
from benchmarks.contenders.base import BACKWARD, FORWARD
from benchmarks.device.child import child_arguments, run_child
from benchmarks.sampling import Plan, Timed, sample
from jax_lstm import functional
from jax_lstm.kernels import Scan

UNROLLS, DTYPES = (1, 4, 8), ("float32", "bfloat16")
FLAGS = {
    "XLA as it is": "",
    "loops as command buffers": "--xla_gpu_enable_command_buffer=FUSION,CUBLAS,CUBLASLT,CUDNN,CUSTOM_CALL,WHILE",
    "no command buffers": "--xla_gpu_enable_command_buffer=",
}
PLAN = Plan(budget=0.5, least=3, most=9)


def settings(case: Case, unrolls: tuple[int, ...], seconds: float) -> Iterator[Timed]:
    """A row for each set of flags; a child has failed if it exceeds its share of `seconds`."""
    for name, flags in FLAGS.items():
        sizes = (case.hidden_size, case.batch, case.steps, *unrolls)
        found, reason = run_child(__name__, sizes, seconds / len(FLAGS), flags)
        timed, failed = found or {}, {"scan": reason} if reason else {}
        rounds = min(map(len, timed.values()), default=0)
        timed = {key: samples[:rounds] for key, samples in timed.items()}
        first = next(iter(timed), "")
        notes = {"XLA_FLAGS": flags} if flags else {}
        yield Timed("scan", name, "a call", first, timed, failed=failed, shape=case.shape, notes=notes)


def measured(case: Case, unrolls: tuple[int, ...]) -> dict[str, list[float]]:
    """Seconds by `unroll`, type and measure; float32 at JAX's default matmul precision."""
    problem, turns = draw(case), {}
    for unroll in unrolls:
        for dtype in DTYPES:
            params = {name: jnp.asarray(value, dtype) for name, value in problem.params.items()}
            xs = jnp.asarray(problem.xs, dtype)

            def loss(params: Any, xs: Any, unroll: int = unroll) -> Any:
                ys = functional.lstm(params, xs, backend=Scan(unroll=unroll))[0]
                return jnp.mean(jnp.square(ys.astype(jnp.float32)))

            for measure, function in ((FORWARD, jax.jit(loss)), (BACKWARD, jax.jit(jax.value_and_grad(loss, (0, 1))))):
                turns[f"unroll {unroll}, {dtype}, {measure}"] = partial(_blocking, function, params, xs)
    with ThreadPoolExecutor() as pool:  # compile
        list(pool.map(lambda run: run(), turns.values()))
    return sample(turns, PLAN)[0]


def _blocking(function: Any, *arguments: Any) -> None:
    jax.block_until_ready(function(*arguments))


if __name__ == "__main__":
    hidden, batch, steps, *unrolls = child_arguments()
    print(json.dumps(measured(Case(batch, steps, hidden, hidden), tuple(unrolls))))
