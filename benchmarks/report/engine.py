"""The section of `python -m benchmarks engine`."""

from benchmarks import engine_tables as tables
from benchmarks.contenders.base import BACKWARD
from benchmarks.facts import timed_facts
from benchmarks.record import Record
from benchmarks.report import speeds
from benchmarks.report.parts import Chart, Group, Row, Section, numbered
from benchmarks.tables import time_of

# Sections of the record beside `layers`, and what is said about them.
FURTHER = {
    "training": ("Training step", "The tutorial's model with Adam. Scanned steps run in one compiled call."),
    "streaming": ("Streaming step", "One time step a call, B=1, 256 units."),
    "bfloat16": ("bfloat16", "The same kernel in float32 is 1."),
    "unroll": ("Unrolled loops", "`scan` with one step a turn is 1."),
    "remat": ("Gradients of a long sequence", "Keeping everything is 1."),
}


def section(record: Record) -> Section:
    groups = []
    for measure in tables.MEASURES:
        rows = record.of("layers", measure)
        explained = speeds.SPEED.format(baseline="torch") + (
            speeds.PEAK.format(peak=record.peak) if record.peak else ""
        )
        groups.append(Group(f"One layer, {measure}", explained, [speeds.ratios(row, record.peak) for row in rows]))
    for name, (title, text) in FURTHER.items():
        charts = [_titled(speeds.ratios(row, 0.0), row.measure) for row in record.of(name) if row.seconds]
        charts += [_titled(speeds.memory(row), "memory") for row in record.of(name) if row.memory]
        groups.append(Group(title, text, charts))
    groups.append(
        Group("Time to compile over T", "Forward and backward: trace, lower and compile.", _compiling(record))
    )
    met = [goal["met"] for goal in record.goals]
    return Section(
        "Engine",
        "Our kernels beside every other LSTM and beside the goals that they are built for. Sizes are B,T,I,H: rows, "
        "time steps, inputs, hidden units.",
        [group for group in groups if group.charts],
        tables.tables(record),
        timed_facts(record),
        BACKWARD,
        [(f"{sum(goal is True for goal in met)} of {len(met)}", "goals of the engine met")] if met else [],
    )


def _titled(chart: Chart, measure: str) -> Chart:
    """Beside charts of other measures, which the choice of a measure leaves alone."""
    rows = [{name: value for name, value in row.items() if name != "measure"} for row in chart.rows]
    return Chart(chart.template, f"{chart.title}: {measure}", chart.about, rows, chart.words)


def _compiling(record: Record) -> list[Chart]:
    found = record.of("compiling")
    places = numbered(name for row in found for name in row.seconds)
    rows: list[Row] = []
    for row in found:
        for name in row.seconds:
            steps, seconds = int(row.shape.split(",")[1]), row.timing(name).median
            tip = f"{name}, T={steps}: {time_of(seconds)}"
            made = {"contender": name, "line": name, "at": places[name], "x": steps, "value": seconds, "tip": tip}
            rows.append(made | {"label": f"{time_of(seconds)} at T={steps}"})
    words = {"x": "T, time steps", "y": "time to compile", "unit": "s", "form": "~s"}
    about = "Time to compile over T: " + ", ".join(f"{row['contender']} {row['label']}" for row in rows)
    return [Chart("curves", "Time to compile", about, rows, words, wide=True)] if rows else []
