"""Goals of the LSTM, and what a record reached: means over its seeds."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from benchmarks.accuracy.published import ETTH1, MEMORY, guess
from benchmarks.accuracy.row import OURS, THEIRS, Row
from jax_lstm.tolerances import TOLERANCES, difference

CLEARLY = 0.5  # of the published figure, or of guessing
LENGTHS = {"adding": (200, 600), "copy": (200, 1000)}


def of(rows: Sequence[Row], task: str, size: int, who: str) -> list[Row]:
    return [row for row in rows if (row.task, row.size, row.who) == (task, size, who)]


def mean(rows: Sequence[Row], figure: str) -> float | None:
    return float(np.mean([row.figures[figure] for row in rows])) if rows else None


def spread(rows: Sequence[Row], figure: str) -> float | None:
    """Standard deviation over seeds, with n - 1; None for one seed."""
    return float(np.std([row.figures[figure] for row in rows], ddof=1)) if len(rows) > 1 else None


def judged(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Every goal with what was reached; `reached` and `met` are None if it was not measured."""
    return [*_forecasting(rows), *_memory(rows), *_alike(rows)]


def first_losses_part(rows: Sequence[Row], task: str, size: int) -> float | None:
    """The largest relative difference of the first losses of the frameworks, over the seeds that they share."""
    ours, theirs = ({row.seed: row for row in of(rows, task, size, who)} for who in (OURS, THEIRS))
    shared = ours.keys() & theirs.keys()
    return max((difference(ours[seed].first, theirs[seed].first).relative for seed in shared), default=None)


def _goal(text: str, wanted: float, reached: float | None, seeds: int) -> dict[str, Any]:
    """A goal that `reached`, a mean over so many seeds, be below `wanted`."""
    met = None if reached is None else reached < wanted
    return {"goal": text, "wanted": wanted, "limit": True, "reached": reached, "seeds": seeds, "met": met}


def _forecasting(rows: Sequence[Row]) -> Iterator[dict[str, Any]]:
    for table, horizons in ETTH1.items():
        for horizon, published in horizons.items():
            found = of(rows, table, horizon, OURS)
            for figure, wanted in zip(("mse", "mae"), published, strict=True):
                text = f"ETTh1 {table}, horizon {horizon}, {figure.upper()}"
                yield _goal(text, wanted, mean(found, figure), len(found))


def _memory(rows: Sequence[Row]) -> Iterator[dict[str, Any]]:
    for task, lengths in LENGTHS.items():
        for length in lengths:
            found = of(rows, task, length, OURS)
            published = MEMORY[task].get(length)
            than = "the published loss" if published else "the loss of guessing"
            wanted = CLEARLY * (published or guess(task, length))
            yield _goal(f"{task}, T={length}, half of {than}", wanted, mean(found, "loss"), len(found))


def _alike(rows: Sequence[Row]) -> Iterator[dict[str, Any]]:
    for task, lengths in LENGTHS.items():
        for length in lengths:
            theirs = of(rows, task, length, THEIRS)
            if not theirs:
                continue  # PyTorch was not run at this T
            text, wanted = f"{task}, T={length}, PyTorch's loss, half of guessing", CLEARLY * guess(task, length)
            yield _goal(text, wanted, mean(theirs, "loss"), len(theirs))
            parted = first_losses_part(rows, task, length)
            text = f"{task}, T={length}, first losses of the two frameworks, relative difference"
            yield _goal(text, TOLERANCES["losses"].float32, parted, len(theirs))
