"""A lock on a run directory: one run at a time."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from jax_lstm.checks import InputError


@contextlib.contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Lock `directory` until the block ends, or the process dies.

    Raises:
        InputError: another process has the lock.
    """
    try:
        import fcntl
    except ImportError:  # Windows, where there is no lock
        yield
        return
    handle = os.open(directory, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"{directory}: another run is at work in this directory") from None
        except OSError:
            pass  # a file system without locks
        yield
    finally:
        os.close(handle)
