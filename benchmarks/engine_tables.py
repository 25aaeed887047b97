"""Tables of a record of `engine`, for the terminal and docs/performance.md."""

from collections.abc import Callable

from rich.console import Console

from benchmarks.contenders import BASELINE
from benchmarks.facts import timed_facts
from benchmarks.goals import judged
from benchmarks.record import Record
from benchmarks.sampling import WIDE, Timed, geometric_mean
from benchmarks.tables import ABSENT, Table, as_markdown, marked, mebibytes, print_facts, print_table, time_of
from jax_lstm.timing import Timing

MEASURES = ("forward", "forward+backward")


def print_tables(console: Console, record: Record) -> None:
    for table in tables(record):
        print_table(console, table)
    print_facts(console, timed_facts(record))


def markdown(record: Record) -> str:
    """The tables as Markdown, for docs/performance.md."""
    return as_markdown(timed_facts(record), tables(record))


def tables(record: Record) -> list[Table]:
    made = [_goals(record)]
    made += [_speeds(record, measure) for measure in MEASURES] + [_times(record, measure) for measure in MEASURES]
    made += [_bfloat16(record), _unroll(record), _directions(record), _further(record)]
    return [table for table in made if table.rows]


def _goals(record: Record) -> Table:
    rows = []
    for goal in judged(record):
        reached = ABSENT
        if goal["reached"] is not None:
            part = f" ({goal['cases']} of {goal['of_cases']} cases)" * (goal["cases"] < goal["of_cases"])
            reached = _number(goal["reached"]) + part
        wanted = ("at most " if goal["limit"] else "at least ") + _number(goal["wanted"])
        rows.append(
            (f"{goal['kernel']}: {goal['goal']}", wanted, reached, {True: "yes", False: "no"}.get(goal["met"], ""))
        )
    return Table("Goals", ("goal", "wanted", "reached", "met"), rows)


def _speeds(record: Record, measure: str) -> Table:
    rows_of = record.of("layers", measure)
    names = list(dict.fromkeys(name for row in rows_of for name in (*row.seconds, *row.failed) if name != BASELINE))

    def cell(row: Timed, name: str) -> str:
        return "failed" if name in row.failed else _ratio(row.ratio(name))

    rows = [(row.case, *(cell(row, name) for name in names)) for row in rows_of]
    if rows:
        rows.append(("geometric mean", *(_mean(rows_of, name) for name in names)))
    return Table(f"Speed relative to PyTorch, {measure}", ("case", *names), rows)


def _mean(rows: list[Timed], name: str) -> str:
    """The geometric mean over cases; none if one failed."""
    ratios = [ratio.median for row in rows if (ratio := row.ratio(name))]
    return f"{geometric_mean(ratios):.2f}" if len(ratios) == len(rows) else ABSENT


def _times(record: Record, measure: str) -> Table:
    def of_native(row: Timed) -> tuple[str, ...]:
        best = row.best_ratio("native")
        if best is None:
            return (ABSENT,) * 3
        gflops = row.gflops("native")
        return f"{best:.2f}", f"{gflops:,.0f}", f"{gflops / record.peak:.0%}" if record.peak else ABSENT

    rows = []
    for row in record.of("layers", measure):
        times = [_milliseconds(row, name) for name in (BASELINE, "scan", "native")]
        rows.append((row.case, row.shape, *times, *of_native(row)))
    columns = ("torch, ms", "scan, ms", "native, ms", "best of each", "GFLOP/s", "of peak")
    title = f"Times, {measure}; for native: speed from the fastest sample of each, GFLOP/s and part of the matrix peak"
    return Table(title, ("case", "B,T,I,H", *columns), rows)


def _bfloat16(record: Record) -> Table:
    backends = [name for name in ("native", "scan") if any(row.baseline == name for row in record.of("bfloat16"))]
    rows = []
    for case in dict.fromkeys(row.case for row in record.of("bfloat16")):
        cells, shape = [], ""
        for backend in backends:
            pair = [row for row in record.of("bfloat16") if row.case == case and row.baseline == backend]
            cells.append(_pair(pair, lambda row, name=f"{backend}, bfloat16": _ratio(row.ratio(name))))
            shape = pair[0].shape if pair else shape
        rows.append((case, shape, *cells))
    title = "bfloat16, speed relative to the same kernel in float32, forward / forward+backward"
    return Table(title, ("case", "B,T,I,H", *backends), rows)


def _unroll(record: Record) -> Table:
    names = list(dict.fromkeys(name for row in record.of("unroll") for name in row.seconds if name != row.baseline))
    rows = []
    for case in dict.fromkeys(row.case for row in record.of("unroll")):
        pair = [row for row in record.of("unroll") if row.case == case]
        cells = [_pair(pair, lambda row, name=name: _ratio(row.ratio(name))) for name in names]
        rows.append((case, pair[0].shape, *cells))
    title = "scan with its loop unrolled, speed relative to one step a turn, forward / forward+backward"
    return Table(title, ("case", "B,T,I,H", *names), rows)


def _directions(record: Record) -> Table:
    backends = list(dict.fromkeys(row.baseline.partition(",")[0] for row in record.of("directions")))
    rows = []
    for case in dict.fromkeys(row.case for row in record.of("directions")):
        of_case = [row for row in record.of("directions") if row.case == case]
        cells = []
        for backend in backends:
            pair = [row for row in of_case if row.baseline.startswith(f"{backend},")]
            cells.append(_pair(pair, lambda row, name=f"{backend}, together": _ratio(row.ratio(name))))
        rows.append((case, of_case[0].shape, *cells))
    title = "Both directions in one call, speed relative to one call each, forward / forward+backward"
    return Table(title, ("case", "B,T,I,H", *backends), rows)


def _further(record: Record) -> Table:
    rows = []
    for section in ("training", "streaming", "remat", "compiling"):
        for row in record.of(section):
            for name in (*row.seconds, *row.failed):
                if name in row.failed:
                    rows.append((f"{row.measure}, {row.case}", row.shape, name, "failed", ABSENT, ABSENT))
                    continue
                memory = mebibytes(row.memory[name]) if name in row.memory else ""
                speed = _ratio(row.ratio(name))
                time = time_of(row.timing(name).median)
                rows.append((f"{row.measure}, {row.case}", row.shape, name, time, speed, memory))
    columns = ("measure", "B,T,I,H", "who", "time", "speed", "memory")
    return Table("Training, streaming, memory, compilation; speed relative to the first of each", columns, rows)


def _pair(rows: list[Timed], cell: Callable[[Timed], str]) -> str:
    return " / ".join(cell(row) for row in rows) or ABSENT


def _ratio(found: Timing | None) -> str:
    return marked(found, found is not None and found.high - found.low > WIDE * found.median)


def _milliseconds(row: Timed, name: str) -> str:
    return f"{row.timing(name).median * 1e3:.3g}" if name in row.seconds else ABSENT


def _number(value: float) -> str:
    return f"{value:.3g}"
