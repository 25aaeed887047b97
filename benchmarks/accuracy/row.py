"""The rows of the record: one trained model, or one baseline, each."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

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
    """A row to make."""

    study: str
    task: str
    size: int
    who: str
    seed: int | None
    config: dict[str, Any]
    run: Callable[[], Row] = field(compare=False)

    def made(self, row: Row) -> bool:
        """Whether the row is this job's, with the same config."""
        return self.place(row) and self.config == row.config

    def place(self, row: Row) -> bool:
        """Whether the row is this job's, with any config."""
        return all(getattr(self, name) == getattr(row, name) for name in ("study", "task", "size", "who", "seed"))
