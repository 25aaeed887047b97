"""Ctrl-C and SIGTERM: recorded, and acted on once the run is saved."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from jax_lstm.train import hosts


class InterruptedRunError(Exception):
    """The run was stopped by Ctrl-C or SIGTERM and saved. The message says how to resume it."""

    def __init__(self, message: str, signum: int = signal.SIGINT):
        super().__init__(message)
        self.signum = signum


class Signals:
    """The signal that has arrived; with several hosts, on any of them."""

    def __init__(self) -> None:
        self.received: int | None = None

    def agreed(self) -> int | None:
        """The same answer on every host, so that all stop after the same step."""
        return hosts.largest(self.received or 0) or None


@contextmanager
def deferred_signals() -> Iterator[Signals]:
    """Record the first Ctrl-C or SIGTERM instead of stopping; a second one acts as usual."""
    signals = Signals()
    if threading.current_thread() is not threading.main_thread():
        yield signals  # only the main thread may handle signals
        return

    def first(signum: int, frame: Any) -> None:
        signals.received = signum
        restore()

    def restore() -> None:
        for signum, handler in before.items():
            signal.signal(signum, handler)

    before = {signum: signal.signal(signum, first) for signum in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield signals
    finally:
        restore()
