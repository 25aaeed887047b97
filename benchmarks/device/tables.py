"""Tables of a record of `device`, for the terminal and docs/accelerators.md."""

from dataclasses import replace

from benchmarks.device import cuda
from benchmarks.device.barrier import BARRIER
from benchmarks.device.compiled import Compiled
from benchmarks.device.floor import BOUNDARY, COPY, floor, waits
from benchmarks.device.grid import MEASURES
from benchmarks.device.parity import Parity
from benchmarks.device.precisions import PRECISIONS
from benchmarks.facts import timed_facts
from benchmarks.record import Record
from benchmarks.sampling import Timed
from benchmarks.tables import ABSENT, Table, as_markdown, marked, mebibytes, time_of

LATE = "no time was left"


def tables(record: Record) -> list[Table]:
    made = [_parity(record), _limits(record), _settings(record)]
    made += [_grid(record, precision) for precision in PRECISIONS]
    made += [_compiled(record, measure) for measure in MEASURES]
    made += [cuda.table([row for row in record.rows if isinstance(row, cuda.Kernel)])]
    return [table for table in made if table.rows]


def facts(record: Record) -> dict[str, str]:
    devices = ", ".join(record.environment["devices"])
    rows = [row for row in record.rows if isinstance(row, Timed)]
    late = [row.case for row in rows if row.section == "late"]
    broken = [f"{row.case}: {reason}" for row in rows if row.section == "broken" for reason in row.failed.values()]
    own = {"Device": devices} | ({"Not reached": ", ".join(late)} if late else {})
    own |= {"Ended early": "; ".join(broken)} if broken else {}
    found = timed_facts(replace(record, rows=[row for row in rows if row.section in PRECISIONS]), own)
    return {name: value for name, value in found.items() if name != "Matrix peak"}


def markdown(record: Record) -> str:
    return as_markdown(facts(record), tables(record))


def _parity(record: Record) -> Table:
    """For each kernel, how many cases agree, and the largest differences."""
    found: dict[str, list[Parity]] = {}
    for row in record.rows:
        if isinstance(row, Parity):
            found.setdefault(row.kernel, []).append(row)
    rows, notes = [], []
    for kernel, each in found.items():
        served = [row for row in each if not row.refused]
        agreed = [row for row in served if not row.failed]
        worst = [
            f"{max((row.worst[kind] for row in served if row.worst), default=0.0):.1e}" if served else ABSENT
            for kind in ("outputs", "gradients")
        ]
        rows.append((kernel, f"{len(agreed)} of {len(served)}", *worst, str(len(each) - len(served))))
        notes += [f"{kernel}, {row.options}: {row.failed}" for row in served if row.failed]
        notes += sorted({f"{kernel}: {row.refused}" for row in each if row.refused})
    columns = ("kernel", "agree", "outputs", "gradients", "not served")
    title = "Float32 in full precision against PyTorch in float64: cases that agree, largest relative differences"
    return Table(title, columns, rows, notes=tuple(notes))


def _limits(record: Record) -> Table:
    rows, notes = [], []
    for row in record.rows:
        if isinstance(row, Timed) and row.section == "limit":
            notes += [f"{row.measure}: {reason}" for reason in row.failed.values()]
            rate, unit = "failed", "GB/s" if row.measure == COPY else "GFLOP/s"
            if row.seconds:
                best = min(min(samples) for samples in row.seconds.values())
                rate = f"{row.flops / best / 1e9:,.0f} {unit}" if row.flops else time_of(best)
            rows.append((f"{row.measure}, {row.case}", row.shape, rate))
    return Table("What the device can do at all", ("", "size", "measured"), rows, left=2, notes=tuple(notes))


def _settings(record: Record) -> Table:
    """Times of `scan` with each setting."""
    rows = [row for row in record.rows if isinstance(row, Timed) and row.section == "scan"]
    keys = list(dict.fromkeys(key for row in rows for key in row.seconds))
    cells, notes = [], []
    for key in keys:
        medians = [row.timing(key).median if key in row.seconds else None for row in rows]
        cells.append((key, *(ABSENT if median is None else time_of(median) for median in medians)))
    for row in rows:
        notes += [f"{row.case}: `XLA_FLAGS={flags}`" for flags in row.notes.values()]
        notes += [f"{row.case}: failed: {reason}" for reason in row.failed.values()]
    shape = rows[0].shape if rows else ""
    return Table(f"A call of `scan` at B,T,I,H = {shape}", ("", *(row.case for row in rows)), cells, notes=tuple(notes))


def _grid(record: Record, precision: str) -> Table:
    rows = [row for row in record.rows if isinstance(row, Timed) and row.section == precision]
    names = list(dict.fromkeys(name for row in rows for name in (*row.seconds, *row.failed)))
    ours = [name for name in names if not name.startswith("torch")]
    cells = []
    for row in rows:
        times = [
            time_of(row.timing(name).median) if name in row.seconds else "failed" if name in row.failed else ABSENT
            for name in names
        ]
        ratios = [marked(row.ratio(name), bool(row.doubt(name))) for name in ours]
        least = floor(record, row)
        medians = [row.timing(name).median for name in ours if name in row.seconds]
        gap = f"{min(medians) / least.seconds:.1f} ({least.bound})" if least and medians else ABSENT
        seconds = (least and least.seconds, waits(record, row, BARRIER), waits(record, row, BOUNDARY))
        ends = [ABSENT if value is None else time_of(value) for value in seconds]
        cells.append((row.case, row.measure, *times, *ratios, ends[0], gap, *ends[1:]))
    columns = (
        "case",
        "measure",
        *names,
        *(f"{name} / torch" for name in ours),
        "floor",
        "ours / floor",
        "a barrier a step",
        "a kernel a step",
    )
    refused = {name: reason for row in rows for name, reason in row.not_offered.items()}
    notes = ['Above 1, ours is faster. After a "~" it is not certain on which side of 1 it lies.']
    notes += [f"{name}: {reason}" for name, reason in refused.items()]
    notes += [f"{name}, {row.case}, {row.measure}: {note}" for row in rows for name, note in row.notes.items()]
    return Table(f"{precision}: a call", columns, cells, left=2, notes=tuple(notes))


def _compiled(record: Record, measure: str) -> Table:
    """Static cycles a step of programs that were compiled for a chip that is not here."""
    rows = [row for row in record.rows if isinstance(row, Compiled) and row.measure == measure]
    cells, notes = [], []
    for row in rows:
        cycles = [ABSENT] * 4
        if row.loop is not None:
            whole = row.loop / row.steps + row.outside
            cycles = [
                f"{row.loop / row.steps:,.0f}",
                f"{row.outside:,.0f}",
                f"{whole:,.0f}",
                f"{whole / row.floor:.1f}",
            ]
        held = mebibytes(sum(row.memory.values())) if row.memory else "failed"
        name = f"H={row.hidden_size}, B={row.batch}, {row.dtype}"
        cells.append((name, row.contender, *cycles[:3], f"{row.floor:,.0f}", cycles[3], held))
        notes += [f"{name}, {row.contender}: {row.failed}"] if row.failed else []
    columns = ("case", "program", "in loops", "outside", "cycles", "floor", "cycles / floor", "memory")
    notes.insert(
        0,
        "Of the schedule, not of hardware. In loops: with Pallas kernels. Outside: the products there at the peak of "
        "the matrix units. Floor: all products of the layer at that peak. Memory: of the loops, with their arrays.",
    )
    chips = ", ".join(dict.fromkeys(row.chip for row in rows))
    return Table(f"Static cycles a step on {chips}: {measure}", columns, cells, left=2, notes=tuple(notes))
