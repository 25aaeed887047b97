"""Tables of a record for the terminal and for the page, and the pictures of its curves."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.console import Console

from benchmarks.accuracy.curves import draw
from benchmarks.accuracy.forecasts import BASELINES, INTERVAL, SERIES
from benchmarks.accuracy.goals import first_losses_part, judged, mean, of, ratio, spread
from benchmarks.accuracy.published import ETTH1, LATER, LATER_HORIZONS, TCN
from benchmarks.accuracy.row import OURS, THEIRS, Row
from benchmarks.facts import facts_of
from benchmarks.record import Record
from benchmarks.tables import ABSENT, Table, as_markdown, print_table


def tables(record: Record) -> list[Table]:
    made = [
        _goals(record.rows),
        _series(record.rows),
        _intervals(record.rows),
        *(_etth1(record.rows, table) for table in ETTH1),
    ]
    made += [_memory(record.rows, task) for task in ("adding", "copy")]
    return [table for table in made if table.rows]


def print_tables(console: Console, record: Record) -> None:
    for table in tables(record):
        print_table(console, table)


def markdown(record: Record) -> str:
    """The tables as Markdown, for docs/accuracy.md."""
    return as_markdown(facts_of(record), tables(record), notes(record.rows))


def notes(rows: Sequence[Row]) -> list[str]:
    """How many series and figures of ETTh1 the LSTM forecasts better than the baselines."""
    found = [ratio(rows, name, series.options["horizon"], "mse", series.baselines) for name, series in SERIES.items()]
    known = [one for one in found if one is not None]
    clear = [clearly(rows, table, horizon, figure) for table, horizon, figure in _figures_of_etth1(rows)]
    said = []
    if known:
        said.append(
            f"Of {len(known)} series the LSTM has a lower MSE than every baseline in {sum(one < 1 for one in known)}, "
            f"by more than 1 % in {sum(one < 0.99 for one in known)}; it is never above {max(known):.3f} of theirs."
        )
    if clear:
        said.append(
            f"Of the {len(clear)} figures of ETTh1 it is better than ridge regression, by more than the standard "
            f"deviation over seeds, in {sum(one < 0 for one in clear)}, and worse in {sum(one > 0 for one in clear)}."
        )
    return said


def clearly(rows: Sequence[Row], table: str, horizon: int, figure: str) -> int:
    """-1 if the LSTM's mean error is below that of ridge regression by more than its spread, 1 if above, else 0."""
    ours, ridge = of(rows, table, horizon, OURS), mean(of(rows, table, horizon, "ridge"), figure)
    value, width = mean(ours, figure), spread(ours, figure)
    if ridge is None or value is None or abs(value - ridge) <= (width or 0.0):
        return 0
    return 1 if value > ridge else -1


def _figures_of_etth1(rows: Sequence[Row]) -> list[tuple[str, int, str]]:
    return [
        (table, horizon, figure)
        for table, horizons in ETTH1.items()
        for horizon in horizons
        for figure in ("mse", "mae")
        if of(rows, table, horizon, OURS)
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
        wanted = f"at {'most' if goal['limit'] else 'least'} {_number(goal['wanted'])}"
        met = {True: "yes", False: "no", None: ""}[goal["met"]]
        cells.append((goal["goal"], wanted, _number(goal["reached"]), str(goal["seeds"]), met))
    return Table("Goals; means over seeds", ("goal", "wanted", "reached", "seeds", "met"), cells)


def _series(rows: Sequence[Row]) -> Table:
    cells = []
    for name, series in SERIES.items():
        horizon = series.options["horizon"]
        ours = of(rows, name, horizon, OURS)
        if not ours:
            continue
        others = [_cell(of(rows, name, horizon, who), "mse", ".4g") for who in BASELINES]
        ahead = ratio(rows, name, horizon, "mse", series.baselines)
        cells.append((
            f"{name}, {horizon}", _spread(ours, "mse", "{:.4g}"), *others, ABSENT if ahead is None else f"{ahead:.3f}",
            f"{mean(ours, 'window'):.0f}", f"{np.mean([row.seconds for row in ours]):.1f} s",
        ))  # fmt: skip
    columns = ("series, horizon", "LSTM", *BASELINES, "of the best", "window", "processor time")
    return Table(
        f"Ten series, default options: MSE of the test part, standardised; {_seeds(rows, 'series')}", columns, cells
    )


def _intervals(rows: Sequence[Row]) -> Table:
    cells = []
    for row in (row for row in rows if row.study == "intervals"):
        found = row.figures
        covers = f"{found['share']:.1%} ({found['low']:.1%} to {found['high']:.1%})"
        cells.append(
            (
                f"{row.task}, {row.size}",
                f"{found['windows']:.0f}",
                covers,
                *(f"{found[name]:.4g}" for name in ("width", "score")),
            )
        )
    columns = ("series, horizon", "test windows", "covers (90% block bootstrap)", "mean width", "interval score")
    return Table(f"Calibrated intervals of {INTERVAL:.0%}, means over targets, in their units", columns, cells)


def _etth1(rows: Sequence[Row], table: str) -> Table:
    cells = []
    horizons = sorted({row.size for row in rows if row.study == "etth1" and row.task == table})
    for horizon in horizons:
        ours, ridge = of(rows, table, horizon, OURS), of(rows, table, horizon, "ridge")
        published = ETTH1[table].get(horizon)
        for at, figure in enumerate(("mse", "mae")):
            old = ABSENT if published is None else f"{published[at]:.3f}"
            name = f"{horizon}, {figure.upper()}"
            cells.append((name, _spread(ours, figure), _cell(ridge, figure), *_later(table, horizon, at), old))
    later = tuple(LATER) if table == "multivariate" else ()
    columns = ("horizon", "LSTM", "ridge", *later, "LSTMa")
    return Table(f"ETTh1, {table}: test part, standardised; {_seeds(rows, 'etth1')}", columns, cells)


def _later(table: str, horizon: int, at: int) -> list[str]:
    """The figures of later papers, which are of all seven columns."""
    if table != "multivariate":
        return []
    known = horizon in LATER_HORIZONS
    return [f"{found[LATER_HORIZONS.index(horizon)][at]:.3f}" if known else ABSENT for _, found in LATER.values()]


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


def _seeds(rows: Sequence[Row], study: str) -> str:
    counts = Counter((row.task, row.size) for row in rows if (row.study, row.who) == (study, OURS)).values()
    return f"{'-'.join(map(str, sorted({*counts})))} seeds"


def _cell(rows: Sequence[Row], figure: str, form: str = ".3f") -> str:
    value = mean(rows, figure)
    return ABSENT if value is None else format(value, form)


def _spread(rows: Sequence[Row], figure: str, form: str = "{:.4f}") -> str:
    value, width = mean(rows, figure), spread(rows, figure)
    return form.format(value) + ("" if width is None else f" ± {form.format(width)}")


def _number(value: float | None) -> str:
    return ABSENT if value is None else f"{value:.3g}"
