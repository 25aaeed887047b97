"""Tables of a record of `frameworks`, for the terminal and docs/frameworks.md."""

from rich.console import Console

from benchmarks.contenders import BASELINE, CONTENDERS
from benchmarks.contenders.base import BACKWARD, FORWARD, STREAMING, TRAINING
from benchmarks.facts import timed_facts
from benchmarks.measures import COMPILE, MEMORY, SECTION
from benchmarks.record import Record
from benchmarks.sampling import Timed, geometric_mean
from benchmarks.tables import ABSENT, Table, as_markdown, marked, mebibytes, print_facts, print_table, time_of

TIMED = (FORWARD, BACKWARD, TRAINING, STREAMING)
CONTROL = "torch compile"
LATE = "not measured: the time was up"
STAGES = ("trace", "lower", "compile", "first call")


def print_row(console: Console, record: Record) -> None:
    """Print the last row."""
    row = record.rows[-1]
    late = f": {row.case}, {row.measure}: {LATE}" if _late(row) else ""
    console.print(f"{record.seconds:4.0f} s{late}", highlight=False)
    if not late:
        print_table(console, details(row, record.peak))


def print_tables(console: Console, record: Record) -> None:
    """Print the summary and the facts, after all rows."""
    print_table(console, summary(record))
    print_facts(console, facts(record))


def markdown(record: Record) -> str:
    """The generated part of docs/frameworks.md: all cases at a glance, then each in full."""
    return as_markdown(facts(record), [*overview(record), *(details(row, record.peak) for row in measured(record))])


def measured(record: Record) -> list[Timed]:
    """The rows that were measured in time."""
    return [row for row in record.of(SECTION) if not _late(row)]


def overview(record: Record) -> list[Table]:
    glance = [_glance(record, measure) for measure in TIMED]
    return [table for table in (_contenders(record), summary(record), *glance) if table.rows]


def facts(record: Record) -> dict[str, str]:
    environment = record.environment
    late = [f"{row.case}, {row.measure}" for row in record.of(SECTION) if _late(row)]
    own = {
        "Devices": ", ".join(environment["devices"]),
        "Instructions": " ".join(environment.get("simd", ())) or "unknown",
        "Settings": " ".join(f"{name}={value}" for name, value in environment.get("variables", {}).items()) or "none",
    }
    if late:
        own["Left out"] = f"for want of time: {'; '.join(late)}"
    return timed_facts(record, own | _control(record))


def _control(record: Record) -> dict[str, str]:
    """The ratio of PyTorch to itself, since `torch.compile` runs `nn.LSTM` as it is."""
    rows = [row for row in record.of(SECTION) if row.measure in TIMED]
    ratios = [found.median for row in rows if (found := row.ratio(CONTROL))]
    if not ratios:
        return {}
    text = f"`{CONTROL}`, which runs the same code as `{BASELINE}`, is {min(ratios):.2f} to {max(ratios):.2f}"
    return {"Control": f"{text} times as fast ({len(ratios)} rows)"}


def summary(record: Record) -> Table:
    """For each contender, the geometric mean over its measured cases, and their number."""
    rows = []
    for name in _names(record):
        cells = []
        for measure in TIMED:
            ratios = [found.median for row in record.of(SECTION, measure) if (found := row.ratio(name))]
            doubtful = sum(bool(row.doubt(name)) for row in record.of(SECTION, measure))
            mark = "~" if 3 * doubtful >= len(ratios) else ""
            cells.append(f"{mark}{geometric_mean(ratios):.2f} ({len(ratios)})" if ratios else ABSENT)
        rows.append((name, *cells))
    title = "Speed relative to PyTorch, geometric mean over cases (how many)"
    return Table(title, ("contender", *TIMED), rows)


def details(row: Timed, peak: float) -> Table:
    """One row of the record in full."""
    title = f"{row.case} ({row.shape}): {row.measure}"
    if row.measure == COMPILE:
        return _compiling(row, title)
    if row.measure == MEMORY:
        columns = ("contender", "peak memory", "")
        return Table(title, columns, [*((n, mebibytes(size), "") for n, size in row.memory.items()), *_others(row, 1)])
    rows = [_timing(row, name, peak) for name in row.seconds]
    columns = ("contender", "median", "quartiles", "speed", "95 % interval", "GFLOP/s", "of peak", "")
    return Table(title, columns, [*rows, *_others(row, 6)])


def _timing(row: Timed, name: str, peak: float) -> tuple[str, ...]:
    timing, interval, doubt = row.timing(name), row.interval(name), row.doubt(name)
    between = ABSENT if interval is None or name == row.baseline else f"{interval[0]:.2f} to {interval[1]:.2f}"
    gflops = row.gflops(name)
    remark = ", ".join(filter(None, (doubt, row.notes.get(name, ""))))
    return (
        name,
        time_of(timing.median),
        f"{time_of(timing.low)} to {time_of(timing.high)}",
        marked(row.ratio(name), bool(doubt)),
        between,
        f"{gflops:,.1f}",
        f"{gflops / peak:.0%}" if peak else ABSENT,
        remark,
    )


def _compiling(row: Timed, title: str) -> Table:
    def cell(name: str, part: str) -> str:
        samples = row.parts[name].get(part)
        return time_of(sorted(samples)[len(samples) // 2]) if samples else ABSENT

    rows = [
        (name, *(cell(name, part) for part in STAGES), time_of(row.timing(name).median), "") for name in row.seconds
    ]
    return Table(title, ("contender", *STAGES, "all", ""), [*rows, *_others(row, len(STAGES) + 1)])


def _others(row: Timed, cells: int) -> list[tuple[str, ...]]:
    """Rows for contenders without figures, with the reason."""
    reasons = {name: f"failed: {reason}" for name, reason in row.failed.items()}
    reasons |= {name: f"not offered: {reason}" for name, reason in row.not_offered.items()}
    return [(name, *(ABSENT,) * cells, reason) for name, reason in reasons.items()]


def _late(row: Timed) -> bool:
    return bool(row.not_offered) and set(row.not_offered.values()) == {LATE}


def _glance(record: Record, measure: str) -> Table:
    rows_of = [row for row in record.of(SECTION, measure) if not _late(row)]
    names = [name for name in _names(record) if any(name in row.seconds or name in row.failed for row in rows_of)]

    def cell(row: Timed, name: str) -> str:
        return "failed" if name in row.failed else marked(row.ratio(name), bool(row.doubt(name)))

    rows = [(row.case, row.shape, *(cell(row, name) for name in names)) for row in rows_of]
    return Table(f"Speed relative to PyTorch, {measure}", ("case", "B,T,I,H", *names), rows, left=2)


def _contenders(record: Record) -> Table:
    rows = [(name, CONTENDERS[name].about) for name in (BASELINE, *_names(record)) if name in CONTENDERS]
    return Table("Contenders", ("name", "what it is"), rows, left=2)


def _names(record: Record) -> list[str]:
    """All contenders of the record but the baseline, in order."""
    named = {name for row in record.of(SECTION) for name in (*row.seconds, *row.failed, *row.memory)}
    order = [name for name in CONTENDERS if name in named]
    return [name for name in [*order, *sorted(named - set(order))] if name != BASELINE]
