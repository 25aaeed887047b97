"""The parts of the page. Each study turns its record into a section; `page` renders it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.tables import Table

Row = dict[str, Any]
FILTERED = ("case", "contender", "measure")  # fields of rows that the reader can filter by
# Other names of these in columns of tables.
ALSO = {"variant": "contender", "who": "contender", "name": "contender", "horizon": "case"}


@dataclass(frozen=True)
class Chart:
    """One picture: the name of a template, and its rows. `about` is its text for screen readers.

    `words` replace names in braces in the template; a chart about one contender names it as `who`. A row without a
    field of `FILTERED` is not filtered by it.
    """

    template: str
    title: str
    about: str
    rows: list[Row]
    words: dict[str, str] = field(default_factory=dict)
    wide: bool = False


@dataclass(frozen=True)
class Group:
    """Pictures under one heading."""

    title: str
    text: str
    charts: list[Chart]


@dataclass(frozen=True)
class Section:
    """One record. `first`: the measure that is shown initially, all if empty. `tiles`: the main figures."""

    title: str
    text: str
    groups: list[Group]
    tables: list[Table]
    facts: dict[str, str]
    first: str = ""
    tiles: list[tuple[str, str]] = field(default_factory=list)  # figure, and what it is

    def values(self, name: str) -> list[str]:
        """The values of a field of `FILTERED`, in the order of the record."""
        rows = [row for group in self.groups for chart in group.charts for row in chart.rows]
        return list(dict.fromkeys(row[name] for row in rows if name in row))


def numbered(names: Iterable[str]) -> dict[str, int]:
    """Number the names; the number sets a name's colour, marker and dashes."""
    return {name: at for at, name in enumerate(dict.fromkeys(names))}


def listed(rows: Sequence[Row], most: int = 12) -> str:
    """The rows as text, for `about`."""
    words = [f"{row['contender']} {row['label']}" for row in rows[:most]]
    return ", ".join(words) + " and more" * (len(rows) > most)
