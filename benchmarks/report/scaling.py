"""The section of `python -m benchmarks scaling`."""

from benchmarks.facts import facts_of
from benchmarks.jit import units
from benchmarks.record import Record
from benchmarks.report import parts
from benchmarks.report.parts import Chart, Group, Section, listed
from benchmarks.scaling.picture import ABOUT, PANELS, curves
from benchmarks.scaling.tables import tables


def section(record: Record) -> Section:
    text = "From the compiled programs, as rings would send them. What follows from it stands in docs/scaling.md."
    compiled_for = ", ".join(dict.fromkeys(row.topology for row in record.rows if row.topology))
    return Section(
        f"Scaling, compiled for {compiled_for}" if compiled_for else "Scaling",
        "What the devices of a training step send each other, counted in the compiled program; nothing was run.",
        [] if compiled_for else [Group(ABOUT, text, [_chart(record, title) for title in PANELS])],
        tables(record),
        facts_of(record),
    )


def _chart(record: Record, title: str) -> Chart:
    points: list[parts.Row] = []
    for at, (name, curve) in enumerate(curves(record.rows, PANELS[title]).items()):
        for devices, value in curve:
            label = units.size(value)
            made = {"contender": name, "line": name, "at": at, "x": devices, "value": value / 2**20}
            points.append(made | {"label": f"{label} on {devices}", "tip": f"{name}, {devices} devices: {label}"})
    words = {"x": "devices", "y": "MiB", "unit": " MiB", "form": ",.4~g"}
    return Chart("curves", title, f"{title}, over devices: {listed(points, 40)}", points, words, wide=True)
