"""Several hosts: joined at the start; the first one writes, and all stop after the same step."""

import jax
import numpy as np
from jax.experimental import multihost_utils

from jax_lstm.checks import InputError, require


def start(coordinator: str, num_processes: int, process_id: int) -> None:
    """Join the other processes of the run; call it before JAX is first used.

    Without a coordinator, JAX asks SLURM, Open MPI or Cloud TPU for the others.

    Raises:
        InputError: only some of the three are given, or the others cannot be reached.
    """
    named = {"--coordinator": coordinator, "--num-processes": num_processes, "--process-id": process_id >= 0}
    given = [name for name, value in named.items() if value]
    if given and len(given) < len(named):
        missing = next(name for name in named if name not in given)
        raise InputError(f"`{missing}` must be given with {' and '.join(given)}; all three are needed")
    if given:
        require(process_id < num_processes, "--process-id", f"be below --num-processes, {num_processes}", process_id)
    try:
        if given:
            jax.distributed.initialize(coordinator, num_processes, process_id)
        else:
            jax.distributed.initialize()
    except (RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"`--distributed`: the processes cannot be joined: {reason}") from None


def writes() -> bool:
    """Whether this host writes files and prints."""
    return jax.process_index() == 0


def wait(name: str) -> None:
    """Barrier across hosts."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(name)


def largest(value: int) -> int:
    """The maximum of `value` over hosts."""
    if jax.process_count() == 1:
        return value
    return int(np.max(multihost_utils.process_allgather(np.int32(value))))
