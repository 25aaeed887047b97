"""Tables of a record, for the terminal and as Markdown."""

from collections.abc import Sequence

from rich.console import Console

from benchmarks.jit import units
from benchmarks.jit.findings import judged
from benchmarks.jit.rows import Row
from benchmarks.record import Record
from benchmarks.sampling import WIDE
from benchmarks.tables import Table, print_table
from jax_lstm.timing import summary

VERDICTS = {True: "holds", False: "does not hold"}


def tables(record: Record) -> list[Table]:
    """Two tables for every group of rows that were sampled in turns: times, and what the compiler made."""
    made = []
    for group in dict.fromkeys(row.group for row in record.rows):
        rows = [row for row in record.rows if row.group == group]
        made += [_costs(rows), _anatomy(rows)]
    return [table for table in made if table.rows]


def legends(record: Record) -> list[Table]:
    """The meaning of the names of variants; in some sweeps the same names mean something else."""
    own = {"shapes": "Variants with ten lengths", "devices": "Variants on several devices"}
    made = []
    for sweep, title in ({"": "Variants"} | own).items():
        rows = [row for row in record.rows if (row.sweep == sweep if sweep else row.sweep not in own)]
        about = {row.variant: row.about for row in reversed(rows)}  # the first row of a name
        names = dict.fromkeys(row.variant for row in rows)
        made.append(Table(title, ("variant", "what it is"), [(name, about[name]) for name in names], left=2))
    return [table for table in made if table.rows]


def verdicts(record: Record) -> Table:
    rows = [
        (finding.title, VERDICTS[found.holds] if found else "not measured") for finding, found in judged(record.rows)
    ]
    return Table("Findings", ("finding", "in this record"), rows)


def print_tables(console: Console, record: Record) -> None:
    for table in (*tables(record), verdicts(record)):
        print_table(console, table)


def _title(row: Row) -> str:
    return f"{row.sweep}: {row.measure} at B,T,I,H,L = {row.shape}" + f", {row.devices} devices" * (row.devices > 1)


def _costs(rows: Sequence[Row]) -> Table:
    columns = ("variant", "call", "speed", "trace", "lower", "compile", "first call", "compilations", "pays after")
    return Table(_title(rows[0]), columns, [_cost(row) for row in rows])


def _cost(row: Row) -> tuple[str, ...]:
    if not row.seconds:
        return (row.variant, *[units.ABSENT] * 7, _why(row))
    stages = [units.seconds(summary(part).median if part else None) for part in (row.trace, row.lower, row.compile)]
    first = units.seconds(summary(row.first).median if row.first else None)
    compilations = units.count(row.compilations or None)
    return (row.variant, units.seconds(row.timing.median), _speed(row), *stages, first, compilations, _pays(row))


def _why(row: Row) -> str:
    return "failed: " + row.failed if row.failed else row.not_offered


def _speed(row: Row) -> str:
    if not row.speed:
        return units.ABSENT
    median, low, high = row.speed
    return "~" * (high - low > WIDE * median) + f"{median:.2f}"


def _pays(row: Row) -> str:
    if row.variant == "torch" or not row.speed:
        return units.ABSENT
    return "never" if row.pays_after is None else units.calls(row.pays_after)


def _anatomy(rows: Sequence[Row]) -> Table:
    columns = (
        "variant", "jaxpr", "HLO", "loops", "kernels per step", "products per step", "executable", "products",
        "XLA FLOPs", "XLA bytes", "temporary",
    )  # fmt: skip
    compiled = [row for row in rows if row.instructions is not None]
    return Table(f"{_title(rows[0])}: the compiled program", columns, [_made(row) for row in compiled])


def _made(row: Row) -> tuple[str, ...]:
    return (
        row.variant,
        units.count(row.equations),
        units.count(row.instructions),
        " + ".join(_trips(loop) for loop in row.loops) or units.ABSENT,
        " + ".join(str(loop["kernels"]) for loop in row.loops) or units.ABSENT,
        " + ".join(str(loop["counts"].get("dot", 0)) for loop in row.loops) or units.ABSENT,
        units.size(row.executable_bytes),
        units.mega(row.products),
        units.mega(row.xla_flops),
        units.size(row.xla_bytes),
        units.size(row.temporary_bytes),
    )


def _trips(loop: dict) -> str:
    """The trip count, in brackets for a loop within another."""
    trips = "?" if loop["trips"] is None else str(loop["trips"])
    return f"({trips})" if loop["depth"] else trips
