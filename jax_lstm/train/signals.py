"""Ctrl-C and SIGTERM: kept until a run can stop with nothing lost."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from jax_lstm.train import hosts


class InterruptedRunError(Exception):
    """Ctrl-C was pressed, or SIGTERM came; the run was saved. The message says how to go on."""

    def __init__(self, message: str, signum: int = signal.SIGINT):
        super().__init__(message)
        self.signum = signum


class Signals:
    """Which of Ctrl-C and SIGTERM has come; of several hosts, to any of them."""

    def __init__(self) -> None:
        self.came: int | None = None

    def agreed(self) -> int | None:
        """The same answer on every host, so that all stop after the same step."""
        return hosts.largest(self.came or 0) or None


@contextmanager
def kept_signals() -> Iterator[Signals]:
    """The first Ctrl-C or SIGTERM is kept; the second one acts as ever."""
    signals = Signals()
    if threading.current_thread() is not threading.main_thread():
        yield signals  # only the main thread may handle signals
        return

    def first(signum: int, frame: Any) -> None:
        signals.came = signum
        restore()

    def restore() -> None:
        for signum, handler in before.items():
            signal.signal(signum, handler)

    before = {signum: signal.signal(signum, first) for signum in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield signals
    finally:
        restore()
