"""The rows of the record: a training step on a mesh, and its communication."""

from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from benchmarks.jit.exchanges import Exchange


class Size(NamedTuple):
    """A language model of bytes: hidden units, layers, time steps, and rows per device."""

    hidden_size: int
    layers: int
    steps: int
    rows: int


class Target(NamedTuple):
    """Described devices, such as "v5e:2x4", or those of the host; the kernel, and the type in which it computes."""

    topology: str = ""
    kernel: str = "auto"
    dtype: Literal["float32", "bfloat16"] = "float32"


HOST = Target()


@dataclass(frozen=True)
class Row:
    """`exchanges` are for `calls` training steps, as fields of `Exchange`; all else is for one step.

    `parameters` in bytes, of which a device holds `held`; `flops` per device; `seconds` to compile. `memory`: the bytes
    that a described device needs. `calls_kernel`: the program calls a Pallas kernel.
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
    kernel: str = "auto"
    dtype: Literal["float32", "bfloat16"] = "float32"
    memory: dict[str, int] = field(default_factory=dict)
    calls_kernel: bool = False

    @property
    def devices(self) -> int:
        return self.data * self.model

    @property
    def size(self) -> Size:
        return Size(self.hidden_size, self.layers, self.steps, self.rows)

    @property
    def target(self) -> Target:
        return Target(self.topology, self.kernel, self.dtype)

    @property
    def sent(self) -> float:
        """Bytes that a device sends in a step, with ring algorithms."""
        return sum(each.sent for each in self._all()) / self.calls

    def number(self, kind: str = "") -> float:
        """The number of collectives in a step."""
        return sum(each.times for each in self._all() if kind in ("", each.kind)) / self.calls

    def _all(self) -> list[Exchange]:
        return [Exchange(**each) for each in self.exchanges]
