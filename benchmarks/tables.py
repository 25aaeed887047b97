"""Tables, for the terminal and as Markdown for a page."""

from collections.abc import Sequence
from typing import NamedTuple

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table as Grid

from jax_lstm.timing import Timing

ABSENT = "-"
COLOURS = {"failed": "[bold red]failed[/]", "yes": "[green]yes[/]", "no": "[red]no[/]"}


class Table(NamedTuple):
    """Title, names of the columns, rows of cells; the first `left` columns are aligned to the left."""

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]
    left: int = 1
    notes: tuple[str, ...] = ()


def print_table(console: Console, table: Table) -> None:
    grid = Grid(
        title=escape(table.title), title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False
    )
    for at, column in enumerate(table.columns):
        grid.add_column(escape(column), justify="left" if at < table.left else "right")
    for row in table.rows:
        grid.add_row(*map(_coloured, row))
    console.print(grid)
    for note in table.notes:
        console.print(escape(note), highlight=False)


def print_facts(console: Console, facts: dict[str, str]) -> None:
    grid = Grid.grid(padding=(0, 2))
    grid.add_column(style="bold")
    grid.add_column()
    for fact, value in facts.items():
        grid.add_row(fact, escape(value))
    console.print(grid)


def as_markdown(facts: dict[str, str], tables: list[Table], notes: Sequence[str] = ()) -> str:
    """Facts, then notes, then tables."""
    parts = ["  \n".join(f"{fact}: {value}" for fact, value in facts.items())]
    return "\n\n".join([*parts, *notes, *map(markdown_of, tables)]) + "\n"


def markdown_of(table: Table) -> str:
    """One table, followed by its notes."""
    lines = [f"**{table.title}**", "", _line(table.columns)]
    lines.append("|" + " --- |" * table.left + " ---: |" * (len(table.columns) - table.left))
    text = "\n".join(lines + [_line(row) for row in table.rows])
    return "\n\n".join([text, *(["  \n".join(table.notes)] if table.notes else [])])


def time_of(seconds: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-6:.3g} µs"


def mebibytes(size: int) -> str:
    return f"{size / 2**20:,.0f} MiB"


def marked(ratio: Timing | None, doubtful: bool) -> str:
    """A ratio, with a "~" before it if it is doubtful."""
    return ABSENT if ratio is None else "~" * doubtful + f"{ratio.median:.2f}"


def _line(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"


def _coloured(cell: str) -> str:
    return COLOURS.get(cell, escape(cell))
