"""The section of `python -m benchmarks iterations`."""

from benchmarks import iterations as study
from benchmarks.facts import facts_of
from benchmarks.record import Record
from benchmarks.report.parts import Section


def section(record: Record) -> Section:
    return Section(
        "Iterations",
        "How many iterations the kernel parallel in time takes, before and after training.",
        [],
        [study.table(record)],
        facts_of(record),
    )
