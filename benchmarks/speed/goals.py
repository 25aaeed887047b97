"""The goals of our kernels, and what records reached; missed ones are shown as such."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from benchmarks.core.contenders import CONTENDERS
from benchmarks.core.contenders.base import BACKWARD, FORWARD, STREAMING
from benchmarks.core.record import Record, Row
from benchmarks.core.sampling import geometric_mean
from benchmarks.core.tables import ABSENT, Table, three
from benchmarks.speed.comparison import PART

LARGEST = ("large", "largest")
OTHERS = tuple(name for name, contender in CONTENDERS.items() if contender.other_jax)


class Goal(NamedTuple):
    """The `least` (or mean) of the values must be at least `wanted`, or at most, if it is a `limit`."""

    text: str
    wanted: float
    values: Callable[[Record], Iterable[float | None]]
    mean: bool = False
    limit: bool = False

    def reached(self, records: Sequence[Record]) -> tuple[float, int] | None:
        """The figure and the number of values it comes from; None if nothing was measured."""
        found = [value for record in records for value in self.values(record) if value is not None]
        return (geometric_mean(found) if self.mean else min(found), len(found)) if found else None


def over_torch(name: str, *measures: str) -> Callable[[Record], Iterable[float | None]]:
    return lambda record: [_speed(record, row) for m in measures for row in record.of(PART, "", m, name)]


def over_others(name: str, *measures: str) -> Callable[[Record], Iterable[float | None]]:
    """Over the fastest other LSTM for JAX of each case."""

    def values(record: Record) -> Iterable[float | None]:
        for measure in measures:
            for row in record.of(PART, "", measure, name):
                others = [found for who in OTHERS if (found := record.row(PART, row.case, measure, who))]
                if others:
                    yield _speed(record, row, min(others, key=lambda each: each.value).contender)

    return values


def _of_part(part: str, name: str, baseline: str = "", measure: str = "") -> Callable[[Record], Iterable[float | None]]:
    return lambda record: [_speed(record, row, baseline) for row in record.of(part, "", measure, name)]


def _speed(record: Record, row: Row, baseline: str = "") -> float | None:
    found = record.ratio(row, baseline)
    return found.median if found else None


def _of_peak(record: Record) -> Iterable[float]:
    rows = [row for case in LARGEST for m in (FORWARD, BACKWARD) if (row := record.row(PART, case, m, "native"))]
    return [row.rate / record.peak for row in rows if record.peak]


def _memory(record: Record) -> Iterable[float]:
    kept, chunks = (record.value("remat", "long", f"{BACKWARD}: temporary", who) for who in ("keep all", "chunks"))
    return [chunks / kept] if kept and chunks else []


def _compile_growth(record: Record) -> Iterable[float]:
    rows = record.of("compiling", "", "compile", "scan")
    return [rows[-1].value / rows[0].value] if len(rows) > 1 else []


BOTH = (FORWARD, BACKWARD)
GOALS = (
    Goal("native over PyTorch, forward, mean", 1.6, over_torch("native", FORWARD), mean=True),
    Goal("native over PyTorch, forward, lowest", 1.0, over_torch("native", FORWARD)),
    Goal("native over PyTorch, forward+backward, mean", 1.9, over_torch("native", BACKWARD), mean=True),
    Goal("native over PyTorch, forward+backward, lowest", 1.1, over_torch("native", BACKWARD)),
    Goal("native over the best other JAX LSTM, mean", 2.2, over_others("native", *BOTH), mean=True),
    Goal("native, part of the matrix peak at the two largest cases, lowest", 0.9, _of_peak),
    Goal("native, a streaming step over that of nn.LSTM", 2.0, over_torch("native", STREAMING)),
    Goal("native, a streaming step over that of nn.LSTMCell", 2.0, _of_part(PART, "native", "torch cell", STREAMING)),
    Goal("native, bfloat16 over float32 from H=256 up, lowest", 1.5, _of_part("bfloat16", "native, bfloat16")),
    Goal("native, the tutorial's training step, scanned, over PyTorch's", 12.0, _of_part("training", "native")),
    Goal("scan over the best other JAX LSTM, lowest", 1.0, over_others("scan", *BOTH)),
    Goal("scan over the best other JAX LSTM, forward+backward, mean", 1.25, over_others("scan", BACKWARD), mean=True),
    Goal("scan, compile time at the largest T over that at the smallest", 1.25, _compile_growth, limit=True),
    Goal('scan, memory of gradients with remat="chunks" over that without', 1 / 8, _memory, limit=True),
    Goal(
        'scan, time of gradients with remat="chunks" over that without', 1.4,
        lambda record: [1 / value for value in _of_part("remat", "chunks", "", BACKWARD)(record) if value],
        limit=True,
    ),
)  # fmt: skip


def goals(records: Sequence[Record]) -> Table:
    rows = []
    for goal in GOALS:
        wanted = ("at most " if goal.limit else "at least ") + three(goal.wanted)
        found = goal.reached(records)
        if found is None:
            rows.append((goal.text, wanted, ABSENT, ""))
            continue
        value, number = found
        met = value <= goal.wanted if goal.limit else value >= goal.wanted
        of = f" ({number} values)" if number > 1 else ""
        rows.append((goal.text, wanted, f"{three(value)}{of}", "yes" if met else "no"))
    return Table("Goals", ("goal", "wanted", "reached", "met"), rows)
