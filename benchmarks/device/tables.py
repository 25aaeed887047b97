"""Tables of a record of `device`."""

from benchmarks.core import tables as units
from benchmarks.core.charts import Chart, all_speeds
from benchmarks.core.contenders.base import BACKWARD, FORWARD
from benchmarks.core.record import Record
from benchmarks.core.tables import ABSENT, Table, pivot
from benchmarks.device import cuda
from benchmarks.device.compile_for import PEAKS
from benchmarks.device.compiled import LOOPS, OUTSIDE, PART, floor
from benchmarks.device.floor import COPY
from benchmarks.device.floor import PART as LIMIT
from benchmarks.device.floor import floor as least_of
from benchmarks.device.grid import PRECISIONS
from benchmarks.device.parity import PART as PARITY
from benchmarks.device.scan_settings import PART as SETTINGS

MEASURES = (FORWARD, BACKWARD)


def tables(record: Record) -> list[Table]:
    made = [_missing(record), _parity(record), _limits(record), _settings(record)]
    made += [_grid(record, precision) for precision in PRECISIONS]
    made += [_compiled(record, measure) for measure in MEASURES] + [cuda.table(record)]
    return [table for table in made if table.rows or table.notes]


def _missing(record: Record) -> Table:
    """Parts that ended early, and cases for which there was no time."""
    rows = [(row.case, row.status) for part in ("broken", "late") for row in record.of(part)]
    return Table("Not measured", ("what", "why"), rows, left=2)


def _parity(record: Record) -> Table:
    """For each kernel, how many cases agree, and the largest differences."""
    rows, notes = [], []
    for kernel in dict.fromkeys(row.contender for row in record.of(PARITY)):
        own = record.of(PARITY, contender=kernel)
        cases = dict.fromkeys(row.case for row in own)
        refused = {row.case for row in own if row.status and not row.failed}
        failed = {row.case for row in own if row.failed}
        worst = {row.measure: [*(r.value for r in own if r.measure == row.measure and r.samples)] for row in own}
        cells = (f"{max(worst[kind]):.1e}" if worst.get(kind) else ABSENT for kind in ("outputs", "gradients"))
        served = len(cases) - len(refused)
        rows.append((kernel, f"{served - len(failed)} of {served}", *cells, str(len(refused))))
        notes += [f"{kernel}, {row.case}: {row.failed}" for row in own if row.failed]
        notes += sorted({f"{kernel}: {row.status}" for row in own if row.case in refused})
    columns = ("kernel", "agree", "outputs", "gradients", "not served")
    title = "Float32 in full precision against PyTorch in float64: cases that agree, largest relative differences"
    return Table(title, columns, rows, notes=tuple(notes))


def _limits(record: Record) -> Table:
    rows, notes = [], []
    for row in record.of(LIMIT):
        rate, unit = "failed", "GB/s" if row.measure == COPY else "GFLOP/s"
        if row.samples:
            best, work = min(row.samples), row.about.get("flops")
            rate = f"{work / best / 1e9:,.0f} {unit}" if work else units.seconds(best)
        notes += [f"{row.measure}: {row.failed}"] if row.failed else []
        rows.append((f"{row.measure}, {row.case}", row.contender, row.about["shape"], rate))
    return Table("What the device can do at all", ("", "by", "size", "measured"), rows, left=3, notes=tuple(notes))


def _settings(record: Record) -> Table:
    """Times of `scan` with each setting."""
    rows = record.of(SETTINGS)
    cases, keys = (dict.fromkeys(each) for each in ((r.case for r in rows), (r.measure for r in rows if r.samples)))
    notes = dict.fromkeys(f"{row.case}: `{row.about['note']}`" for row in rows if "note" in row.about)
    notes |= dict.fromkeys(f"{row.case}: {row.status}" for row in rows if row.status)
    shape = rows[0].about["shape"] if rows else ""

    def cell(key: str, case: str) -> str:
        return units.seconds(record.value(SETTINGS, case, key, "scan"))

    return pivot(f"A call of `scan` at B,T,I,H = {shape}", "", keys, cases, cell, notes=tuple(notes))


def _grid(record: Record, precision: str) -> Table:
    cells = []
    names = list(dict.fromkeys(row.contender for row in record.of(precision)))
    ours = [name for name in names if not name.startswith("torch")]
    for case, measure in dict.fromkeys((row.case, row.measure) for row in record.of(precision)):
        found = {row.contender: row for row in record.of(precision, case, measure)}
        times = [units.seconds(row.value) if (row := found.get(name)) and row.samples else
                 "failed" if row and row.failed else ABSENT for name in names]  # fmt: skip
        ratios = [str(((row := found.get(name)) and record.ratio(row)) or ABSENT) for name in ours]
        row = next(iter(found.values()))
        least = least_of(record, row)
        best = min((found[name].value for name in ours if name in found and found[name].samples), default=None)
        gap = f"{best / least.seconds:.1f} ({least.bound})" if least and best else ABSENT
        cells.append((case, measure, *times, *ratios, units.seconds(least and least.seconds), gap))
    columns = ("case", "measure", *names, *(f"{name} / torch" for name in ours), "floor", "ours / floor")
    rest = record.of(precision)
    notes = ['Above 1, ours is faster. After a "~" it is not certain on which side of 1 it lies.']
    notes += dict.fromkeys(f"{row.contender}: {row.status}" for row in rest if row.status and not row.failed)
    notes += [f"{row.contender}, {row.case}, {row.measure}: {row.failed}" for row in rest if row.failed]
    notes += [f"{row.contender}, {row.case}, {row.measure}: {row.about['note']}" for row in rest if "note" in row.about]
    return Table(f"{precision}: a call", columns, cells, left=2, notes=tuple(notes) if cells else ())


def _compiled(record: Record, measure: str) -> Table:
    """Static cycles a step of programs that were compiled for a chip that is not here."""
    cells, notes = [], []
    for case, who in dict.fromkeys((row.case, row.contender) for row in record.of(PART)):
        found = [row for row in record.of(PART, case, contender=who) if row.measure.partition(": ")[0] == measure]
        rows = {row.measure.partition(": ")[2]: row for row in found}
        if not rows:
            continue
        about, failed = next(iter(rows.values())).about, [row.failed for row in rows.values() if row.failed]
        least = floor(about["chip"], about["hidden_size"], about["batch"], measure)
        cycles = [ABSENT] * 4
        if LOOPS in rows:
            inside = rows[LOOPS].value / about["steps"]
            outside = rows[OUTSIDE].value / about["steps"] / PEAKS[about["chip"]]
            whole = inside + outside
            cycles = [f"{inside:,.0f}", f"{outside:,.0f}", f"{whole:,.0f}", f"{whole / least:.1f}"]
        held = sum(row.value for row in rows.values() if row.unit == "B")
        memory = "failed" if failed else units.size(held)
        cells.append((case, who, *cycles[:3], f"{least:,.0f}", cycles[3], memory))
        notes += [f"{case}, {who}: {why}" for why in failed]
    columns = ("case", "program", "in loops", "outside", "cycles", "floor", "cycles / floor", "memory")
    about = (
        "Of the schedule, not of hardware. In loops: with Pallas kernels. Outside: the products there at the peak of "
        "the matrix units. Floor: all products of the layer at that peak. Memory: of the loops, with their arrays."
    )
    chips = ", ".join(dict.fromkeys(row.about["chip"] for row in record.of(PART)))
    title = f"Static cycles a step on {chips}: {measure}"
    return Table(title, columns, cells, left=2, notes=(about, *notes) if cells else ())


def charts(record: Record) -> dict[str, list[Chart]]:
    """Speeds relative to PyTorch on a device."""
    found = {precision: all_speeds(record, precision) for precision in PRECISIONS}
    return {precision: each for precision, each in found.items() if each}


def tiles(record: Record) -> list[tuple[str, str]]:
    return []
