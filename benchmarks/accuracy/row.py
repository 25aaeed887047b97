"""One trained model, or one baseline, as the record keeps it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

OURS, THEIRS = "LSTM", "PyTorch"
Figures = dict[str, float]


@dataclass(frozen=True)
class Row:
    """`size` is the horizon in hours, or T. `seed` is None for what draws nothing.

    `curve` are columns of equal length: `step` or `epoch`, and the losses there. `first` are the losses of the very
    first steps, one by one. `published` are the figures to beat, `guess` those of a forecaster that ignores its input.
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
    """A row that is to be made. Who it is of, and the config, say whether a record has it already."""

    study: str
    task: str
    size: int
    who: str
    seed: int | None
    config: dict[str, Any]
    run: Callable[[], Row] = field(compare=False)

    def made(self, row: Row) -> bool:
        return self.place(row) and self.config == row.config

    def place(self, row: Row) -> bool:
        """Whether the row stands where this one will, whatever its config."""
        return all(getattr(self, name) == getattr(row, name) for name in ("study", "task", "size", "who", "seed"))
