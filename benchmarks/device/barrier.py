"""A barrier for all blocks of a kernel that runs all steps: how long until each has what its neighbour wrote.

`python -m benchmarks.device.barrier gpu BLOCKS STEPS` prints the seconds of a step as JSON. In a process of its own,
since a barrier hangs where not all blocks are at work at once.
"""

import json
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.device.alone import alone, arguments
from benchmarks.sampling import Plan, Timed, sample

BARRIER = "barrier in a kernel"
STEPS, LIMIT = 1000, 60.0  # seconds, of which most go to starting JAX
PLAN = Plan(budget=0.4, least=3, most=9)


def barrier(blocks: int) -> Timed:
    """Of so many blocks: no more than there are multiprocessors, so that all are at work at once."""
    found, failed = alone(__name__, (blocks, STEPS), LIMIT)
    timed = {"jax": found} if found else {}
    return Timed(
        "limit", "grid", BARRIER, "jax", timed, failed={"jax": failed} if failed else {}, shape=f"{blocks} blocks"
    )


def exchange(blocks: int, steps: int) -> Any:
    """A step: each block writes to global memory, waits for all, and reads what the next one wrote.

    It adds up what it reads, so that the (2, blocks) int32 that comes back is known: see `expected`. Of the two rows
    one is written while the other may still be read.
    """
    from jax.experimental import pallas as pl
    from jax.experimental.pallas import mosaic_gpu as plgpu

    def body(slots: jax.Array) -> None:
        arrived = pl.get_global(plgpu.SemaphoreType.REGULAR)  # one for all blocks; it only counts up
        block = jax.lax.axis_index("block")

        def step(at: jax.Array, seen: jax.Array) -> jax.Array:
            slots[at % 2, block] = at + seen  # type: ignore[index]
            plgpu.semaphore_signal(arrived, memory_scope="gpu")
            plgpu.semaphore_wait(arrived, (at + 1) * blocks, decrement=False, memory_scope="gpu")
            return slots[at % 2, (block + 1) % blocks]

        jax.lax.fori_loop(0, steps, step, np.int32(0))

    shape = jax.ShapeDtypeStruct((2, blocks), jnp.int32)
    return jax.jit(plgpu.kernel(body, out_type=shape, grid=(blocks,), grid_names=("block",)))


def expected(steps: int) -> tuple[int, int]:
    """What every block wrote last to each of the two rows."""
    last, before = ((steps - at) * (steps - at - 1) // 2 for at in (0, 1))
    return (before, last) if steps % 2 == 0 else (last, before)


def measured(blocks: int, steps: int) -> list[float]:
    run = exchange(blocks, steps)
    for row, value in zip(run(), expected(steps), strict=True):
        if not (row == value).all():
            raise ValueError(f"a block read what its neighbour had written before: {row}, not {value}")
    return sample({"jax": lambda: run().block_until_ready()}, PLAN, steps)[0]["jax"]


if __name__ == "__main__":
    print(json.dumps(measured(*arguments(jax.default_backend()))))
