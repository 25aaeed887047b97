"""What the page is made of. A study turns its record into sections; nothing here knows how they are drawn."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.tables import Table

Row = dict[str, Any]
FILTERED = ("case", "contender", "measure")  # of a row of a chart or a table: what the reader can choose and sort by
# Columns of tables that hold one of these under another name.
ALSO = {"variant": "contender", "who": "contender", "name": "contender", "horizon": "case"}


@dataclass(frozen=True)
class Chart:
    """One picture: a template of `templates`, and its rows. `about` is read to those who do not see it.

    `words` stand for the names in braces of the template; a chart of one contender among others names it as `who`.
    A row without one of `FILTERED` is shown whatever is chosen.
    """

    template: str
    title: str
    about: str
    rows: list[Row]
    words: dict[str, str] = field(default_factory=dict)
    wide: bool = False


@dataclass(frozen=True)
class Group:
    """Pictures that are read together, under one heading."""

    title: str
    text: str
    charts: list[Chart]


@dataclass(frozen=True)
class Section:
    """All of one record. `first` is the measure that is shown at first, all if empty; `tiles` are its main figures."""

    title: str
    text: str
    groups: list[Group]
    tables: list[Table]
    facts: dict[str, str]
    first: str = ""
    tiles: list[tuple[str, str]] = field(default_factory=list)  # figure, and what it is

    def values(self, name: str) -> list[str]:
        """Of one of `FILTERED`, in the order of the record."""
        rows = [row for group in self.groups for chart in group.charts for row in chart.rows]
        return list(dict.fromkeys(row[name] for row in rows if name in row))


def numbered(names: Iterable[str]) -> dict[str, int]:
    """A place for each name, which decides its colour, its marker and its dashes."""
    return {name: at for at, name in enumerate(dict.fromkeys(names))}


def listed(rows: Sequence[Row], most: int = 12) -> str:
    """What rows say, for `about`."""
    words = [f"{row['contender']} {row['label']}" for row in rows[:most]]
    return ", ".join(words) + " and more" * (len(rows) > most)
