"""`python -m benchmarks device`: parity and speed on the device that JAX and PyTorch find."""

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
from rich.console import Console

from benchmarks import record as records
from benchmarks.cases import Case
from benchmarks.command import Command
from benchmarks.device import compiled, cuda, floor, grid, scan_settings
from benchmarks.device.compiled import Compiled
from benchmarks.device.parity import Parity, parity
from benchmarks.device.tables import LATE, facts, markdown, tables
from benchmarks.device.topology import H100, TPUS, require_compiler
from benchmarks.page import render
from benchmarks.sampling import Plan, Timed
from benchmarks.tables import print_facts, print_table
from jax_lstm.checks import require, require_extra, require_one_of

PLAN = Plan(budget=0.4, least=3, most=9)
SMALL, TYPICAL = Case(2, 16, 8, 8), Case(16, 512, 256, 256)  # for the settings of `scan`
QUICK = grid.Grid((8, 16), (1, 2), 16)
SOME = 2  # cases of the grid before the settings of `scan`, which take long to compile


@dataclass(frozen=True)
class Device(Command):
    """Parity of every kernel on this device, then speed compared with PyTorch's LSTM over many sizes."""

    NAME = "device"

    minutes: float = 8.0
    """Time limit in minutes; the record lists the cases that were not reached."""
    quick: bool = False
    """Tiny sizes, to see that everything runs; the figures mean nothing. With --compile-for: one H, few B."""
    compile_for: str = ""
    """Run nothing: compile for a chip that is not here. TPUs (v5e, v6e, v5p, v4 or tpu7x): static cycles; this needs
    libtpu: pip install "jax-lstm[tpu-compile]". NVIDIA (h100): registers and instructions of the Pallas kernel; this
    needs pip install "jax-lstm[cuda-compile]"."""

    only: str = ""
    """With --compile-for a TPU: one contender, such as pallas."""

    def show(self, path: Path) -> int:
        return render(self.NAME, markdown(records.read(path, self.NAME, row_of)), self.page)

    def make(self, command: str, path: Path, console: Console) -> int:
        """Exit status 1 if a kernel fails parity, or a part ended early."""
        if self.only:
            require(self.compile_for in TPUS, "--only", "come with --compile-for a TPU", self.only)
            require_one_of("--only", self.only, compiled.CONTENDERS)
        if self.compile_for:
            require_one_of("--compile-for", self.compile_for, (*TPUS, H100))
            return self.compiled(command, path, console)
        # Otherwise JAX takes most of a GPU's memory when it starts, and leaves none for PyTorch.
        os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
        require(self.minutes > 0, "--minutes", "be positive", self.minutes)
        torch: Any = require_extra("torch", "torch", "python -m benchmarks device")
        blind = jax.default_backend() == "gpu" and not torch.cuda.is_available()
        require(not blind, "PyTorch", "find the GPU that JAX finds", "a PyTorch without CUDA")
        until, began = time.monotonic() + 60 * self.minutes, time.monotonic()
        record, threads = records.begin(self.NAME, command, {}), os.cpu_count() or 1

        def add(row: Any) -> None:
            nonlocal record
            record = replace(record, rows=[*record.rows, row], seconds=time.monotonic() - began)
            records.write(record, path)
            if isinstance(row, Timed):
                console.print(
                    f"{record.seconds:4.0f} s: {' '.join((row.section, row.case, row.measure))}", highlight=False
                )

        def tried(name: str, rows: Iterable[Any]) -> None:
            """Add rows as they are measured; an exception becomes a row, and ends only this part."""
            try:
                for row in rows:
                    add(row)
            except Exception as error:  # frameworks raise anything
                first = f"{type(error).__name__}: {error}".splitlines()[0]
                add(Timed("broken", name, "", "", {}, failed={"all": first}))

        plan = PLAN._replace(budget=0.0) if self.quick else PLAN
        tried("parity", parity(threads))
        tried("limits", floor.limits(floor.Sizes(256, 2**20) if self.quick else floor.Sizes(), plan))
        case, unrolls = (SMALL, (1, 2)) if self.quick else (TYPICAL, scan_settings.UNROLLS)
        chosen = QUICK if self.quick else grid.Grid()
        longest, largest = 0.0, 1
        for at, each in enumerate(chosen.cases()):
            if at == SOME:
                left = max(until - time.monotonic(), 0.0)
                tried("settings of scan", scan_settings.settings(case, unrolls, left / 3))
            name, size = f"H={each.hidden_size}, B={each.batch}", each.hidden_size * each.batch
            started = time.monotonic()
            if started + longest * max(1.0, size / largest) > until:
                add(Timed("late", name, "", "", {}, not_offered={"all": LATE}, shape=each.shape))
                continue
            tried(name, grid.rows(each, chosen, jax.default_backend(), plan, threads))
            longest, largest = max(longest, time.monotonic() - started), max(largest, size)
        for table in tables(record):
            print_table(console, table)
        print_facts(console, facts(record))
        wrong = [row for row in record.rows if row.failed and (isinstance(row, Parity) or row.section == "broken")]
        return int(bool(wrong))

    def compiled(self, command: str, path: Path, console: Console) -> int:
        """Record what compilers say of programs that are not run."""
        require_compiler(self.compile_for)
        began, record = time.monotonic(), records.begin(self.NAME, command, {})
        if self.compile_for == H100:
            rows: Iterable[Any] = cuda.compiled_for(sizes=cuda.QUICK if self.quick else cuda.GRID)
        else:
            rows = compiled.rows(self.compile_for, self.quick, self.only)
        for row in rows:
            record = replace(record, rows=[*record.rows, row], seconds=time.monotonic() - began)
            records.write(record, path)
            console.print(f"{record.seconds:4.0f} s: {', '.join(map(str, row.program))}", highlight=False)
        for table in tables(record):
            print_table(console, table)
        print_facts(console, facts(record))
        return 0


def row_of(**values: Any) -> Parity | Timed | Compiled | cuda.Kernel:
    """Rebuild a row of the record."""
    if "registers" in values:
        return cuda.Kernel(**values)
    return (Parity if "kernel" in values else Compiled if "chip" in values else Timed)(**values)
