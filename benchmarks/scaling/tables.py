"""Tables of a record, for the terminal, as Markdown and for the report."""

from collections.abc import Sequence

from benchmarks.jit import units
from benchmarks.jit.exchanges import KINDS
from benchmarks.record import Record
from benchmarks.scaling.links import LINKS, arithmetic, least
from benchmarks.scaling.rows import Row, Size, Target
from benchmarks.tables import Table


def tables(record: Record) -> list[Table]:
    """For each model size, the communication and lower bounds on its time."""
    made = []
    for size, target in dict.fromkeys((row.size, row.target) for row in record.rows):
        rows = [row for row in record.rows if (row.size, row.target) == (size, target)]
        made += [_exchanged(size, rows)] + ([_memory(size, rows)] if target.topology else [_bounds(size, rows)])
    return made


def mesh_of(row: Row) -> str:
    return f"data={row.data}" + f",model={row.model}" * (row.model > 1)


def titled(size: Size) -> str:
    return f"H={size.hidden_size}, {size.layers} layers, {size.steps} time steps, {size.rows} rows a device"


def _exchanged(size: Size, rows: Sequence[Row]) -> Table:
    kinds = [kind for kind in KINDS if any(row.number(kind) for row in rows)]
    columns = ("mesh", "devices", "parameters", "held", "FLOPs", "exchanges", *kinds, "sent", "sent / parameters")
    lines = []
    for row in rows:
        counts = [_count(row.number(kind)) for kind in ("", *kinds)]
        figures = units.size(row.parameters), units.size(row.held), f"{units.three(row.flops / 1e9)} G"
        lines.append((mesh_of(row), str(row.devices), *figures, *counts, *_sent(row)))
    notes = (
        "Of one training step and one device. Parameters: of the model; held: of them on a device. Exchanges: how "
        "often devices wait for each other, in all and by kind. Sent: bytes that a device of a ring sends.",
    )
    return Table(f"What a training step exchanges: {titled(size)}{_on(rows[0].target)}", columns, lines, notes=notes)


def _memory(size: Size, rows: Sequence[Row]) -> Table:
    """What a call holds on a device, from the compiler of that device."""
    lines = [(mesh_of(row), *(units.size(bytes) for bytes in row.memory.values())) for row in rows]
    title = f"HBM of a device in a call: {titled(size)}{_on(rows[0].target)}"
    return Table(title, ("mesh", *rows[0].memory), lines)


def _on(target: Target) -> str:
    return f", {target.kernel} in {target.dtype}, compiled for {target.topology}" if target.topology else ""


def _sent(row: Row) -> tuple[str, str]:
    return units.size(row.sent), units.three(row.sent / row.parameters)


def _bounds(size: Size, rows: Sequence[Row]) -> Table:
    lines = [
        (mesh_of(row), *(units.seconds(least(row.sent, link)) for link in LINKS)) for row in rows if row.devices > 1
    ]
    notes = tuple(
        f"{link.name}: a device sends {link.bandwidth / 1e9:,.0f} GB/s ({link.source}); the products of a step take at "
        f"least {units.seconds(arithmetic(rows[0].flops, link))}, at {link.peak / 1e12:,.0f} TFLOP/s in bfloat16"
        for link in LINKS
    )
    title = f"The least time in links by published speeds, not measured: {titled(size)}"
    return Table(title, ("mesh", *(link.name for link in LINKS)), lines, notes=notes)


def _count(value: float) -> str:
    return units.three(value) if value else units.ABSENT
