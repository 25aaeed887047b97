"""Look up rows of a record, for the findings."""

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
    """The rows of a record, by sweep, variant and measure."""

    def __init__(self, rows: Sequence[Row]):
        self.all = rows

    def get(self, sweep: str, variant: str, measure: str = BOTH, **where: Any) -> Row:
        found = find(self.all, sweep, variant, measure, **where)
        if found is None:
            raise NotMeasuredError(f"{sweep}, {variant}, {measure}")
        return found

    def ends(self, sweep: str, variant: str, by: str, measure: str = BOTH) -> tuple[Row, Row]:
        """The rows with the smallest and the largest value of `by`."""
        found = sorted(timed(self.all, sweep, variant, measure), key=lambda row: getattr(row, by))
        if len(found) < 2:
            raise NotMeasuredError(f"{sweep}, {variant}, {measure}")
        return found[0], found[-1]

    def time(self, row: Row, other: Row) -> float:
        """The time of `row` relative to `other`."""
        found = ratio(self.all, row, other)
        assert found is not None
        return found


def loops_of(row: Row) -> list[dict[str, Any]]:
    """The loops of the compiled program; a short one may have none."""
    if not row.loops:
        raise NotMeasuredError(f"{row.sweep}, {row.variant}: no loop")
    return row.loops
