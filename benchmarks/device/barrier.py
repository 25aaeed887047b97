"""The time of a barrier across all blocks of a kernel, as a kernel that runs all time steps would need.

It runs in a child process, since the barrier hangs unless all blocks are resident at once.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.core import child
from benchmarks.core.record import FAILED, SECONDS, Row
from benchmarks.core.sampling import Plan, sample

BARRIER = "barrier in a kernel"
STEPS, LIMIT = 1000, 60.0  # seconds; most of them start JAX
PLAN = Plan(budget=0.4, least=3, most=9)


def barrier(blocks: int) -> list[Row]:
    """Measure it for at most as many `blocks` as there are multiprocessors, so that all are resident."""
    found, failed = child.run(__name__, jax.default_backend(), blocks, STEPS, seconds=LIMIT)
    about = {"shape": f"{blocks} blocks"}
    status = FAILED + failed if failed else ""
    return [Row("limit", "grid", "jax", BARRIER, SECONDS, found or [], status=status, about=about)]


def exchange(blocks: int, steps: int) -> Any:
    """In each step, a block writes to global memory, waits for all others, and reads what the next block wrote.

    It writes the sum of what it read, its own index and the step, so the result, (2, blocks) int32, is known: see
    `expected`. There are two rows, since the other one may still be read while one is written.
    """
    from jax.experimental import pallas as pl
    from jax.experimental.pallas import mosaic_gpu as plgpu

    def body(slots: Any) -> None:
        arrived = pl.get_global(plgpu.SemaphoreType.REGULAR)  # shared by all blocks; it only counts up
        block = jax.lax.axis_index("block")

        def step(at: jax.Array, seen: jax.Array) -> jax.Array:
            slots[at % 2, block] = at + block + seen
            plgpu.semaphore_signal(arrived, memory_scope="gpu")
            plgpu.semaphore_wait(arrived, (at + 1) * blocks, decrement=False, memory_scope="gpu")
            return slots[at % 2, (block + 1) % blocks]

        jax.lax.fori_loop(0, steps, step, np.int32(0))

    shape = jax.ShapeDtypeStruct((2, blocks), jnp.int32)
    return jax.jit(plgpu.kernel(body, out_type=shape, grid=(blocks,), grid_names=("block",)))


def expected(blocks: int, steps: int) -> np.ndarray:
    """What `exchange` returns: the last value of every block in each of the two rows."""
    slots, seen = np.zeros((2, blocks), np.int32), np.zeros(blocks, np.int32)
    for at in range(steps):
        slots[at % 2] = at + np.arange(blocks) + seen
        seen = np.roll(slots[at % 2], -1)
    return slots


def measured(platform: str, blocks: int, steps: int) -> list[float]:
    """Seconds per step, from `sample`; results are checked before and after."""
    if platform != jax.default_backend():
        raise RuntimeError(f"JAX runs on {jax.default_backend()}; not on {platform}")
    run, right = exchange(blocks, steps), expected(blocks, steps)

    def check() -> None:
        wrong = int((np.asarray(run()) != right).sum())
        if wrong:
            raise RuntimeError(f"{wrong} of {right.size} values are not what the neighbours wrote")

    check()
    seconds, _ = sample({"jax": lambda: run().block_until_ready()}, PLAN, steps)
    check()
    return seconds["jax"]


if __name__ == "__main__":
    child.answer(measured)
