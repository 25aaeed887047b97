"""The time of a barrier across all blocks of a kernel, as a kernel that runs all time steps would need.

`python -m benchmarks.device.barrier gpu BLOCKS STEPS` prints the seconds per step as JSON. It is a child process, since
the barrier hangs unless all blocks are resident at once.
"""

import json
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.device.child import child_arguments, run_child
from benchmarks.sampling import Plan, Timed, sample

BARRIER = "barrier in a kernel"
STEPS, LIMIT = 1000, 60.0  # seconds; most of them start JAX
PLAN = Plan(budget=0.4, least=3, most=9)


def barrier(blocks: int) -> Timed:
    """Measure it for at most as many `blocks` as there are multiprocessors, so that all are resident."""
    found, reason = run_child(__name__, (blocks, STEPS), LIMIT)
    timed, calls, failed = (found["seconds"], found["calls"], {}) if found else ({}, {}, {"jax": reason})
    return Timed("limit", "grid", BARRIER, "jax", timed, calls, failed, shape=f"{blocks} blocks")


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


def measured(blocks: int, steps: int) -> dict[str, Any]:
    """Seconds per step and calls per sample, from `sample`; results are checked before and after."""
    run, right = exchange(blocks, steps), expected(blocks, steps)

    def check() -> None:
        wrong = int((np.asarray(run()) != right).sum())
        if wrong:
            raise RuntimeError(f"{wrong} of {right.size} values are not what the neighbours wrote")

    check()
    seconds, calls = sample({"jax": lambda: run().block_until_ready()}, PLAN, steps)
    check()
    return {"seconds": seconds, "calls": calls}


if __name__ == "__main__":
    print(json.dumps(measured(*child_arguments())))
