"""The section of `python -m benchmarks frameworks`."""

from benchmarks import frameworks_report as tables
from benchmarks.contenders import CONTENDERS
from benchmarks.contenders.base import BACKWARD
from benchmarks.measures import COMPILE, MEASURES, MEMORY, SECTION
from benchmarks.record import Record
from benchmarks.report import speeds
from benchmarks.report.parts import Group, Section
from benchmarks.sampling import Timed, geometric_mean
from benchmarks.tables import Table

ROOF = (
    "GFLOP/s over arithmetic intensity: what one time step must compute for each byte that it must read or write. "
    "Dashed, above: the measured matrix peak. A number is a case of this contender, grey points are everyone else's. "
    "Cases: {cases}."
)


def section(record: Record) -> Section:
    timed = [row for row in record.of(SECTION) if row.measure in tables.TIMED and row.seconds]
    by_measure = {measure: [row for row in timed if row.measure == measure] for measure in tables.TIMED}
    by_measure = {measure: rows for measure, rows in by_measure.items() if rows}
    explained = speeds.SPEED.format(baseline="torch") + (speeds.PEAK.format(peak=record.peak) if record.peak else "")
    groups = [
        Group("At a glance", "Bars are geometric means over the cases that are chosen, points the cases.",
              [speeds.means(rows, measure) for measure, rows in by_measure.items()]),
        *(Group(f"Throughput, {measure}", f"{MEASURES[measure].about.capitalize()}. {explained}",
                [speeds.ratios(row, record.peak) for row in rows]) for measure, rows in by_measure.items()),
        *(Group(f"Roofline, {measure}", ROOF.format(cases=speeds.numbered_cases(rows)), speeds.roofs(rows, record.peak))
          for measure, rows in by_measure.items() if record.peak),
        Group("Compilation", "Of the gradients, to the first result. What has no stages is one bar.",
              [speeds.compiling(row) for row in record.of(SECTION, COMPILE) if row.seconds]),
        Group("Peak memory", f"{MEASURES[MEMORY].about.capitalize()}, each contender in a process of its own.",
              [speeds.memory(row) for row in record.of(SECTION, MEMORY) if row.memory]),
    ]  # fmt: skip
    return Section(
        "Frameworks",
        "The same LSTMs, with the same weights and inputs, in all frameworks. Who computes something else is not "
        "timed. Sizes are B,T,I,H: rows, time steps, inputs, hidden units.",
        [group for group in groups if group.charts],
        [*tables.overview(record), *_every(record)],
        tables.facts(record),
        BACKWARD if BACKWARD in by_measure else "",
        _tiles(by_measure),
    )


def _every(record: Record) -> list[Table]:
    """The tables of all rows, one under the other: those with the same columns as one."""
    kinds = {COMPILE: "Compilation", MEMORY: "Peak memory"}
    found: dict[str, Table] = {}
    for row in tables.measured(record):
        table, title = tables.details(row, record.peak), kinds.get(row.measure, "Every time")
        rows = [(row.case, row.measure, *cells) for cells in table.rows]
        before = found.get(title, Table(title, ("case", "measure", *table.columns), [], left=3))
        found[title] = before._replace(rows=[*before.rows, *rows])
    return [table for table in found.values() if table.rows]


def _tiles(by_measure: dict[str, list[Timed]]) -> list[tuple[str, str]]:
    """Our fastest kernel that was there."""
    tiles = []
    for measure, rows in by_measure.items():
        names = [name for name in CONTENDERS if CONTENDERS[name].backend and any(name in row.seconds for row in rows)]
        means = {name: [found.median for row in rows if (found := row.ratio(name))] for name in names}
        means = {name: ratios for name, ratios in means.items() if ratios}
        if means:
            name, ratios = max(means.items(), key=lambda mean: geometric_mean(mean[1]))
            count = f"geometric mean of {len(ratios)} cases" if len(ratios) > 1 else rows[0].case
            tiles.append(
                (speeds.times(geometric_mean(ratios)), f"{measure}: speed of {name} relative to PyTorch, {count}")
            )
    return tiles
