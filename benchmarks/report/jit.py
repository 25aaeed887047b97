"""The section of `python -m benchmarks jit`."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from benchmarks.facts import facts_of
from benchmarks.jit import tables, units
from benchmarks.jit.programs import BOTH
from benchmarks.jit.rows import Row
from benchmarks.record import Record
from benchmarks.report import parts
from benchmarks.report.parts import Chart, Group, Section, listed, numbered
from benchmarks.report.speeds import family, times
from benchmarks.tables import Table
from jax_lstm.timing import summary

Value = Callable[[Row], float | None]


class Figure(NamedTuple):
    """What is shown of a row: nothing where it is None or 0, since most axes are logarithmic."""

    title: str
    axis: str
    unit: str
    value: Value
    text: Callable[[float | None], str]


STAGES = Figure("Time to compile", "trace, lower and compile", "s", lambda row: row.stages, units.seconds)
CALL = Figure("Time of a call", "a call", "s", lambda row: row.timing.median, units.seconds)
STEP = Figure("Time of a step", "a call / T", "s", lambda row: row.timing.median / row.steps, units.seconds)
CODE = Figure("Size of the program", "HLO instructions", "", lambda row: row.instructions, units.count)
MEMORY = Figure(
    "Temporary memory",
    "MiB",
    " MiB",
    lambda row: (row.temporary_bytes or 0) / 2**20,
    lambda value: units.size((value or 0) * 2**20),
)
FIRST = Figure(
    "First call", "first call", "s", lambda row: summary(row.first).median if row.first else None, units.seconds
)
COMPILATIONS = Figure("Compilations", "compilations", "", lambda row: row.compilations, units.count)
PAYS = Figure("Calls until jit has paid", "calls", "", lambda row: row.pays_after, units.count)

# What is varied over numbers: the attribute of a row, the name of the axis, and what is shown over it.
SWEPT: dict[str, tuple[str, str, str, tuple[Figure, ...]]] = {
    "steps": ("Over the number of time steps", "steps", "T", (CALL, STEP, STAGES, CODE, MEMORY)),
    "hidden": ("Over the number of hidden units", "hidden_size", "H", (CALL, STAGES, MEMORY)),
    "layers": ("Over the number of layers", "layers", "L", (CALL, STAGES, CODE)),
}
# What is varied over ways, and what is shown of each beside its speed.
WAYS: dict[str, tuple[str, tuple[Figure, ...]]] = {
    "base": ("One size, all ways to write it", (STAGES, FIRST, CODE, MEMORY, PAYS)),
    "shapes": ("Ten lengths: a compilation for each, or padding", (COMPILATIONS, FIRST)),
    "precision": ("float32 and bfloat16", ()),
    "devices": ("Rows spread over devices of the host", (STAGES,)),
}
SPEED = (
    "Speeds start at 1, that of eager `torch.nn.LSTM`, and go right where faster; the thin line joins the quartiles "
    "over rounds of the ratio within a round."
)


def section(record: Record) -> Section:
    rows = [row for row in record.rows if row.seconds]
    places = numbered(row.variant for row in rows if row.sweep in SWEPT)
    groups = [
        *(Group(title, SPEED, _ways(rows, sweep, figures)) for sweep, (title, figures) in WAYS.items()),
        *(
            Group(title, "", [chart for figure in figures for chart in _curves(rows, sweep, by, label, figure, places)])
            for sweep, (title, by, label, figures) in SWEPT.items()
        ),
    ]
    measures = {row.measure for row in rows}
    return Section(
        "Jit",
        "One LSTM written in many ways: what it costs to compile each, and what that buys. Sizes are B,T,I,H,L: rows, "
        "time steps, inputs, hidden units, layers. What follows from it stands in docs/jit.md.",
        [group for group in groups if group.charts],
        [_table(*each[:3]) for each in (tables.verdicts(record), *tables.legends(record), *tables.tables(record))],
        facts_of(record),
        BOTH if BOTH in measures else "",
    )


def _table(title: str, columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> Table:
    return Table(title, columns, rows, left=2 if len(columns) == 2 else 1)


def _grouped(rows: Sequence[Row], sweep: str) -> list[list[Row]]:
    """Those that were sampled in turns."""
    found = [row for row in rows if row.sweep == sweep]
    return [[row for row in found if row.group == group] for group in dict.fromkeys(row.group for row in found)]


def _ways(rows: Sequence[Row], sweep: str, figures: tuple[Figure, ...]) -> list[Chart]:
    charts = []
    for group in _grouped(rows, sweep):
        size = f"{group[0].measure}, {group[0].shape}"
        made = [_speed(group, size), *(_bars(group, size, figure) for figure in figures)]
        charts += [chart for chart in made if chart.rows]
    return charts


def _row(row: Row) -> parts.Row:
    return {"case": row.sweep, "measure": row.measure, "contender": row.variant, "family": _family(row.variant)}


def _family(variant: str) -> str:
    """A variant that is named after a kernel of ours is ours, and the others are plain JAX."""
    found = family(variant.split(" ")[0] if variant.startswith("torch") else variant)
    return "ours" if "kernel" in variant else "other JAX" if found == "other" or variant.startswith("scan") else found


def _speed(group: Sequence[Row], size: str) -> Chart:
    rows = []
    for row in group:
        if not row.speed:
            continue
        median, low, high = row.speed
        doubtful = tables.WIDE * median < high - low
        label, tip = (
            f"{'~' * doubtful}{times(median)}",
            f"{row.variant}: {units.seconds(row.timing.median)}, {row.about}",
        )
        figures = {"value": median, "low": low, "high": high, "doubtful": doubtful}
        rows.append(_row(row) | figures | {"label": label, "part": "", "tip": tip})
    return Chart("ratios", f"Speed: {size}", f"Speed relative to PyTorch, {size}: {listed(rows)}", rows)


def _bars(group: Sequence[Row], size: str, figure: Figure) -> Chart:
    rows = []
    for row in group:
        if value := figure.value(row):
            label = figure.text(value)
            rows.append(_row(row) | {"value": value, "label": label, "tip": f"{row.variant}: {label}"})
    about = f"{figure.title}, {size}: {listed(rows)}"
    return Chart("bars", f"{figure.title}: {size}", about, rows, _words(figure))


def _words(figure: Figure) -> dict[str, str]:
    return {"y": figure.axis, "unit": figure.unit, "form": "~s" if figure.unit == "s" else ",.4~g"}


def _curves(
    rows: Sequence[Row], sweep: str, by: str, label: str, figure: Figure, places: dict[str, int]
) -> list[Chart]:
    charts = []
    for measure in dict.fromkeys(row.measure for row in rows if row.sweep == sweep):
        points: list[parts.Row] = []
        for row in rows:
            value = figure.value(row) if row.sweep == sweep and row.measure == measure else None
            if value:
                size, text = getattr(row, by), figure.text(value)
                tip = f"{row.variant}, {label}={size}: {text}"
                made = _row(row) | {"line": row.variant, "at": places[row.variant], "x": size, "value": value}
                points.append(made | {"label": f"{text} at {label}={size}", "tip": tip})
        words = {"x": label} | _words(figure)
        about = f"{figure.title} over {label}, {measure}: {listed(points, 40)}"
        if points:
            charts.append(Chart("curves", f"{figure.title}: {measure}", about, points, words, wide=True))
    return charts
