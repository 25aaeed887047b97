"""What a record of `accuracy` shows: tables, notes, curves, tiles. Figures are means over seeds."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.accuracy import commands
from benchmarks.accuracy.forecasts import (
    AVERAGED,
    AVERAGED_OPTIONS,
    BASELINES,
    INTERVAL,
    LARGER_LSTM,
    LAST_HORIZON,
    PEERS,
    SERIES,
    THREE_WEEKS,
    UNITS,
)
from benchmarks.accuracy.goals import (
    LENGTHS,
    first_losses_part,
    goals,
    goals_of_larger,
    lower,
    mean,
    of,
    of_the_best,
    ratio,
    spread,
)
from benchmarks.accuracy.published import ETTH1, INFORMER, LATER, LATER_HORIZONS, TCN
from benchmarks.accuracy.row import OURS, THEIRS, Row, from_record
from benchmarks.core.charts import Chart, lines
from benchmarks.core.record import Record
from benchmarks.core.tables import ABSENT, Table
from jax_lstm.train.config import option

CLEARLY = 0.01
TASKS = {"adding": "The adding problem", "copy": "Copy memory"}
POINTS = 120  # of a curve in a chart, at most


def tables(record: Record, *parts: str) -> list[Table]:
    """The tables of `PARTS`, or of some of them, and those of `commands`."""
    rows = from_record(record)
    made = [table for name, of_part in PARTS.items() if name in parts or not parts for table in of_part(rows)]
    return [table for table in [*made, *([] if parts else commands.tables(record))] if table.rows]


def notes(record: Record) -> str:
    """How many series and figures of ETTh1 the LSTM forecasts better than the baselines."""
    rows, said = from_record(record), []
    known = of_the_best(rows)
    sizes = [(table, horizon) for table, horizons in ETTH1.items() for horizon in horizons]
    measured = [each for each in sizes if of(rows, "etth1", *each, OURS)]
    clear = [clearly(rows, *each, figure) for each in measured for figure in ("mse", "mae")]
    if known:
        said.append(
            f"Of {len(known)} series the LSTM has a lower MSE than every baseline in {lower(known)}, "
            f"by more than 1 % in {lower(known, CLEARLY)}; it is never above {max(known):.3f} of theirs."
        )
    if clear:
        said.append(
            f"Of the {len(clear)} figures of ETTh1 it is better than ridge regression, by more than the standard "
            f"deviation over seeds, in {clear.count(-1)}, and worse in {clear.count(1)}."
        )
    return " ".join(said)


def clearly(rows: Sequence[Row], table: str, horizon: int, figure: str) -> int:
    """-1 if the LSTM's mean error is below that of ridge regression by more than its spread, 1 if above, else 0."""
    ours, ridge = of(rows, "etth1", table, horizon, OURS), mean(of(rows, "etth1", table, horizon, "ridge"), figure)
    value, width = mean(ours, figure), spread(ours, figure)
    if ridge is None or value is None or abs(value - ridge) <= (width or 0.0):
        return 0
    return 1 if value > ridge else -1


def _goals(rows: Sequence[Row]) -> Table:
    cells, missing = [], 0
    for goal in goals(rows):
        if goal.met is None:
            missing += 1
            continue
        wanted = f"at {'least' if goal.least else 'most'} {_number(goal.wanted)}"
        reached = (_number(goal.reached, ".4g"), str(goal.seeds or ABSENT), "yes" if goal.met else "no")
        cells.append((goal.text, wanted, *reached))
    notes = (f"Not measured yet: {missing} goals of `benchmarks/accuracy/goals.py`.",) if missing else ()
    return Table("Goals; means over seeds", ("goal", "wanted", "reached", "seeds", "met"), cells, notes=notes)


def _series(rows: Sequence[Row]) -> Table:
    cells = []
    for name, series in SERIES.items():
        horizon = series.options["horizon"]
        ours = of(rows, "series", name, horizon, OURS)
        if not ours:
            continue
        others = [_cell(of(rows, "series", name, horizon, who), "mse", ".4g") for who in BASELINES]
        ahead = ratio(rows, "series", name, horizon, "mse", series.baselines)
        cells.append((
            f"{name}, {horizon}", _spread(ours, "mse", "{:.4g}", "{:.1g}"), *others,
            ABSENT if ahead is None else f"{ahead:.3f}", f"{mean(ours, 'window'):.0f}", _seconds(ours),
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
        sizes = (f"{found[name]:.4g}" for name in ("width", "score"))
        cells.append((f"{row.task}, {row.size}", f"{found['windows']:.0f}", covers, *sizes))
    columns = ("series, horizon", "test windows", "covers (90% block bootstrap)", "mean width", "interval score")
    return Table(f"Calibrated intervals of {INTERVAL:.0%}, means over targets, in their units", columns, cells)


def _peers(rows: Sequence[Row]) -> Table:
    """MSE and processor time of each forecaster."""
    rows, whos = [row for row in rows if row.study == "peers"], (OURS, *PEERS)
    cells = []
    for name, size in dict.fromkeys((row.task, row.size) for row in rows):
        found = [of(rows, "peers", name, size, who) for who in whos]
        seconds = (_seconds(each) if each else ABSENT for each in found)
        cells.append((f"{name}, {size}: MSE", *(_spread(each, "mse", "{:.4g}", "{:.1g}") for each in found)))
        cells.append(("processor time", *seconds))
    title = f"Forecasters of other projects, same test windows, standardised; {_seeds(rows, 'peers')}"
    return Table(title, ("series, horizon", *whos), cells)


def _larger(rows: Sequence[Row]) -> Table:
    rows, cells = [row for row in rows if row.study == "larger"], []
    for name, size in dict.fromkeys((row.task, row.size) for row in rows):
        ridge, ours, more = (of(rows, "larger", name, size, who) for who in ("ridge", OURS, LARGER_LSTM))
        errors = (_spread(each, "mse", "{:.4g}", "{:.1g}") for each in (ridge, ours, more))
        times = " / ".join(_seconds(each) for each in (ours, more) if each)
        cells.append((f"{name}, {size}", *errors, times))
    title = f"MSE of the test part, standardised; {_seeds(rows, 'larger')}"
    verdicts = {True: "reached", False: "missed"}
    notes = tuple(
        f"{goal.text} at most {goal.wanted}: {verdicts[goal.met]}"
        for goal in goals_of_larger(rows)
        if goal.met is not None
    )
    return Table(
        title,
        ("series, horizon", "ridge", OURS, LARGER_LSTM, f"processor time, default / {UNITS} units"),
        cells,
        notes=notes,
    )


def _etth1(rows: Sequence[Row], table: str) -> Table:
    cells = []
    horizons = sorted({row.size for row in rows if row.study == "etth1" and row.task == table})
    for horizon in horizons:
        ours, averaged, ridge = (of(rows, "etth1", table, horizon, who) for who in (OURS, AVERAGED, "ridge"))
        published = ETTH1[table].get(horizon)
        for at, figure in enumerate(("mse", "mae")):
            old = ABSENT if published is None else f"{published[at]:.3f}"
            name = f"{horizon}, {figure.upper()}"
            beside = (_spread(averaged, figure), *_later(horizon, at)) if table == "multivariate" else ()
            cells.append((name, _spread(ours, figure), _cell(ridge, figure), *beside, old))
    later = tuple(LATER) if table == "multivariate" else ()
    columns = ("horizon", OURS, "ridge", *((AVERAGED,) if later else ()), *later, "LSTMa")
    sources = {"LSTMa": INFORMER} | {name: LATER[name][0] for name in later}
    notes = [f"{name}: {source.paper}, {source.url}" for name, source in sources.items()]
    window = f"--window {THREE_WEEKS} up to {LAST_HORIZON} hours"
    notes += [f"{AVERAGED}: `jax-lstm train` with {_as_options(AVERAGED_OPTIONS)}, and {window}"] if later else []
    notes += [_trained_here(row) for row in rows if (row.study, row.task) == ("segrnn", table)]
    return Table(
        f"ETTh1, {table}: test part, standardised; {_seeds(rows, 'etth1')}", columns, cells, notes=tuple(notes)
    )


def _trained_here(row: Row) -> str:
    figures, recipe = row.figures, row.config["recipe"]
    return (
        f"{row.who}, in PyTorch by its authors' options, with the windows of this table, horizon {row.size}: "
        f"MSE {figures['mse']:.4f}, MAE {figures['mae']:.4f}; window {recipe['window']}, seed {row.seed}, "
        f"{figures['epochs']:.0f} epochs, {row.seconds:,.0f} s of processor time, bfloat16 products"
    )


def _as_options(options: Mapping[str, Any]) -> str:
    return " ".join(f"{option(name)} {value}" for name, value in options.items())


def _later(horizon: int, at: int) -> list[str]:
    """The figures of later papers."""
    known = horizon in LATER_HORIZONS
    return [f"{found[LATER_HORIZONS.index(horizon)][at]:.3f}" if known else ABSENT for _, found in LATER.values()]


def _memory(rows: Sequence[Row], task: str) -> Table:
    cells = []
    for length in dict.fromkeys(row.size for row in rows if row.task == task):
        for who in (OURS, THEIRS):
            found = of(rows, task, task, length, who)
            if not found:
                continue
            first = first_losses_part(rows, task, length) if who == THEIRS else None
            accuracy = mean(found, "accuracy") if "accuracy" in found[0].figures else None
            beside = (_number(found[0].guess["loss"]), _number(found[0].published.get("loss")))
            reached = (_spread(found, "loss", "{:.3g}", "{:.1g}"), _number(accuracy, ".1%"))
            alike = (str(len(found)), _number(first, ".1e"))
            cells.append((f"T={length}, {who}", str(found[0].config["steps"]), *beside, *reached, *alike))
    columns = ("", "steps", "guessing", "published", "loss", "symbols right", "seeds", "first losses part by")
    notes = (f"Published: {TCN.paper}, {TCN.url}",)
    return Table(f"{TASKS[task]}, on sequences never seen in training", columns, cells, notes=notes)


# By name, the tables of one subject.
PARTS: dict[str, Callable[[Sequence[Row]], list[Table]]] = {
    "goals": lambda rows: [_goals(rows)] if rows else [],
    "series": lambda rows: [_series(rows), _intervals(rows)],
    "etth1": lambda rows: [_etth1(rows, table) for table in ETTH1],
    "larger": lambda rows: [_larger(rows)],
    "peers": lambda rows: [_peers(rows)],
    "memory": lambda rows: [_memory(rows, task) for task in LENGTHS],
}


def _seconds(rows: Sequence[Row]) -> str:
    return f"{np.mean([row.seconds for row in rows]):,.1f} s"


def _seeds(rows: Sequence[Row], study: str) -> str:
    counts = Counter((row.task, row.size) for row in rows if (row.study, row.who) == (study, OURS)).values()
    return f"{'-'.join(map(str, sorted({*counts})))} seeds"


def _cell(rows: Sequence[Row], figure: str, form: str = ".3f") -> str:
    return _number(mean(rows, figure), form)


def _spread(rows: Sequence[Row], figure: str, form: str = "{:.4f}", width_form: str = "") -> str:
    value, width = mean(rows, figure), spread(rows, figure)
    if value is None:
        return ABSENT
    return form.format(value) + ("" if width is None else f" ± {(width_form or form).format(width)}")


def _number(value: float | None, form: str = ".3g") -> str:
    return ABSENT if value is None else format(value, form)


def charts(record: Record) -> dict[str, list[Chart]]:
    rows, found = from_record(record), {}
    for table, horizons in ETTH1.items():
        measured = sorted({row.size for row in rows if (row.study, row.task) == ("etth1", table)})
        for at, figure in enumerate(("mse", "mae")):
            series = {}
            for who in (OURS, *BASELINES):
                means = {horizon: mean(of(rows, "etth1", table, horizon, who), figure) for horizon in measured}
                series[who] = [(horizon, value) for horizon, value in means.items() if value is not None]
            series["published LSTMa"] = [(horizon, published[at]) for horizon, published in horizons.items()]
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
    rows, made = from_record(record), []
    if known := of_the_best(rows):
        text = (
            "series that the LSTM forecasts, by default options, with a lower error than every baseline; by more than "
            f"1 % {lower(known, CLEARLY)}, and at most {max(known):.3f} times the best baseline's error"
        )
        made.append((f"{lower(known)} of {len(known)}", text))
    memory = [goal.met for goal in goals(rows) if goal.met is not None and goal.text.startswith(tuple(LENGTHS))]
    if memory:
        made.append(
            (f"{sum(memory)} of {len(memory)}", "goals of the adding problem and copy memory met, PyTorch's alike")
        )
    return made
