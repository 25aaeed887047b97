"""Throughput of both frameworks in training and inference, with compile time apart."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import jax
import numpy as np

from jax_lstm.compare.contenders import Contender
from jax_lstm.timing import Timing, interleaved, summary


@dataclass(frozen=True)
class Throughput:
    """Timings of training or of inference by framework, and JAX's compile time.

    One sample covers `items` windows, sequences or characters in `calls` batches.
    """

    items: int
    calls: int
    seconds: dict[str, list[float]]
    compile_seconds: float

    def timing(self, framework: str) -> Timing:
        return summary(self.seconds[framework])

    def items_per_second(self, framework: str) -> float:
        return self.items / self.timing(framework).median

    def calls_per_second(self, framework: str) -> float:
        return self.calls / self.timing(framework).median

    @property
    def ratio(self) -> float:
        """JAX's speed relative to PyTorch's: the median of the ratios within each round."""
        return float(np.median(np.divide(self.seconds["PyTorch"], self.seconds["JAX"])))


def throughput(
    contenders: Mapping[str, Contender],
    rows: np.ndarray,
    items_per_row: int,
    samples: int,
    report: Callable[[], None] = lambda: None,
) -> tuple[Throughput, Throughput]:
    """Time training over the batches `rows` (S, B), then inference over the same.

    `contenders["JAX"]` must not have been called, so that its first call compiles. `report` is called per sample.
    """
    results = []
    for do in (lambda one: one.train(rows), lambda one: one.infer(rows)):
        first = _first_call(lambda do=do: do(contenders["JAX"]))
        turns = {name: lambda do=do, one=one: do(one) for name, one in contenders.items()}
        seconds = interleaved(turns, samples, report)
        compiling = max(first - summary(seconds["JAX"]).median, 0.0)
        results.append(Throughput(rows.size * items_per_row, len(rows), seconds, compiling))
    return results[0], results[1]


def payback_epochs(training: Throughput, steps_per_epoch: int) -> float | None:
    """Epochs after which JAX's compile time is paid back; None if JAX is not faster per epoch."""
    per_call = training.timing("PyTorch").median - training.timing("JAX").median
    saved = per_call * steps_per_epoch / training.calls
    return training.compile_seconds / saved if saved > 0 else None


def _first_call(do: Callable[[], object]) -> float:
    jax.clear_caches()  # earlier compilations must not shorten this one
    began = time.perf_counter()
    do()
    return time.perf_counter() - began
