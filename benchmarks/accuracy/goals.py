"""Goals of the LSTM, and what a record reached: means over its seeds."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from benchmarks.accuracy.forecasts import AVERAGED, LARGER, LARGER_LSTM, SERIES, UNITS
from benchmarks.accuracy.published import ETTH1, MEMORY, guess
from benchmarks.accuracy.row import OURS, THEIRS, Row
from jax_lstm.tasks.verdict import SAME
from jax_lstm.tolerances import TOLERANCES, difference

CLEARLY = 0.5  # of the published figure, or of guessing
WORSE, BETTER = 1.01, 7  # than ridge regression, at most; series in which all baselines are beaten
RIDGE = {96: 0.370, 192: 0.403, 336: 0.426, 720: 0.433}  # ETTh1, seven columns: ridge regression on windows of 336 rows
LARGER_MSE = {"taxi": 0.246, "bicycles": 0.307, "bicycles and weather": 0.275}
LENGTHS = {"adding": (200, 600), "copy": (200, 1000)}


def of(rows: Sequence[Row], study: str, task: str, size: int, who: str) -> list[Row]:
    """Series and intervals have the same tasks."""
    return [row for row in rows if (row.study, row.task, row.size, row.who) == (study, task, size, who)]


def mean(rows: Sequence[Row], figure: str) -> float | None:
    return float(np.mean([row.figures[figure] for row in rows])) if rows else None


def spread(rows: Sequence[Row], figure: str) -> float | None:
    """Standard deviation over seeds, with n - 1; None for one seed."""
    return float(np.std([row.figures[figure] for row in rows], ddof=1)) if len(rows) > 1 else None


class Goal(NamedTuple):
    """`reached` is a mean over so many `seeds`; None if it was not measured."""

    text: str
    wanted: float
    reached: float | None
    seeds: int
    least: bool = False  # `wanted` is the least that is enough, and not the most

    @property
    def met(self) -> bool | None:
        if self.reached is None:
            return None
        return self.reached >= self.wanted if self.least else self.reached <= self.wanted


def goals(rows: Sequence[Row]) -> list[Goal]:
    return [*_series(rows), *_etth1(rows), *_memory(rows), *_alike(rows)]


def first_losses_part(rows: Sequence[Row], task: str, size: int) -> float | None:
    """The largest relative difference of the first losses of the frameworks, over the seeds that they share."""
    ours, theirs = ({row.seed: row for row in of(rows, task, task, size, who)} for who in (OURS, THEIRS))
    shared = ours.keys() & theirs.keys()
    return max((difference(ours[seed].first, theirs[seed].first).relative for seed in shared), default=None)


def ratio(rows: Sequence[Row], study: str, task: str, horizon: int, figure: str, others: Sequence[str]) -> float | None:
    """The figure of our LSTM, a mean over seeds, relative to the least of others."""
    ours = mean(of(rows, study, task, horizon, OURS), figure)
    known = [found for who in others if (found := mean(of(rows, study, task, horizon, who), figure)) is not None]
    return None if ours is None or len(known) < len(others) else ours / min(known)


def lower(ratios: Sequence[float], by: float = SAME) -> int:
    """How many ratios are below 1, by more than the fraction `by`; a smaller one is rounding."""
    return sum(one < 1 - by for one in ratios)


def of_the_best(rows: Sequence[Row]) -> list[float]:
    """The MSE of each series relative to that of its best baseline."""
    sizes = {name: series.options["horizon"] for name, series in SERIES.items()}
    found = [ratio(rows, "series", name, sizes[name], "mse", series.baselines) for name, series in SERIES.items()]
    return [one for one in found if one is not None]


def _series(rows: Sequence[Row]) -> Iterator[Goal]:
    for name, series in SERIES.items():
        horizon = series.options["horizon"]
        seeds = len(of(rows, "series", name, horizon, OURS))
        reached = ratio(rows, "series", name, horizon, "mse", ["ridge"])
        yield Goal(f"{name}: MSE relative to ridge regression", WORSE, reached, seeds)
    known = of_the_best(rows)
    count = float(lower(known)) if len(known) == len(SERIES) else None
    yield Goal("series with a lower MSE than every baseline", BETTER, count, 0, least=True)


def goals_of_larger(rows: Sequence[Row]) -> Iterator[Goal]:
    for name, wanted in LARGER_MSE.items():
        found = of(rows, "larger", name, LARGER[name].options["horizon"], LARGER_LSTM)
        yield Goal(f"{name}, {UNITS} units: MSE", wanted, mean(found, "mse"), len(found))


def _etth1(rows: Sequence[Row]) -> Iterator[Goal]:
    """All figures beside ridge regression; and for all seven columns the MSE that it reaches with a window of 336."""
    for table, horizons in ETTH1.items():
        for horizon in horizons:
            seeds = len(of(rows, "etth1", table, horizon, OURS))
            for figure in ("mse", "mae"):
                text = f"ETTh1 {table}, horizon {horizon}, {figure.upper()} relative to ridge regression"
                yield Goal(text, WORSE, ratio(rows, "etth1", table, horizon, figure, ["ridge"]), seeds)
    for horizon, wanted in RIDGE.items():
        found = of(rows, "etth1", "multivariate", horizon, AVERAGED)
        yield Goal(f"ETTh1 multivariate, horizon {horizon}, {AVERAGED}: MSE", wanted, mean(found, "mse"), len(found))


def _memory(rows: Sequence[Row]) -> Iterator[Goal]:
    for task, lengths in LENGTHS.items():
        for length in lengths:
            found = of(rows, task, task, length, OURS)
            published = MEMORY[task].get(length)
            than = "the published loss" if published else "the loss of guessing"
            wanted = CLEARLY * (published or guess(task, length))
            yield Goal(f"{task}, T={length}, half of {than}", wanted, mean(found, "loss"), len(found))


def _alike(rows: Sequence[Row]) -> Iterator[Goal]:
    for task, lengths in LENGTHS.items():
        for length in lengths:
            theirs = of(rows, task, task, length, THEIRS)
            if not theirs:
                continue  # PyTorch was not run at this T
            text, wanted = f"{task}, T={length}, PyTorch's loss, half of guessing", CLEARLY * guess(task, length)
            yield Goal(text, wanted, mean(theirs, "loss"), len(theirs))
            parted = first_losses_part(rows, task, length)
            text = f"{task}, T={length}, first losses of the two frameworks, relative difference"
            yield Goal(text, TOLERANCES["losses"].float32, parted, len(theirs))
