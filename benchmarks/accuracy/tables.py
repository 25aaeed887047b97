"""What a record of `accuracy` shows: goals, tables, curves. Figures are means over seeds."""

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from benchmarks.accuracy import commands
from benchmarks.accuracy.published import ETTH1, INFORMER, MEMORY, TCN, guess
from benchmarks.accuracy.row import OURS, THEIRS, Row, from_record
from benchmarks.core.charts import Chart, lines
from benchmarks.core.record import Record
from benchmarks.core.tables import ABSENT, Table
from jax_lstm.tolerances import TOLERANCES, difference

CLEARLY = 0.5  # of the published figure, or of guessing
LENGTHS = {"adding": (200, 600), "copy": (200, 1000)}
POINTS = 120  # of a curve in a chart, at most
BASELINES = ("persistence", "linear")


def of(rows: Sequence[Row], task: str, size: int, who: str) -> list[Row]:
    return [row for row in rows if (row.task, row.size, row.who) == (task, size, who)]


def mean(rows: Sequence[Row], figure: str) -> float | None:
    return float(np.mean([row.figures[figure] for row in rows])) if rows else None


def spread(rows: Sequence[Row], figure: str) -> float | None:
    """Standard deviation over seeds, with n - 1; None for one seed."""
    return float(np.std([row.figures[figure] for row in rows], ddof=1)) if len(rows) > 1 else None


def first_losses_part(rows: Sequence[Row], task: str, size: int) -> float | None:
    """The largest relative difference of the first losses of the frameworks, over the seeds that they share."""
    ours, theirs = ({row.seed: row for row in of(rows, task, size, who)} for who in (OURS, THEIRS))
    shared = ours.keys() & theirs.keys()
    return max((difference(ours[seed].first, theirs[seed].first).relative for seed in shared), default=None)


def goals(rows: Sequence[Row]) -> Iterator[tuple[str, float, float | None, int]]:
    """Every goal: what is to be below what, what was reached, and over how many seeds."""
    for table, horizons in ETTH1.items():
        for horizon, published in horizons.items():
            found = of(rows, table, horizon, OURS)
            for figure, wanted in zip(("mse", "mae"), published, strict=True):
                yield f"ETTh1 {table}, horizon {horizon}, {figure.upper()}", wanted, mean(found, figure), len(found)
    for task, lengths in LENGTHS.items():
        for length in lengths:
            found, theirs = of(rows, task, length, OURS), of(rows, task, length, THEIRS)
            published, guessed = MEMORY[task].get(length), guess(task, length)
            than = "the published loss" if published else "the loss of guessing"
            yield (
                f"{task}, T={length}, half of {than}",
                CLEARLY * (published or guessed),
                mean(found, "loss"),
                len(found),
            )
            if theirs:  # PyTorch was run at this T
                name = f"{task}, T={length}"
                yield f"{name}, PyTorch's loss, half of guessing", CLEARLY * guessed, mean(theirs, "loss"), len(theirs)
                apart = first_losses_part(rows, task, length)
                text = f"{name}, first losses of the two frameworks, relative difference"
                yield text, TOLERANCES["losses"].float32, apart, len(theirs)


def tables(record: Record) -> list[Table]:
    rows = from_record(record)
    made = [_goals(rows), *(_forecasting(rows, table) for table in ETTH1), *(_memory(rows, task) for task in LENGTHS)]
    return [table for table in [*(made if rows else []), *commands.tables(record)] if table.rows]


def better(rows: Sequence[Row]) -> Counter[str] | None:
    """Of the figures of ETTh1: in how many we and persistence are better than the published, and linear than us."""
    found: Counter[str] = Counter()
    for table, horizons in ETTH1.items():
        for horizon, published in horizons.items():
            for figure, theirs in zip(("mse", "mae"), published, strict=True):
                ours, naive, linear = (mean(of(rows, table, horizon, who), figure) for who in (OURS, *BASELINES))
                if ours is None or naive is None or linear is None:
                    return None
                found["all"] += 1
                found["ours"] += ours < theirs
                found["naive"] += naive < theirs
                found["linear"] += linear < ours
    return found


def notes(record: Record) -> str:
    found = better(from_record(record))
    return (
        f"Of the {found['all']} figures of ETTh1 our LSTM is better than the published one in {found['ours']}, and so "
        f"is persistence in {found['naive']}. The linear model is better than our LSTM in {found['linear']}."
        if found
        else ""
    )


def _goals(rows: Sequence[Row]) -> Table:
    cells = []
    for text, wanted, reached, seeds in goals(rows):
        met = "" if reached is None else "yes" if reached < wanted else "no"
        cells.append((text, f"below {_number(wanted)}", _number(reached), str(seeds), met))
    return Table("Goals; means over seeds", ("goal", "wanted", "reached", "seeds", "met"), cells)


def _forecasting(rows: Sequence[Row], table: str) -> Table:
    cells = []
    for horizon, published in ETTH1[table].items():
        ours = of(rows, table, horizon, OURS)
        for at, figure in enumerate(("mse", "mae") if ours else ()):
            others = (mean(of(rows, table, horizon, who), figure) for who in BASELINES)
            shown = (ABSENT if value is None else f"{value:.3f}" for value in others)
            cells.append((f"{horizon}, {figure.upper()}", f"{published[at]:.3f}", _spread(ours, figure), *shown))
    seeds = len({row.seed for row in rows if row.task == table and row.who == OURS})
    columns = ("horizon", "published LSTMa", f"our LSTM, {seeds} seeds", *BASELINES)
    title = f"ETTh1, {table}, test part, standardised. Published: {INFORMER.paper}, {INFORMER.url}"
    return Table(title, columns, cells)


def _memory(rows: Sequence[Row], task: str) -> Table:
    cells = []
    for length in dict.fromkeys(row.size for row in rows if row.task == task):
        for who in (OURS, THEIRS):
            found = of(rows, task, length, who)
            if not found:
                continue
            first = first_losses_part(rows, task, length) if who == THEIRS else None
            accuracy = mean(found, "accuracy") if "accuracy" in found[0].figures else None
            cells.append(
                (
                    f"T={length}, {who}",
                    str(found[0].config["steps"]),
                    _number(found[0].guess["loss"]),
                    _number(found[0].published.get("loss")),
                    _spread(found, "loss", "{:.3g}"),
                    ABSENT if accuracy is None else f"{accuracy:.1%}",
                    str(len(found)),
                    ABSENT if first is None else f"{first:.1e}",
                )
            )
    columns = ("", "steps", "guessing", "published", "loss", "symbols right", "seeds", "first losses part by")
    return Table(f"{task}, sequences never seen in training. Published: {TCN.paper}, {TCN.url}", columns, cells)


def _spread(rows: Sequence[Row], figure: str, form: str = "{:.4f}") -> str:
    value, width = mean(rows, figure), spread(rows, figure)
    return form.format(value) + ("" if width is None else f" ± {form.format(width)}")


def _number(value: float | None) -> str:
    return ABSENT if value is None else f"{value:.3g}"


def charts(record: Record) -> dict[str, list[Chart]]:
    rows, found = from_record(record), {}
    for table, horizons in ETTH1.items():
        for at, figure in enumerate(("mse", "mae")):
            series = {
                who: [(h, value) for h in horizons if (value := mean(of(rows, table, h, who), figure)) is not None]
                for who in (OURS, *BASELINES)
            } | {"published": [(horizon, published[at]) for horizon, published in horizons.items()]}
            if series[OURS]:
                chart = lines(f"ETTh1, {table}: {figure.upper()} over the horizon", series, "hours")
                found.setdefault("Forecasts: lower is better", []).append(chart)
    for task, length in dict.fromkeys((row.task, row.size) for row in rows if row.first):
        chart = curves(rows, task, length)
        found.setdefault("Learning curves, a line a seed", []).append(chart)
    return found


def curves(rows: Sequence[Row], task: str, length: int) -> Chart:
    """Loss over training steps, and the losses to beat."""
    of_length = [row for row in rows if (row.task, row.size) == (task, length)]
    series = {}
    for row in of_length:
        pairs = list(zip(row.curve["step"], row.curve["loss"], strict=True))
        series[f"{row.who}, seed {row.seed}"] = pairs[:: -(-len(pairs) // POINTS)]
    first = of_length[0]
    levels = {"guessing": first.guess.get("loss"), "published": first.published.get("loss")}
    limits = {name: value for name, value in levels.items() if value}
    return lines(f"{task}, T={length}: training loss", series, "training step", log_x=False, limits=limits)


def tiles(record: Record) -> list[tuple[str, str]]:
    rows = from_record(record)
    found, judged = better(rows), [goal for goal in goals(rows) if goal[2] is not None]
    made = []
    if found:
        text = (
            f"published errors of ETTh1 that our LSTM beats; persistence beats {found['naive']}, and the linear model "
            f"is better than our LSTM in {found['linear']}"
        )
        made.append((f"{found['ours']} of {found['all']}", text))
    others = [wanted > reached for text, wanted, reached, _ in judged if reached is not None and "ETTh1" not in text]
    if others:
        made.append(
            (f"{sum(others)} of {len(others)}", "goals of the adding problem and copy memory met, PyTorch's alike")
        )
    return made
