"""The goals of `engine`, and how a record compares with them."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from benchmarks.cases import ENGINE_CASES
from benchmarks.contenders import BASELINE, ENGINE_CONTENDERS
from benchmarks.record import Record
from benchmarks.sampling import Timed, geometric_mean

LARGEST = ("large", "largest")
OTHERS = tuple(name for name, contender in ENGINE_CONTENDERS.items() if contender.other_jax)
Reached = tuple[float, int]  # the figure, and the number of cases it comes from


@dataclass(frozen=True)
class Goal:
    """`reached` must be at least `wanted`, or at most, if it is a `limit`; None if nothing was measured."""

    kernel: str
    text: str
    wanted: float
    reached: Callable[[Record], Reached | None]
    limit: bool = False
    cases: int = len(ENGINE_CASES)

    def met(self, value: float) -> bool:
        return value <= self.wanted if self.limit else value >= self.wanted


def _mean(values: Iterable[float | None]) -> Reached | None:
    found = [value for value in values if value is not None]
    return (geometric_mean(found), len(found)) if found else None


def _least(values: Iterable[float | None]) -> Reached | None:
    found = [value for value in values if value is not None]
    return (min(found), len(found)) if found else None


def ratio(row: Timed | None, name: str, baseline: str = "") -> float | None:
    """The speed relative to `baseline`; None if one of the two was not timed."""
    found = row.ratio(name, baseline) if row else None
    return found.median if found else None


def best_other(row: Timed) -> str:
    """The fastest other LSTM for JAX; "" if there is none."""
    present = [name for name in OTHERS if row.seconds.get(name)]
    return min(present, key=lambda name: row.timing(name).median, default="")


def over_torch(record: Record, name: str, measure: str) -> list[float | None]:
    return [ratio(row, name, BASELINE) for row in record.of("layers", measure)]


def over_others(record: Record, name: str, measure: str = "") -> list[float | None]:
    return [ratio(row, name, best_other(row)) for row in record.of("layers", measure) if best_other(row)]


def _by_case(reached: Reached | None, measures: int = 2) -> Reached | None:
    return reached and (reached[0], -(-reached[1] // measures))


def _of_peak(record: Record) -> Reached | None:
    rows = [row for row in record.of("layers") if row.case in LARGEST and row.seconds.get("native")]
    return _by_case(_least(row.gflops("native") / record.peak for row in rows)) if record.peak else None


def _halves(record: Record) -> Reached | None:
    return _by_case(_least(ratio(row, "native, bfloat16", "native") for row in record.of("bfloat16")))


def _memory(record: Record) -> Reached | None:
    found = [row.memory for row in record.of("remat") if {"keep all", "chunks"} <= row.memory.keys()]
    return _least(memory["chunks"] / memory["keep all"] for memory in found)


def _chunks_time(record: Record) -> Reached | None:
    return _least(ratio(row, "keep all", "chunks") for row in record.of("remat"))


def _compile_growth(record: Record) -> Reached | None:
    """Compile time of the longest sequence relative to the shortest."""
    rows = [row for row in record.of("compiling") if row.seconds.get("scan")]
    return (rows[-1].timing("scan").median / rows[0].timing("scan").median, 1) if len(rows) > 1 else None


BOTH = "forward+backward"
GOALS = (
    Goal("scan", "speed over the best other JAX LSTM, lowest", 1.0, lambda r: _by_case(_least(over_others(r, "scan")))),
    Goal("scan", f"the same in {BOTH}, mean", 1.25, lambda r: _mean(over_others(r, "scan", BOTH))),
    Goal("scan", "compile time at the largest T over that at the smallest", 1.25, _compile_growth, True, 1),
    Goal("scan", 'memory of gradients with remat="chunks" over that without', 1 / 8, _memory, True, 1),
    Goal("scan", 'time of gradients with remat="chunks" over that without', 1.4, _chunks_time, True, 1),
    Goal("native", f"speed over PyTorch in {BOTH}, mean", 1.9, lambda r: _mean(over_torch(r, "native", BOTH))),
    Goal("native", f"speed over PyTorch in {BOTH}, lowest", 1.1, lambda r: _least(over_torch(r, "native", BOTH))),
    Goal("native", "speed over PyTorch in forward, mean", 1.6, lambda r: _mean(over_torch(r, "native", "forward"))),
    Goal("native", "speed over PyTorch in forward, lowest", 1.0, lambda r: _least(over_torch(r, "native", "forward"))),
    Goal(
        "native", "speed over the best other JAX LSTM, mean", 2.2, lambda r: _by_case(_mean(over_others(r, "native")))
    ),
    Goal("native", "part of the matrix peak at the two largest cases, lowest", 0.9, _of_peak, cases=2),
    Goal("native", "bfloat16 over our float32 from H=256 up, lowest", 1.5, _halves, cases=4),
    Goal("native", "training step, scanned, over PyTorch's", 12.0, lambda r: _by_row(r, "training"), cases=1),
    Goal("native", "streaming step over that of nn.LSTM", 2.0, lambda r: _by_row(r, "streaming"), cases=1),
    Goal("native", "the same over nn.LSTMCell", 2.0, lambda r: _by_row(r, "streaming", "torch cell"), cases=1),
)


def _by_row(record: Record, section: str, baseline: str = BASELINE) -> Reached | None:
    return _least(ratio(row, "native", baseline) for row in record.of(section))


def judged(record: Record) -> list[dict[str, Any]]:
    """Every goal with what was reached, as in the record; `reached` is None if it was not measured."""
    found = []
    for goal in GOALS:
        value, cases = goal.reached(record) or (None, 0)
        met = None if value is None or cases < goal.cases else goal.met(value)
        found.append(
            {
                "kernel": goal.kernel,
                "goal": goal.text,
                "wanted": goal.wanted,
                "limit": goal.limit,
                "reached": value,
                "cases": cases,
                "of_cases": goal.cases,
                "met": met,
            }
        )
    return found
