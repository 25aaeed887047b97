"""The section of `python -m benchmarks ensemble`."""

from benchmarks import ensemble as study
from benchmarks.facts import timed_facts
from benchmarks.record import Record
from benchmarks.report.parts import Section


def section(record: Record) -> Section:
    return Section(
        "Ensembles",
        "Many models trained by one compiled program, against the same models one after the other.",
        [],
        [study.table(record)],
        timed_facts(record),
    )
