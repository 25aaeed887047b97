"""What a record of `jit` shows: tables and charts."""

from benchmarks.core import tables as units
from benchmarks.core.charts import Chart, all_speeds, lines
from benchmarks.core.compiling import STAGES
from benchmarks.core.contenders import BASELINE
from benchmarks.core.contenders.base import BACKWARD
from benchmarks.core.findings import NotMeasuredError, verdicts
from benchmarks.core.record import Record, Row
from benchmarks.core.tables import ABSENT, Table
from benchmarks.jit.findings import FINDINGS, headline, pays_after, size

FIGURES = (
    *STAGES, "first call", "compilations", "equations", "instructions", "trips", "kernels in a step", "dot in a step",
    "executable", "products", "XLA's FLOPs", "temporary",
)  # fmt: skip
SWEPT = {"steps": "T", "hidden": "H", "layers": "L"}


def tables(record: Record) -> list[Table]:
    groups = dict.fromkeys((row.part, row.case, row.measure) for row in record.rows if ": " not in row.measure)
    made = [verdicts(FINDINGS, record), _legend(record), *(_costs(record, *group) for group in groups)]
    return [table for table in made if table.rows]


def _legend(record: Record) -> Table:
    about = {row.contender: row.about["about"] for row in reversed(record.rows) if "about" in row.about}
    names = dict.fromkeys(row.contender for row in record.rows)
    return Table("Variants", ("variant", "what it is"), [(name, about.get(name, "")) for name in names], left=2)


def _costs(record: Record, part: str, case: str, measure: str) -> Table:
    columns = ("variant", "call", "speed", "pays after", *FIGURES, "remark")
    cells = [_cost(record, row) for row in record.of(part, case, measure)]
    devices = next((row.about["devices"] for row in record.of(part, case, measure) if "devices" in row.about), 0)
    return Table(f"{part}: {measure} at B,T,I,H,L = {case}" + f", {devices} devices" * bool(devices), columns, cells)


def _cost(record: Record, row: Row) -> tuple[str, ...]:
    def shown(name: str) -> str:
        found = record.row(row.part, row.case, f"{row.measure}: {name}", row.contender)
        if found is None:
            return ABSENT
        if found.unit == "by loop":
            return " + ".join("?" if value == -1 else str(value) for value in found.samples)
        return units.figure(found.value, found.unit)

    if not row.samples:
        return (row.contender, *[ABSENT] * (3 + len(FIGURES)), row.status)
    speed = record.ratio(row)
    return (row.contender, units.seconds(row.value), str(speed or ABSENT), pays(record, row), *map(shown, FIGURES), "")


def pays(record: Record, row: Row) -> str:
    """Calls until compiling has paid off against eager PyTorch."""
    if row.contender == BASELINE or not record.ratio(row):
        return ABSENT
    try:
        calls = pays_after(record, row)
    except NotMeasuredError:
        return ABSENT
    return "never" if calls is None else f"{units.whole(calls):,}"


def answer(record: Record) -> Table:
    """Every way at the base size: how fast, how long to compile, when it pays."""
    rows = []
    for row in sorted(record.of("base", "", BACKWARD), key=lambda row: row.value if row.samples else float("inf")):
        compiled = [record.value("base", row.case, f"{BACKWARD}: {stage}", row.contender) for stage in STAGES]
        memory = record.value("base", row.case, f"{BACKWARD}: temporary", row.contender)
        known = [value for value in compiled if value is not None]
        if row.samples:
            speed = record.ratio(row)
            between = f"{speed} [{speed.low:.2f}, {speed.high:.2f}]" if speed and row.contender != BASELINE else "1"
            cells = (units.seconds(row.value), between, units.seconds(sum(known)) if known else ABSENT)
            rows.append((row.contender, row.about["about"], *cells, pays(record, row), units.size(memory)))
    pays_off = "calls until faster than PyTorch in total"
    columns = ("variant", "what it is", "call", "speed [95 %]", "compile", pays_off, "temporary")
    title = "Forward and backward at the base size, fastest first; speed relative to eager PyTorch"
    return Table(title, columns, rows, left=2)


def charts(record: Record) -> dict[str, list[Chart]]:
    parts = dict.fromkeys(row.part for row in record.rows if row.part not in SWEPT)
    found = {f"Speed: {part}": all_speeds(record, part) for part in parts}
    for part, letter in SWEPT.items():
        figures = {"": "s", "compile": "s", "temporary": "MiB"}
        made = [curves(record, part, letter, name, unit) for name, unit in figures.items()]
        found[f"Over {letter}"] = [chart for chart in made if chart]
    return {title: each for title, each in found.items() if each}


def curves(record: Record, part: str, letter: str, name: str, unit: str) -> Chart | None:
    """A figure of every variant over a swept size, forward and backward."""
    series: dict[str, list[tuple[float, float]]] = {}
    for row in record.of(part, "", f"{BACKWARD}: {name}" if name else BACKWARD):
        value = row.value / (2**20 if unit == "MiB" else 1) if row.samples else 0.0
        if value:
            series.setdefault(row.contender, []).append((size(row, letter), value))
    series = {who: sorted(points) for who, points in series.items() if len(points) > 1}
    return lines(f"{name or 'a call'}, {unit}, over {letter}", series, letter) if series else None


def tiles(record: Record) -> list[tuple[str, str]]:
    try:
        found = headline(record)
    except NotMeasuredError:
        return []
    texts = {
        "costs": "what a jitted `scan` takes beside eager PyTorch on this CPU, with gradients",
        "wins": "our kernel in C++, called from a jitted program, beside eager PyTorch, with gradients",
    }
    return [(f"{found[name]:}".replace(" times", "×"), text) for name, text in texts.items()]
