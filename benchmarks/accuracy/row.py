"""One trained model, or one baseline, each; and how it is kept in a record."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from benchmarks.core.record import Record
from benchmarks.core.record import Row as Recorded

OURS, THEIRS = "LSTM", "PyTorch"
Figures = dict[str, float]


@dataclass(frozen=True)
class Place:
    """What tells a row from others; `size` is the horizon in hours, or T; `seed` is None for baselines."""

    study: str
    task: str
    size: int
    who: str
    seed: int | None

    def of(self, row: "Row") -> bool:
        """Whether the row is here, with any config."""
        return all(getattr(self, name) == getattr(row, name) for name in ("study", "task", "size", "who", "seed"))


@dataclass(frozen=True)
class Row(Place):
    """`curve`: columns of equal length, `step` or `epoch` and the losses.

    `first`: the losses of the first steps, one by one. `published`: the figures to beat. `guess`: those of a model that
    ignores its input.
    """

    figures: Figures
    seconds: float
    config: dict[str, Any] = field(default_factory=dict)
    published: Figures = field(default_factory=dict)
    guess: Figures = field(default_factory=dict)
    curve: dict[str, list[float]] = field(default_factory=dict)
    first: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Job(Place):
    """A row to make: `measure` returns its figures, seconds, curve and first losses, `known` has its other fields.

    `file` is that of its series, if it is not in the project, `package` the one that makes it.
    """

    config: dict[str, Any]
    measure: Callable[[], dict[str, Any]] = field(compare=False)
    known: dict[str, Figures] = field(default_factory=dict)
    file: str = ""
    package: str = ""

    def run(self) -> Row:
        place = (self.study, self.task, self.size, self.who, self.seed)
        return Row(*place, config=self.config, **self.known, **self.measure())

    def made(self, row: Row) -> bool:
        """Whether the row is this job's, with the same config."""
        return self.of(row) and self.config == row.config


CURVE, FIRST = "curve: ", "first losses"


def to_rows(row: Row) -> list[Recorded]:
    """A row for each figure, each column of the curve and the first losses."""
    case, seed = f"{row.task}, {row.size}", {"seed": row.seed}
    about = seed | {"seconds": row.seconds, "config": row.config}
    about |= {name: value for name in ("published", "guess") if (value := getattr(row, name))}
    columns = {CURVE + name: values for name, values in row.curve.items()} | ({FIRST: row.first} if row.first else {})
    found = [(name, [value], about) for name, value in row.figures.items()]
    found += [(name, values, seed) for name, values in columns.items()]
    return [Recorded(row.study, case, row.who, name, samples=samples, about=known) for name, samples, known in found]


def from_record(record: Record) -> list[Row]:
    """The rows that were kept by `to_rows`; those of `commands` have no seed of their own."""
    groups: dict[Any, list[Recorded]] = {}
    for each in record.rows:
        if "seed" in each.about:
            groups.setdefault((each.part, each.case, each.contender, each.about["seed"]), []).append(each)
    found = []
    for (study, case, who, seed), rows in groups.items():
        task, _, size = case.rpartition(", ")
        columns = {row.measure: row.samples for row in rows}
        first = columns.pop(FIRST, [])
        curve = {name.removeprefix(CURVE): values for name, values in columns.items() if name.startswith(CURVE)}
        figures = {name: values[0] for name, values in columns.items() if not name.startswith(CURVE)}
        about = {name: value for name, value in rows[0].about.items() if name != "seed"}
        found.append(Row(study, task, int(size), who, seed, figures, curve=curve, first=first, **about))
    return found
