"""`python -m benchmarks scaling`: communication between the devices of a training step."""

import time
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from benchmarks import record as records
from benchmarks.command import Command
from benchmarks.device.topology import described
from benchmarks.facts import facts_of
from benchmarks.page import render
from benchmarks.scaling import picture
from benchmarks.scaling.rows import HOST, Row, Size, Target
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
    """Instead for devices that are not here, by their compiler: a slice of TPUs such as v5e:2x4, which needs libtpu,
    pip install "jax-lstm[tpu-compile]", or GPUs of one machine such as h100:8, which needs JAX 0.12 and
    pip install "jax-lstm[cuda-compile]"."""

    def show(self, path: Path) -> int:
        record = records.read(path, self.NAME, Row)
        if self.page:
            write_whole(Path(self.page).with_name(picture.NAME), picture.draw(record.rows))
        return render(self.NAME, markdown(record), self.page)

    def make(self, command: str, path: Path, console: Console) -> int:
        require(1 <= self.most <= MOST, "--most", f"be between 1 and {MOST}", self.most)
        began, record = time.monotonic(), records.begin(self.NAME, command, {})
        wanted = [(SMALL, small(self.most), HOST), (LARGE, large(self.most), HOST)]
        if self.compile_for:
            count = len(described(self.compile_for))
            meshes = [(count, 1), (count // 2, 2)] if count > 1 else [(1, 1)]
            wanted = [(SMALL, meshes, Target(self.compile_for, kernel, "bfloat16")) for kernel in ("auto", "pallas")]
        for size, meshes, target in wanted:
            for row in rows(size, meshes, target):
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
