"""The rows of a record as findings read them, by what they are of."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from benchmarks.jit.programs import BOTH
from benchmarks.jit.rows import Row, find, ratio, timed


class Evidence(NamedTuple):
    text: str
    holds: bool


class NotMeasuredError(LookupError):
    """A row that a finding needs is not in the record."""


class Rows:
    """The rows of a record, by what they are of."""

    def __init__(self, rows: Sequence[Row]):
        self.all = rows

    def get(self, sweep: str, variant: str, measure: str = BOTH, **where: Any) -> Row:
        found = find(self.all, sweep, variant, measure, **where)
        if found is None:
            raise NotMeasuredError(f"{sweep}, {variant}, {measure}")
        return found

    def ends(self, sweep: str, variant: str, by: str, measure: str = BOTH) -> tuple[Row, Row]:
        """The rows with the least and the largest of what is swept."""
        found = sorted(timed(self.all, sweep, variant, measure), key=lambda row: getattr(row, by))
        if len(found) < 2:
            raise NotMeasuredError(f"{sweep}, {variant}, {measure}")
        return found[0], found[-1]

    def time(self, row: Row, other: Row) -> float:
        """How many times as long it takes."""
        found = ratio(self.all, row, other)
        assert found is not None
        return found


def loops_of(row: Row) -> list[dict[str, Any]]:
    """Those of the compiled program; a short one may have been compiled without."""
    if not row.loops:
        raise NotMeasuredError(f"{row.sweep}, {row.variant}: no loop")
    return row.loops
