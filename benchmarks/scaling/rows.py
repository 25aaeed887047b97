"""The rows of the record: a training step on a mesh, and its communication."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from benchmarks.jit.exchanges import Exchange


class Size(NamedTuple):
    """A language model of bytes: hidden units, layers, time steps, and rows per device."""

    hidden_size: int
    layers: int
    steps: int
    rows: int


@dataclass(frozen=True)
class Row:
    """`exchanges` are for `calls` training steps, as fields of `Exchange`; all else is for one step.

    `parameters` in bytes, of which a device holds `held`; `flops` per device; `seconds` to compile. `topology`: of the
    devices that it was compiled for, if not those of the host; then `memory` has the bytes that a device needs.
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
    topology: str = ""
    memory: dict[str, int] = field(default_factory=dict)

    @property
    def devices(self) -> int:
        return self.data * self.model

    @property
    def size(self) -> Size:
        return Size(self.hidden_size, self.layers, self.steps, self.rows)

    @property
    def sent(self) -> float:
        """Bytes that a device sends in a step, with ring algorithms."""
        return sum(each.sent for each in self._all()) / self.calls

    def number(self, kind: str = "") -> float:
        """The number of collectives in a step."""
        return sum(each.times for each in self._all() if kind in ("", each.kind)) / self.calls

    def _all(self) -> list[Exchange]:
        return [Exchange(**each) for each in self.exchanges]
