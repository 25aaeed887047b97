"""The rows of the record: one variant at one size, by one measure, each."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from jax_lstm.timing import Timing, summary

YARDSTICK = "torch"


@dataclass(frozen=True)
class Row:
    """Figures are None if the variant is not compiled whole, or the compiler does not report them.

    - `seconds` per call, by round; rows with the same `group` were sampled in turns.
    - `trace`, `lower`, `compile`: seconds of JAX's three stages; `first`: of the whole first call.
    - `compilations`: how often XLA compiled in the first call (or pass over all shapes), and its seconds in total.
    - `equations` of the jaxpr, with those in loops; `products`: FLOPs of its matrix products, see `anatomy.products`.
    - `instructions`, `opcodes`, `loops`: of the optimised HLO, see `hlo`.
    - `executable_bytes`: size of the serialised executable; `code_bytes`: as XLA reports it, 0 on CPU.
    - `xla_flops`, `xla_bytes`: XLA's cost analysis, which counts the body of a loop once.
    - `temporary_bytes` and the others: XLA's memory analysis; `aliased_bytes`: arguments whose memory is reused.
    - `pays_after`: calls until compiling has paid off against PyTorch; None: never. `speed`: relative to PyTorch, the
      median and quartiles over rounds.
    """

    sweep: str
    variant: str
    measure: str
    group: str
    shape: str  # B,T,I,H,L
    batch: int
    steps: int
    input_size: int
    hidden_size: int
    layers: int
    about: str = ""
    dtype: str = "float32"
    devices: int = 1
    jitted: bool = True
    failed: str = ""
    not_offered: str = ""
    seconds: list[float] = field(default_factory=list)
    calls: int = 0
    trace: list[float] = field(default_factory=list)
    lower: list[float] = field(default_factory=list)
    compile: list[float] = field(default_factory=list)
    first: list[float] = field(default_factory=list)
    compilations: int = 0
    compilation_seconds: float = 0.0
    equations: int | None = None
    products: float | None = None
    instructions: int | None = None
    opcodes: dict[str, int] = field(default_factory=dict)
    loops: list[dict[str, Any]] = field(default_factory=list)
    executable_bytes: int | None = None
    code_bytes: int | None = None
    xla_flops: float | None = None
    xla_bytes: float | None = None
    temporary_bytes: int | None = None
    argument_bytes: int | None = None
    output_bytes: int | None = None
    aliased_bytes: int | None = None
    pays_after: float | None = None
    speed: list[float] = field(default_factory=list)

    @property
    def timing(self) -> Timing:
        return summary(self.seconds)

    @property
    def stages(self) -> float:
        """Seconds until it is compiled, without a call; 0 if it is not compiled."""
        return sum(summary(part).median for part in (self.trace, self.lower, self.compile) if part)

    @property
    def reason(self) -> str:
        """Why there are no samples."""
        return self.failed or self.not_offered


def compared(rows: Iterable[Row]) -> list[Row]:
    """Add the figures relative to the baseline to the rows of one group."""
    rows = list(rows)
    yardstick = next((row for row in rows if row.variant == YARDSTICK and row.seconds), None)
    if yardstick is None:
        return rows
    return [_against(row, yardstick) if row.seconds else row for row in rows]


def _against(row: Row, yardstick: Row) -> Row:
    speed = list(summary(np.divide(yardstick.seconds, row.seconds).tolist()))
    gain = yardstick.timing.median - row.timing.median
    cost = row.stages or max(0.0, summary(row.first).median - row.timing.median if row.first else 0.0)
    pays = cost / gain if gain > 0 and row.variant != YARDSTICK else None
    return replace(row, speed=speed, pays_after=pays)


def find(rows: Sequence[Row], sweep: str, variant: str, measure: str, **where: Any) -> Row | None:
    """The first of the `timed` rows."""
    return next(iter(timed(rows, sweep, variant, measure, **where)), None)


def timed(rows: Sequence[Row], sweep: str, variant: str, measure: str, **where: Any) -> list[Row]:
    return [
        row
        for row in rows
        if (row.sweep, row.variant, row.measure) == (sweep, variant, measure)
        and row.seconds
        and all(getattr(row, name) == value for name, value in where.items())
    ]


def ratio(rows: Sequence[Row], row: Row | None, other: Row | None) -> float | None:
    """The time of `row` relative to `other`; by round if they were sampled in turns."""
    if row is None or other is None:
        return None
    if row.group == other.group and len(row.seconds) == len(other.seconds):
        return summary(np.divide(row.seconds, other.seconds).tolist()).median
    return row.timing.median / other.timing.median
