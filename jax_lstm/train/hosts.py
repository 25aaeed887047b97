"""Several hosts: they start together, the first one writes, all stop after the same step."""

import jax
import numpy as np
from jax.experimental import multihost_utils

from jax_lstm.checks import InputError, require


def start(coordinator: str, num_processes: int, process_id: int) -> None:
    """Join the other processes of the run, before JAX is first used.

    Without a coordinator JAX asks SLURM, Open MPI or the Cloud TPU where the others are.

    Raises:
        InputError: only some of the three are given, or the others cannot be found.
    """
    named = {"--coordinator": coordinator, "--num-processes": num_processes, "--process-id": process_id >= 0}
    given = [name for name, value in named.items() if value]
    if given and len(given) < len(named):
        lacks = next(name for name in named if name not in given)
        raise InputError(f"`{lacks}` must be given with {' and '.join(given)}, since they tell together where to start")
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
    """Whether this host is the one that writes files and prints."""
    return jax.process_index() == 0


def wait(name: str) -> None:
    """For all hosts to come here."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(name)


def largest(value: int) -> int:
    """The largest of the hosts' values."""
    if jax.process_count() == 1:
        return value
    return int(np.max(multihost_utils.process_allgather(np.int32(value))))
