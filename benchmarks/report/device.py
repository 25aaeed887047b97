"""The section of `python -m benchmarks device`."""

from benchmarks.device import tables
from benchmarks.device.compiled import Compiled
from benchmarks.device.cuda import Kernel
from benchmarks.record import Record
from benchmarks.report.parts import Section


def section(record: Record) -> Section:
    chips = ", ".join(dict.fromkeys(row.chip for row in record.rows if isinstance(row, Compiled | Kernel)))
    title = f"Compiled for {chips}" if chips else "Device"
    about = "Parity of every kernel on an accelerator, and our LSTM beside PyTorch's and beside what the device can do."
    if chips:
        about = "What the compiler says of our kernels for a chip that is not here; nothing was run."
    return Section(
        title,
        about,
        [],
        tables.tables(record),
        tables.facts(record),
    )
