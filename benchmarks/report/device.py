"""The section of `python -m benchmarks device`."""

from benchmarks.device import tables
from benchmarks.record import Record
from benchmarks.report.parts import Section


def section(record: Record) -> Section:
    return Section(
        "Device",
        "Parity of every kernel on an accelerator, and our LSTM beside PyTorch's and beside what the device can do.",
        [],
        tables.tables(record),
        tables.facts(record),
    )
