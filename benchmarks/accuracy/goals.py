"""Goals of the LSTM, and what a record reached: means over its seeds."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from benchmarks.accuracy.forecasts import SERIES
from benchmarks.accuracy.published import ETTH1, MEMORY, guess
from benchmarks.accuracy.row import OURS, THEIRS, Row
from jax_lstm.tolerances import TOLERANCES, difference

CLEARLY = 0.5  # of the published figure, or of guessing
WORSE, BETTER = 1.01, 7  # than ridge regression, at most; series in which all baselines are beaten
RIDGE = {96: 0.370, 192: 0.403, 336: 0.426, 720: 0.433}  # ETTh1, seven columns: ridge regression on windows of 336 rows
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
    return [*_series(rows), *_etth1(rows), *_memory(rows), *_alike(rows)]


def first_losses_part(rows: Sequence[Row], task: str, size: int) -> float | None:
    """The largest relative difference of the first losses of the frameworks, over the seeds that they share."""
    ours, theirs = ({row.seed: row for row in of(rows, task, size, who)} for who in (OURS, THEIRS))
    shared = ours.keys() & theirs.keys()
    return max((difference(ours[seed].first, theirs[seed].first).relative for seed in shared), default=None)


def ratio(rows: Sequence[Row], task: str, horizon: int, figure: str, others: Sequence[str]) -> float | None:
    """The figure of our LSTM, a mean over seeds, relative to the least of others."""
    ours = mean(of(rows, task, horizon, OURS), figure)
    known = [found for who in others if (found := mean(of(rows, task, horizon, who), figure)) is not None]
    return None if ours is None or len(known) < len(others) else ours / min(known)


def _goal(text: str, wanted: float, reached: float | None, seeds: int, limit: bool = True) -> dict[str, Any]:
    """A goal that `reached`, a mean over so many seeds, be at most `wanted`; at least, if it is no limit."""
    met = None if reached is None else (reached <= wanted if limit else reached >= wanted)
    return {"goal": text, "wanted": wanted, "limit": limit, "reached": reached, "seeds": seeds, "met": met}


def _series(rows: Sequence[Row]) -> Iterator[dict[str, Any]]:
    better = []
    for name, series in SERIES.items():
        horizon = series.options["horizon"]
        seeds = len(of(rows, name, horizon, OURS))
        yield _goal(
            f"{name}: MSE relative to ridge regression", WORSE, ratio(rows, name, horizon, "mse", ["ridge"]), seeds
        )
        better.append(ratio(rows, name, horizon, "mse", series.baselines))
    count = None if None in better else float(sum(one < 1 for one in better))  # type: ignore[operator]
    yield _goal("series with a lower MSE than every baseline", BETTER, count, 0, limit=False)


def _etth1(rows: Sequence[Row]) -> Iterator[dict[str, Any]]:
    """All figures beside ridge regression; and for all seven columns the MSE that it reaches with a window of 336."""
    for table, horizons in ETTH1.items():
        for horizon in horizons:
            seeds = len(of(rows, table, horizon, OURS))
            for figure in ("mse", "mae"):
                text = f"ETTh1 {table}, horizon {horizon}, {figure.upper()} relative to ridge regression"
                yield _goal(text, WORSE, ratio(rows, table, horizon, figure, ["ridge"]), seeds)
    for horizon, wanted in RIDGE.items():
        found = of(rows, "multivariate", horizon, OURS)
        yield _goal(f"ETTh1 multivariate, horizon {horizon}, MSE", wanted, mean(found, "mse"), len(found))


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
