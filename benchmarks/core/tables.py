"""Tables: one form, printed by rich or written as Markdown; and figures with their units."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table as Grid

ABSENT = "-"
COLOURS = {"failed": "[bold red]failed[/]", "yes": "[green]yes[/]", "no": "[red]no[/]"}


class Table(NamedTuple):
    """Title, names of the columns, rows of cells; the first `left` columns are aligned to the left."""

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]
    left: int = 1
    notes: tuple[str, ...] = ()


def pivot(
    title: str, first: str, rows: Iterable[str], columns: Iterable[str], cell: Callable[[str, str], Any], **more: Any
) -> Table:
    """A row for each of `rows`, a column for each of `columns`; an empty cell where there is nothing."""
    columns = tuple(columns)
    cells = [(row, *(_shown(cell(row, column)) for column in columns)) for row in rows]
    return Table(title, (first, *columns), cells, **more)


def _shown(value: Any) -> str:
    return ABSENT if value is None else str(value)


def print_table(console: Console, table: Table) -> None:
    grid = Grid(
        title=escape(table.title), title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False
    )
    for at, column in enumerate(table.columns):
        grid.add_column(escape(column), justify="left" if at < table.left else "right")
    for row in table.rows:
        grid.add_row(*(COLOURS.get(cell, escape(cell)) for cell in row))
    console.print(grid)
    for note in table.notes:
        console.print(escape(note), highlight=False)


def print_all(console: Console, tables: Iterable[Table], facts: dict[str, str]) -> None:
    """The tables of a record, and where it was made."""
    for table in tables:
        print_table(console, table)
    grid = Grid.grid(padding=(0, 2))
    grid.add_column(style="bold")
    grid.add_column()
    for fact, value in facts.items():
        grid.add_row(fact, escape(value))
    console.print(grid)


def markdown(*tables: Table, titles: bool = True) -> str:
    return "\n\n".join(_markdown(table, titles) for table in tables if table.rows)


def _markdown(table: Table, titled: bool) -> str:
    lines = [f"**{table.title}**", ""] if titled else []
    lines += [_line(table.columns), "|" + " --- |" * table.left + " ---: |" * (len(table.columns) - table.left)]
    text = "\n".join(lines + [_line(row) for row in table.rows])
    return "\n\n".join([text, *(["  \n".join(table.notes)] if table.notes else [])])


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def seconds(value: float | None) -> str:
    if value is None:
        return ABSENT
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if value >= size:
            return f"{three(value / size)} {unit}"
    return f"{three(value / 1e-6)} µs"


def size(value: float | None) -> str:
    """Bytes."""
    if value is None:
        return ABSENT
    for unit, count in (("MiB", 2**20), ("KiB", 2**10)):
        if value >= count:
            return f"{three(value / count)} {unit}"
    return f"{value:.0f} B"


def count(value: float | None) -> str:
    return ABSENT if value is None else f"{value:,.0f}"


def three(value: float) -> str:
    """Three digits, without an exponent."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def times(value: float) -> str:
    return f"{value:.2f} times" if value < 10 else f"{value:,.0f} times"


def listed(parts: Sequence[str]) -> str:
    if not parts:
        return "none"
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def whole(value: float) -> int:
    """Calls until break-even, rounded up."""
    return max(1, math.ceil(value))


def flop(value: float | None) -> str:
    return ABSENT if value is None else f"{three(value / 1e9)} GFLOP" if value >= 1e9 else f"{three(value / 1e6)} MFLOP"


UNITS: dict[str, Callable[[float | None], str]] = {"s": seconds, "B": size, "FLOP": flop}


def figure(value: float | None, unit: str) -> str:
    """A figure with its unit."""
    if value is None:
        return ABSENT
    return UNITS[unit](value) if unit in UNITS else f"{three(value)} {unit}".rstrip()
