"""The section of `python -m benchmarks accuracy`."""

from collections.abc import Sequence

from benchmarks.accuracy.goals import judged, of
from benchmarks.accuracy.published import ETTH1, INFORMER, TCN
from benchmarks.accuracy.report import tables
from benchmarks.accuracy.row import OURS, THEIRS, Row
from benchmarks.facts import facts_of
from benchmarks.record import Record
from benchmarks.report import parts
from benchmarks.report.parts import Chart, Group, Section

WHO = {OURS: 0, "published": 1, "persistence": 3, "linear": 2}  # and their places
TASKS = {"adding": "the adding problem", "copy": "copy memory"}
POINTS = 300  # of a curve, at most


def section(record: Record) -> Section:
    rows = record.rows
    names = [table for table in ETTH1 if any(row.task == table for row in rows)]
    text = (
        f"Published: {INFORMER.paper}, {INFORMER.url}. Ours is the mean over seeds, the "
        "upright line goes from the best to the worst of them. Lower is better."
    )
    curves = f"A line a seed; dotted: guessing and, where there is one, the published loss ({TCN.paper}, {TCN.url})."
    groups = [
        Group("ETTh1, errors over the horizon", text, [_errors(rows, table, at) for table in names for at in (0, 1)]),
        *(
            Group(f"Learning curves, {name}", curves, [_curve(rows, task, size) for size in _sizes(rows, task)])
            for task, name in TASKS.items()
        ),
    ]
    met = [goal["met"] for goal in judged(rows) if goal["met"] is not None]
    return Section(
        "Accuracy",
        "LSTMs trained from scratch, beside published figures.",
        [group for group in groups if group.charts],
        tables(record),
        facts_of(record),
        tiles=[(f"{sum(met)} of {len(met)}", "goals of accuracy met, published figures among them")] if met else [],
    )


def _sizes(rows: Sequence[Row], task: str) -> list[int]:
    return sorted({row.size for row in rows if row.task == task})


def _errors(rows: Sequence[Row], table: str, at: int) -> Chart:
    figure = ("mse", "mae")[at]
    points: list[parts.Row] = []
    for horizon, published in ETTH1[table].items():
        for who, place in WHO.items():
            values = [row.figures[figure] for row in of(rows, table, horizon, who)]
            if who == "published" and of(rows, table, horizon, OURS):
                values = [published[at]]
            if values:
                value = sum(values) / len(values)
                span = {"low": min(values), "high": max(values)}
                tip = f"{who}, {horizon} hours: {value:.3f}"
                made = {"contender": who, "line": who, "at": place, "case": f"{horizon}", "value": value}
                points.append(made | span | {"label": f"{value:.3f} at {horizon}", "tip": tip})
    words = {"x": "horizon, hours", "y": figure.upper()}
    return Chart(
        "errors", f"{table}, {figure.upper()}", f"{table}, {figure}: {parts.listed(points, 40)}", points, words
    )


def _curve(rows: Sequence[Row], task: str, size: int) -> Chart:
    points: list[parts.Row] = []
    ends = []
    for row in rows:
        if (row.task, row.size) != (task, size):
            continue
        at = {OURS: 0, THEIRS: 1}[row.who]
        steps, losses = row.curve["step"], row.curve["loss"]
        every = -(-len(steps) // POINTS)
        line = {"contender": row.who, "line": f"{row.who}, seed {row.seed}", "at": at}
        points += [
            line | {"x": x, "value": loss} for x, loss in list(zip(steps, losses, strict=True))[::every] if loss > 0
        ]
        ends.append(f"{row.who}, seed {row.seed}: {losses[-1]:.3g}")
    first = next(row for row in rows if (row.task, row.size) == (task, size))
    limits = {"guessing": first.guess.get("loss"), "published": first.published.get("loss")}
    last = max(point["x"] for point in points)
    for at, (name, value) in enumerate(limits.items(), 2):
        if value:
            points.append({"line": name, "limit": name, "at": at, "x": last, "value": value})
    words = {"x": "training step", "y": "training loss", "form": "~g"}
    return Chart("limited_losses", f"T={size}", f"{task}, T={size}: loss at the end, {'; '.join(ends)}", points, words)
