"""What a record of `speed` shows: tables, charts, and the figures that head the report."""

from collections.abc import Iterable

from benchmarks.core import tables as units
from benchmarks.core.charts import Bar, Chart, all_speeds, bars, lines
from benchmarks.core.compiling import STAGES
from benchmarks.core.contenders import BASELINE, CONTENDERS
from benchmarks.core.contenders.base import BACKWARD, FORWARD
from benchmarks.core.record import Record, Row
from benchmarks.core.sampling import Ratio, mean_ratio
from benchmarks.core.tables import ABSENT, Table, pivot
from benchmarks.speed.comparison import COMPILE, MEMORY, PART, TIMED
from benchmarks.speed.goals import goals
from benchmarks.speed.kernels import AUDIO, BESIDE_TORCH, BFLOAT16, STACKS
from benchmarks.speed.scaling import LINKS

MOST_COLUMNS = 6  # of ways that fit beside each other
CONTROL = "torch compile"  # runs the same code as PyTorch
VARIED = {
    BFLOAT16: "bfloat16 relative to the same kernel in float32",
    BESIDE_TORCH: "In bfloat16, relative to PyTorch",
    AUDIO: "One row of one input, 1024 steps a call: time of a call, and speed relative to PyTorch",
    STACKS: "The layers of a stack together, relative to one after the other",
    "unroll": "scan with its loop unrolled, relative to one step a turn",
    "directions": "Both directions in one call, relative to one call each",
    "remat": "Gradients of a long sequence, relative to keeping everything",
    "training": "The tutorial's training step, relative to PyTorch's",
    "compiling": "Compile time over T, speed relative to native",
    "ensemble": "Many models at once, a training step of all, relative to PyTorch one by one",
}
SHARES = (
    "products", "dW", "cells", "packing", "waiting", "memory", "other", "XLA", "Python", "system"
)  # fmt: skip


def names(rows: Iterable[Row]) -> list[str]:
    """Contenders, in the order of the table of contenders."""
    found = dict.fromkeys(row.contender for row in rows)
    return [*(name for name in CONTENDERS if name in found), *(name for name in found if name not in CONTENDERS)]


def mean(record: Record, measure: str, name: str) -> tuple[Ratio, int] | None:
    """The geometric mean over the cases that were measured, and their number."""
    pairs = [
        (baseline.samples, row.samples)
        for row in record.of(PART, "", measure, name)
        if row.samples and (baseline := record.row(PART, row.case, measure, BASELINE))
    ]
    return (mean_ratio(pairs), len(pairs)) if pairs else None


def answer(record: Record) -> Table:
    """Geometric means over cases, with intervals, and the range of the cases."""
    rows = []
    for name in names(record.of(PART)):
        cells = []
        for measure in (FORWARD, BACKWARD):
            found = mean(record, measure, name)
            each = [ratio.median for row in record.of(PART, "", measure, name) if (ratio := record.ratio(row))]
            cells += [ABSENT] * 2 if found is None else [interval(found[0]), f"{min(each):.2f} to {max(each):.2f}"]
        if name != BASELINE and set(cells) != {ABSENT}:
            rows.append((name, CONTENDERS[name].about if name in CONTENDERS else "", *cells))
    columns = ("contender", "what it is", FORWARD, "over the cases", BACKWARD, "over the cases")
    return Table(
        "Speed relative to PyTorch's LSTM: geometric mean, 95 % interval; range of the cases", columns, rows, 2
    )


def beside(table: Table, other: Record) -> Table:
    """The table with the means of another record, forward / forward+backward, in a further column."""

    def cell(name: str) -> str:
        found = [mean(other, measure, name) for measure in (FORWARD, BACKWARD)]
        return " / ".join(str(each[0]) if each else ABSENT for each in found)

    column = f"{other.environment['cpu']}, {other.threads} cores: {FORWARD} / {BACKWARD}"
    rows = [(*row, cell(row[0])) for row in table.rows]
    return table._replace(columns=(*table.columns, column), rows=rows)


def interval(found: Ratio) -> str:
    return f"{found} [{found.low:.2f}, {found.high:.2f}]"


def glance(record: Record, *measures: str) -> Table:
    """The speed of every contender at every case, in each of the measures."""
    rows = [row for measure in measures for row in record.of(PART, "", measure)]
    shapes = {row.case: f"{row.case} ({row.about['shape']})" for row in rows}

    def speed(case: str, measure: str, name: str) -> str:
        found = next(iter(record.of(PART, case, measure, name)), None)
        return ABSENT if found is None else "failed" if found.failed else str(record.ratio(found) or ABSENT)

    def cell(case: str, name: str) -> str:
        return " / ".join(speed(case.partition(" (")[0], measure, name) for measure in measures)

    columns = [name for name in names(row for row in rows if row.samples or row.failed) if name != BASELINE]
    title = f"Speed relative to PyTorch, {' / '.join(measures)}"
    return pivot(title, "case (B,T,I,H)", shapes.values(), columns, cell)


def details(record: Record) -> Table:
    """Every time, with its interval."""
    rows = []
    for row in record.of(PART):
        if row.measure not in TIMED or row.status.endswith("time was up"):
            continue
        found, note = record.ratio(row), row.about.get("note", "")
        if not row.samples:
            rows.append((row.case, row.measure, row.contender, *[ABSENT] * 5, row.status))
            continue
        part = f"{row.rate / record.peak:.0%}" if record.peak else ABSENT
        remark = ", ".join(filter(None, (found.doubt if found else "", note)))
        between = f"{found.low:.2f} to {found.high:.2f}" if found and row.contender != row.baseline else ABSENT
        figures = (units.seconds(row.value), str(found or ABSENT), between, f"{row.rate / 1e9:,.1f}", part, remark)
        rows.append((row.case, row.measure, row.contender, *figures))
    columns = ("case", "measure", "contender", "median", "speed", "95 % interval", "GFLOP/s", "of peak", "remark")
    return Table("Every time", columns, rows, left=3)


def figures(record: Record, measure: str, title: str) -> Table:
    """Figures that are compared directly: memory, or time to compile by stage."""
    stages = [f"{COMPILE}: {stage}" for stage in (*STAGES, "first call")] if measure == COMPILE else []
    rows = []
    for row in record.of(PART, "", measure):
        if row.samples:
            by_stage = (units.seconds(record.value(PART, row.case, stage, row.contender)) for stage in stages)
            rows.append((row.case, row.contender, units.figure(row.value, row.unit), *by_stage))
    return Table(title, ("case", "contender", measure, *(s.partition(": ")[2] for s in stages)), rows, left=2)


def varied(record: Record, part: str) -> Table:
    """A kernel in several ways: a row for each case and measure, a column for each way, with its time and speed.

    With a single case and many ways, a row for each way.
    """
    rows: dict[str, dict[str, str]] = {}
    measures = {row.measure for row in record.of(part)}
    for row in record.of(part):
        name = f"{row.case} ({row.about['shape']})" if "shape" in row.about else row.case
        name += f", {row.measure}" * (len(measures) > 1)
        speed = record.ratio(row) if row.baseline else None
        cell = units.figure(row.value, row.unit) if row.samples else "failed" if row.failed else ABSENT
        rows.setdefault(name, {})[row.contender] = f"{cell} ({speed})" if speed else cell
    ways = dict.fromkeys(way for cells in rows.values() for way in cells)
    if len(rows) == 1 and len(ways) > MOST_COLUMNS:
        ((name, cells),) = rows.items()
        return Table(f"{VARIED[part]}: {name}", ("variant", "time (speed)"), list(cells.items()))
    return pivot(VARIED[part], "case", rows, ways, lambda name, way: rows[name].get(way))


def control(record: Record) -> str:
    """How far PyTorch is from itself."""
    rows = [row for row in record.of(PART, "", "", CONTROL) if row.measure in TIMED]
    ratios = [found.median for row in rows if (found := record.ratio(row))]
    if not ratios:
        return ""
    return f"{min(ratios):.2f} to {max(ratios):.2f} times as fast ({len(ratios)} rows)"


def scaling(record: Record) -> list[Table]:
    """For each model, the communication of a training step and lower bounds on its time."""
    made = []
    for who in dict.fromkeys(row.contender for row in record.of("scaling")):
        rows = record.of("scaling", contender=who)
        about, cases = rows[0].about, list(dict.fromkeys(row.case for row in rows))
        title = f"{who}, {about['layers']} layers, {about['steps']} time steps, {about['rows']} rows a device"
        measures = {row.measure: row.unit for row in rows if row.measure != "compile"}

        def cell(case: str, measure: str, who: str = who, known: dict[str, str] = measures) -> str | None:
            value = record.value("scaling", case, measure, who)
            return None if value is None else units.figure(value, known[measure])

        note = (
            "Of one training step and one device. Held: of the parameters; sent: bytes that a device of a ring sends."
        )
        made.append(pivot(f"What a training step exchanges: {title}", "mesh", cases, measures, cell, notes=(note,)))
        if "topology" in about:
            continue
        flops = record.value("scaling", cases[0], "products", who) or 0.0
        notes = tuple(
            f"{name}: a device sends {link.bandwidth / 1e9:,.0f} GB/s ({link.source}); the products of a step take at "
            f"least {units.seconds(flops / link.peak)}, at {link.peak / 1e12:,.0f} TFLOP/s in bfloat16"
            for name, link in LINKS.items()
        )

        def least(case: str, link: str, who: str = who) -> str:
            return units.seconds((record.value("scaling", case, "sent", who) or 0.0) / LINKS[link].bandwidth)

        sent = [case for case in cases if record.value("scaling", case, "sent", who)]
        made.append(
            pivot(f"The least time in links by published speeds: {title}", "mesh", sent, LINKS, least, notes=notes)
        )
    return made


def iterations(record: Record) -> Table:
    def cell(model: str, column: str) -> str | None:
        row = record.of("iterations", model)[0]
        if column in row.about:
            return f"{row.about[column]:,}"
        if column == "loss":
            loss = record.value("iterations", model, "loss", "parallel")
            return None if loss is None else f"{loss:.3g}"
        end = ", TF32" * (column != "float32")
        values = [record.value("iterations", model, way + end, "parallel") for way in ("forward", "backward")]
        return " / ".join(ABSENT if value is None else f"{value:.0f}" for value in values)

    models = dict.fromkeys(row.case for row in record.of("iterations"))
    notes = ("-: not trained; or not converged, since the gradient overflows float32",)
    title = "Iterations, forward / backward, of one row"
    return pivot(title, "weights", models, ("T", "H", "loss", "float32", "tolerance of TF32"), cell, notes=notes)


def profile(record: Record) -> Table:
    rows = []
    for row in record.of("profile"):
        if ": " in row.measure:
            continue
        shares = [record.value("profile", row.case, f"{row.measure}: {kind}", "native") for kind in SHARES]
        cores = record.value("profile", row.case, f"{row.measure}: cores", "native")
        known = (units.seconds(row.value), f"{row.rate / 1e9:,.0f}", f"{cores:.1f}")
        rows.append((row.case, row.measure, *known, *(f"{share or 0:.0%}" for share in shares)))
    columns = ("case", "pass", "time", "GFLOP/s", "cores", *SHARES)
    return Table("Where the time goes: part of the samples of all threads", columns, rows, left=2)


def tables(record: Record) -> list[Table]:
    made = [answer(record), *(glance(record, measure) for measure in TIMED), details(record)]
    made += [figures(record, COMPILE, "Time to compile gradients"), figures(record, MEMORY, "Peak memory of training")]
    made += [varied(record, part) for part in VARIED] + scaling(record)
    made += [iterations(record), profile(record)]
    if record.of(PART) or record.of("bfloat16"):
        made.append(goals([record]))
    return [table for table in made if table.rows]


def mean_chart(record: Record, measure: str) -> Chart:
    rows = []
    for name in names(record.of(PART, "", measure)):
        found = mean(record, measure, name) if name != BASELINE else None
        if found:
            each = [ratio.median for row in record.of(PART, "", measure, name) if (ratio := record.ratio(row))]
            ratio = found[0]
            label = f"{ratio} ({found[1]})"
            rows.append(Bar(name, ratio.median, label, ratio.low, ratio.high, bool(ratio.doubt), tuple(each)))
    return bars(f"Speed relative to PyTorch, {measure}: geometric mean of cases (points)", rows, one=1.0)


def charts(record: Record) -> dict[str, list[Chart]]:
    """Charts by heading."""
    measured = [measure for measure in TIMED if record.of(PART, "", measure)]
    found = {"At a glance": [mean_chart(record, measure) for measure in measured]}
    found["Case by case"] = all_speeds(record, PART)
    found |= {VARIED[part]: all_speeds(record, part) for part in VARIED}
    sizes: dict[str, list[Bar]] = {}
    for row in record.of(PART, "", MEMORY):
        if row.samples:
            sizes.setdefault(row.case, []).append(Bar(row.contender, row.value / 2**20, units.size(row.value)))
    found["Peak memory of a training step, MiB"] = [bars(case, each) for case, each in sizes.items()]
    if any("topology" not in row.about for row in record.of("scaling")):
        found["What a device sends in a training step"] = [scaling_chart(record)]
    return {title: each for title, each in found.items() if each}


def scaling_chart(record: Record) -> Chart:
    series: dict[str, list[tuple[float, float]]] = {}
    for row in record.of("scaling", "", "sent"):
        if row.value and "topology" not in row.about:
            name = f"{row.contender}, model={row.about['model']}"
            series.setdefault(name, []).append((row.about["data"] * row.about["model"], row.value / 2**20))
    return lines("MiB that each device sends in a training step, over the number of devices", series, "devices")


def tiles(record: Record) -> list[tuple[str, str]]:
    """What was found, with its uncertainty."""
    found, cpu = [], record.environment["cpu"]
    for measure in TIMED:
        known = mean(record, measure, "native")
        if known:
            ratio, number = known
            cases = f"{number} cases" if number > 1 else "one case"
            text = f"{measure}: our kernel beside PyTorch's, 95 % interval {ratio.low:.2f} to {ratio.high:.2f}, {cases}"
            found.append((f"{ratio}×", f"{text}, {cpu}"))
    if text := control(record):
        trusted = f"PyTorch beside itself: how far ratios can be trusted, {cpu}"
        found.append((text.partition(" times")[0] + "×", trusted))
    return found
