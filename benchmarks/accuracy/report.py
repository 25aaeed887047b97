"""Tables of a record for the terminal and for the page, and the pictures of its curves."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from benchmarks.accuracy.curves import draw
from benchmarks.accuracy.goals import first_losses_part, judged, mean, of, spread
from benchmarks.accuracy.published import ETTH1, INFORMER, TCN
from benchmarks.accuracy.row import OURS, THEIRS, Row
from benchmarks.facts import facts_of
from benchmarks.record import Record
from benchmarks.tables import ABSENT, Table, as_markdown, print_table


def tables(record: Record) -> list[Table]:
    made = [_goals(record.rows), *(_forecasting(record.rows, table) for table in ETTH1)]
    made += [_memory(record.rows, task) for task in ("adding", "copy")]
    return [table for table in made if table.rows]


def print_tables(console: Console, record: Record) -> None:
    for table in tables(record):
        print_table(console, table)


def markdown(record: Record) -> str:
    """The tables as Markdown, for docs/accuracy.md."""
    return as_markdown(facts_of(record), tables(record), notes(record.rows))


def notes(rows: Sequence[Row]) -> list[str]:
    """Counts of the figures of ETTh1 in which this LSTM, the baselines or the published LSTMa are better."""
    better: Counter[str] = Counter()
    for table, horizons in ETTH1.items():
        for horizon, published in horizons.items():
            for figure, theirs in zip(("mse", "mae"), published, strict=True):
                ours, *others = (mean(of(rows, table, horizon, who), figure) for who in (OURS, "persistence", "linear"))
                persistence, linear = others
                if ours is None or persistence is None or linear is None:
                    return []
                better["ours"] += ours < theirs
                better["naive"] += persistence < theirs
                better["linear"] += linear < ours
    return [
        f"Of the {2 * sum(map(len, ETTH1.values()))} figures of ETTh1 our LSTM is better than the published one in "
        f"{better['ours']}, and so is persistence in {better['naive']}. The linear model is better than our LSTM in "
        f"{better['linear']}."
    ]


def figures(record: Record, folder: Path) -> None:
    """`accuracy-adding.png` and `accuracy-copy.png`: loss over training steps, for each T."""
    for task in ("adding", "copy"):
        rows = [row for row in record.rows if row.task == task]
        if rows:
            draw(folder / f"accuracy-{task}.png", rows)


def _goals(rows: Sequence[Row]) -> Table:
    cells = []
    for goal in judged(rows):
        wanted = f"below {_number(goal['wanted'])}"
        met = {True: "yes", False: "no", None: ""}[goal["met"]]
        cells.append((goal["goal"], wanted, _number(goal["reached"]), str(goal["seeds"]), met))
    return Table("Goals; means over seeds", ("goal", "wanted", "reached", "seeds", "met"), cells)


def _forecasting(rows: Sequence[Row], table: str) -> Table:
    cells = []
    for horizon, published in ETTH1[table].items():
        ours = of(rows, table, horizon, OURS)
        if not ours:
            continue
        others = [of(rows, table, horizon, who) for who in ("persistence", "linear")]
        for at, figure in enumerate(("mse", "mae")):
            name = f"{horizon}, {figure.upper()}"
            cells.append((name, f"{published[at]:.3f}", _spread(ours, figure), *(_cell(o, figure) for o in others)))
    columns = ("horizon", "published LSTMa", f"our LSTM, {len(_seeds(rows, table))} seeds", "persistence", "linear")
    return Table(
        f"ETTh1, {table}, test part, standardised. Published: {INFORMER.paper}, {INFORMER.url}", columns, cells
    )


def _memory(rows: Sequence[Row], task: str) -> Table:
    cells = []
    for length in dict.fromkeys(row.size for row in rows if row.task == task):
        for who in (OURS, THEIRS):
            found = of(rows, task, length, who)
            if not found:
                continue
            first = first_losses_part(rows, task, length) if who == THEIRS else None
            published = found[0].published.get("loss")
            accuracy = mean(found, "accuracy") if "accuracy" in found[0].figures else None
            cells.append(
                (
                    f"T={length}, {who}",
                    str(found[0].config["steps"]),
                    _number(found[0].guess["loss"]),
                    _number(published),
                    _spread(found, "loss", "{:.3g}"),
                    ABSENT if accuracy is None else f"{accuracy:.1%}",
                    str(len(found)),
                    ABSENT if first is None else f"{first:.1e}",
                )
            )
    columns = ("", "steps", "guessing", "published", "loss", "symbols right", "seeds", "first losses part by")
    return Table(f"{task}, sequences never seen in training. Published: {TCN.paper}, {TCN.url}", columns, cells)


def _seeds(rows: Sequence[Row], table: str) -> set[int | None]:
    return {row.seed for row in rows if row.task == table and row.who == OURS}


def _cell(rows: Sequence[Row], figure: str) -> str:
    value = mean(rows, figure)
    return ABSENT if value is None else f"{value:.3f}"


def _spread(rows: Sequence[Row], figure: str, form: str = "{:.4f}") -> str:
    value, width = mean(rows, figure), spread(rows, figure)
    return form.format(value) + ("" if width is None else f" ± {form.format(width)}")


def _number(value: float | None) -> str:
    return ABSENT if value is None else f"{value:.3g}"
