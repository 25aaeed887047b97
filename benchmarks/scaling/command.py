"""`python -m benchmarks scaling`: communication between the devices of a training step."""

import time
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from benchmarks import record as records
from benchmarks.command import Command
from benchmarks.device.compile_for import require_compiler, topology
from benchmarks.facts import facts_of
from benchmarks.page import render
from benchmarks.scaling import picture
from benchmarks.scaling.rows import Row, Size
from benchmarks.scaling.step import MOST, rows
from benchmarks.scaling.tables import mesh_of, tables, titled
from benchmarks.tables import as_markdown, print_facts, print_table
from jax_lstm.checks import require
from jax_lstm.files import write_whole

SMALL, LARGE = Size(512, 2, 64, 32), Size(2048, 2, 64, 32)
MODELS = (1, 2, 4, 8)  # devices along `model`, for the large model


@dataclass(frozen=True)
class Scaling(Command):
    """Compile a training step for up to 256 devices and count their communication; needs no such devices."""

    NAME = "scaling"

    most: int = MOST
    """Devices of the largest mesh."""
    compile_for: str = ""
    """Instead for the devices of a slice that is not here, such as v5e:2x4, by the compiler for TPUs; this needs
    libtpu: pip install "jax-lstm[tpu-compile]"."""

    def show(self, path: Path) -> int:
        record = records.read(path, self.NAME, Row)
        if self.page:
            write_whole(Path(self.page).with_name(picture.NAME), picture.draw(record.rows))
        return render(self.NAME, markdown(record), self.page)

    def make(self, command: str, path: Path, console: Console) -> int:
        require(1 <= self.most <= MOST, "--most", f"be between 1 and {MOST}", self.most)
        began, record = time.monotonic(), records.begin(self.NAME, command, {})
        wanted = [(SMALL, small(self.most)), (LARGE, large(self.most))]
        if self.compile_for:
            require_compiler()
            count = len(topology(self.compile_for).devices)
            wanted = [(SMALL, [(count, 1), (count // 2, 2)])]
        for size, meshes in wanted:
            for row in rows(size, meshes, self.compile_for):
                record = replace(record, rows=[*record.rows, row], seconds=time.monotonic() - began)
                records.write(record, path)
                console.print(f"{record.seconds:4.0f} s: {titled(size)}, {mesh_of(row)}", highlight=False, markup=False)
        for table in tables(record):
            print_table(console, table)
        print_facts(console, facts_of(record))
        return 0


def small(most: int) -> list[tuple[int, int]]:
    """`(data, model)`: every power of two up to `most` devices."""
    return [(2**at, 1) for at in range(most.bit_length())]


def large(most: int) -> list[tuple[int, int]]:
    """`(data, model)`: 8, 32, 128 and `most` devices, for each number along `model`."""
    counts = [8 * 4**at for at in range(MOST) if 8 * 4**at < most] + [most]
    return [(count // model, model) for model in MODELS for count in counts if count % model == 0]


def markdown(record: records.Record) -> str:
    """The tables as Markdown, for docs/scaling.md."""
    return as_markdown(facts_of(record), tables(record), [f"![{picture.ABOUT}]({picture.NAME})"])
