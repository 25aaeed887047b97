"""The section of `python -m benchmarks profile`."""

from benchmarks import profile as study
from benchmarks.facts import facts_of
from benchmarks.record import Record
from benchmarks.report.parts import Chart, Group, Section


def section(record: Record) -> Section:
    charts = []
    for measure in dict.fromkeys(row.measure for row in record.rows):
        rows = [
            {"case": row.case, "kind": kind, "value": value, "tip": f"{row.case}, {kind}: {value:.1%}"}
            for row in record.rows
            if row.measure == measure
            for kind, value in row.parts.items()
        ]
        about = f"{measure}: part of the samples of all threads by what they did; the figures are in the table"
        charts.append(Chart("shares", measure, about, rows, wide=True))
    text = "Samples of all threads while one call runs in a loop. The darker, the more of them."
    return Section(
        "Profile",
        "Where the time of the native kernel goes, looked at from outside with Linux's `perf`.",
        [Group("Part of the time by kind of work", text, charts)],
        [study.table(record)],
        facts_of(record),
    )
