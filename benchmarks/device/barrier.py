"""A barrier for all blocks of a kernel that runs all steps: how long until each has what its neighbour wrote.

`python -m benchmarks.device.barrier gpu BLOCKS STEPS` prints the seconds of a step as JSON. In a process of its own,
since a barrier hangs where not all blocks are at work at once.
"""

import json
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.device.child import child_arguments, run_child
from benchmarks.sampling import Plan, Timed, sample

BARRIER = "barrier in a kernel"
STEPS, LIMIT = 1000, 60.0  # seconds, of which most go to starting JAX
PLAN = Plan(budget=0.4, least=3, most=9)


def barrier(blocks: int) -> Timed:
    """Of so many blocks: no more than there are multiprocessors, so that all are at work at once."""
    found, reason = run_child(__name__, (blocks, STEPS), LIMIT)
    timed, calls, failed = (found["seconds"], found["calls"], {}) if found else ({}, {}, {"jax": reason})
    return Timed("limit", "grid", BARRIER, "jax", timed, calls, failed, shape=f"{blocks} blocks")


def exchange(blocks: int, steps: int) -> Any:
    """A step: each block writes to global memory, waits for all, and reads what the next one wrote.

    To that it adds its own number and that of the step, so that the (2, blocks) int32 that comes back is known: see
    `expected`. Of the two rows one is written while the other may still be read.
    """
    from jax.experimental import pallas as pl
    from jax.experimental.pallas import mosaic_gpu as plgpu

    def body(slots: Any) -> None:
        arrived = pl.get_global(plgpu.SemaphoreType.REGULAR)  # one for all blocks; it only counts up
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
    """What every block wrote last to each of the two rows."""
    slots, seen = np.zeros((2, blocks), np.int32), np.zeros(blocks, np.int32)
    for at in range(steps):
        slots[at % 2] = at + np.arange(blocks) + seen
        seen = np.roll(slots[at % 2], -1)
    return slots


def measured(blocks: int, steps: int) -> dict[str, Any]:
    """Seconds of a step and the calls in a sample, as `sample` gives them; checked before and after."""
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
