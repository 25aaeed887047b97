"""The section of `python -m benchmarks tasks`."""

from benchmarks import tasks as study
from benchmarks.facts import facts_of
from benchmarks.record import Record
from benchmarks.report.parts import Section


def section(record: Record) -> Section:
    return Section(
        "Tasks",
        "A language model, a classifier, and forecasters in each precision, each by the command of a user.",
        [],
        study.tables(record),
        facts_of(record),
    )
