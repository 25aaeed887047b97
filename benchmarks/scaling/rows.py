"""The rows of the record: a training step on a mesh, and what its devices send each other."""

from dataclasses import dataclass
from typing import Any, NamedTuple

from benchmarks.jit.exchanges import Exchange


class Size(NamedTuple):
    """A language model of bytes: hidden units, layers, time steps, and rows a device."""

    hidden_size: int
    layers: int
    steps: int
    rows: int


@dataclass(frozen=True)
class Row:
    """`exchanges` are those of a call of `calls` training steps, as `Exchange` has them; all else is of one step.

    `parameters` are bytes, of which each device holds `held`; `flops` are those of a device. `seconds` compiled it.
    """

    hidden_size: int
    layers: int
    steps: int
    rows: int
    data: int
    model: int
    parameters: int
    held: int
    flops: float
    calls: int
    exchanges: list[dict[str, Any]]
    seconds: float

    @property
    def devices(self) -> int:
        return self.data * self.model

    @property
    def size(self) -> Size:
        return Size(self.hidden_size, self.layers, self.steps, self.rows)

    @property
    def sent(self) -> float:
        """Bytes that a device sends in a step, in rings."""
        return sum(each.sent for each in self._all()) / self.calls

    def number(self, kind: str = "") -> float:
        """Of exchanges in a step, one after the other."""
        return sum(each.times for each in self._all() if kind in ("", each.kind)) / self.calls

    def _all(self) -> list[Exchange]:
        return [Exchange(**each) for each in self.exchanges]
