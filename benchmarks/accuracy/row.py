"""One trained model, or one baseline, each; and how it is kept in a record."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from benchmarks.core.record import Record
from benchmarks.core.record import Row as Recorded

OURS, THEIRS = "LSTM", "PyTorch"
Figures = dict[str, float]


@dataclass(frozen=True)
class Row:
    """`size` is the horizon in hours, or T. `seed` is None for baselines.

    `curve`: columns of equal length, `step` or `epoch` and the losses. `first`: the losses of the first steps, one by
    one. `published`: the figures to beat. `guess`: those of a model that ignores its input.
    """

    study: str
    task: str
    size: int
    who: str
    seed: int | None
    figures: Figures
    seconds: float
    config: dict[str, Any] = field(default_factory=dict)
    published: Figures = field(default_factory=dict)
    guess: Figures = field(default_factory=dict)
    curve: dict[str, list[float]] = field(default_factory=dict)
    first: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Job:
    """A row to make; `file` is that of its series, if it is not in the project, `package` the one that makes it."""

    study: str
    task: str
    size: int
    who: str
    seed: int | None
    config: dict[str, Any]
    run: Callable[[], Row] = field(compare=False)
    file: str = ""
    package: str = ""

    def made(self, row: Row) -> bool:
        """Whether the row is this job's, with the same config."""
        return self.place(row) and self.config == row.config

    def place(self, row: Row) -> bool:
        """Whether the row is this job's, with any config."""
        return all(getattr(self, name) == getattr(row, name) for name in ("study", "task", "size", "who", "seed"))


CURVE, FIRST = "curve: ", "first losses"


def to_rows(row: Row) -> list[Recorded]:
    """A row for each figure, each column of the curve and the first losses."""
    case, seed = f"{row.task}, {row.size}", {"seed": row.seed}
    about = seed | {"seconds": row.seconds, "config": row.config}
    about |= {name: value for name in ("published", "guess") if (value := getattr(row, name))}
    rows = [
        Recorded(row.study, case, row.who, name, samples=[value], about=about) for name, value in row.figures.items()
    ]
    columns = {CURVE + name: values for name, values in row.curve.items()} | ({FIRST: row.first} if row.first else {})
    return rows + [
        Recorded(row.study, case, row.who, name, samples=values, about=seed) for name, values in columns.items()
    ]


def from_record(record: Record) -> list[Row]:
    """The rows that were kept by `to_rows`; those of `commands` have no seed of their own."""
    groups: dict[Any, list[Recorded]] = {}
    for each in record.rows:
        if "seed" in each.about:
            groups.setdefault((each.part, each.case, each.contender, each.about["seed"]), []).append(each)
    found = []
    for (study, case, who, seed), rows in groups.items():
        task, _, size = case.rpartition(", ")
        about, columns = rows[0].about, {row.measure: row.samples for row in rows}
        curve = {name.removeprefix(CURVE): values for name, values in columns.items() if name.startswith(CURVE)}
        figures = {name: values[0] for name, values in columns.items() if not name.startswith(CURVE) and name != FIRST}
        found.append(
            Row(
                study, task, int(size), who, seed, figures, about["seconds"], about["config"],
                about.get("published", {}),
                about.get("guess", {}), curve, columns.get(FIRST, []),
            )
        )  # fmt: skip
    return found
