"""`python -m benchmarks device`: parity and speed on the device that JAX and PyTorch find."""

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
from rich.console import Console

from benchmarks.core.cases import Case
from benchmarks.core.gate import first_line
from benchmarks.core.record import ABSENT, FAILED, Recorder, Row, begin
from benchmarks.core.sampling import Plan
from benchmarks.core.study import Study
from benchmarks.core.tables import print_all
from benchmarks.device import compiled, cuda, floor, grid, scan_settings
from benchmarks.device.compile_for import H100, TPUS, require_compiler
from benchmarks.device.parity import parity
from benchmarks.device.tables import tables
from jax_lstm.checks import require, require_extra, require_one_of

LATE = ABSENT + "no time was left"
PLAN = Plan(budget=0.4, least=3, most=9)
SMALL, TYPICAL = Case(2, 16, 8, 8), Case(16, 512, 256, 256)  # for the settings of `scan`
QUICK = grid.Grid((8, 16), (1, 2), 16)
SOME = 2  # cases of the grid before the settings of `scan`, which take long to compile


@dataclass(frozen=True)
class Device(Study):
    """Parity of every kernel on this device, then speed compared with PyTorch's LSTM over many sizes."""

    NAME = "device"

    minutes: float = 8.0
    """Time limit in minutes; the record lists the cases that were not reached."""
    quick: bool = False
    """Tiny sizes, to see that everything runs; the figures mean nothing. With --compile-for: one H, few B."""
    compile_for: str = ""
    """Run nothing: compile for a chip that is not here. TPUs (v5e, v6e, v5p, v4 or tpu7x): static cycles; this needs
    libtpu: pip install ".[tpu-compile]". NVIDIA (h100): registers and instructions of the Pallas kernel; this
    needs pip install ".[cuda-compile]"."""

    only: str = ""
    """With --compile-for a TPU: one contender, such as pallas."""

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
        until, threads = time.monotonic() + 60 * self.minutes, os.cpu_count() or 1
        recorder = Recorder(begin(self.NAME, command), path, console)

        def tried(name: str, groups: Iterable[list[Row]]) -> None:
            """Add rows as they are measured; an exception becomes a row, and ends only this part."""
            try:
                for rows in groups:
                    recorder.add(rows)
            except Exception as error:  # frameworks raise anything
                recorder.add([Row("broken", name, "all", "", status=FAILED + first_line(error))])

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
                recorder.add([Row("late", name, "all", "", status=LATE, about={"shape": each.shape})])
                continue
            tried(name, grid.rows(each, chosen, jax.default_backend(), plan, threads))
            longest, largest = max(longest, time.monotonic() - started), max(largest, size)
        print_all(console, tables(recorder.record), recorder.record.facts)
        return int(any(row.failed for part in ("parity", "broken") for row in recorder.record.of(part)))

    def compiled(self, command: str, path: Path, console: Console) -> int:
        """Record what compilers say of programs that are not run."""
        require_compiler(self.compile_for)
        recorder = Recorder(begin(self.NAME, command), path, console)
        groups: Iterable[list[Row]] = compiled.rows(self.compile_for, self.quick, self.only)
        if self.compile_for == H100:
            groups = (each.rows for each in cuda.compiled_for(sizes=cuda.QUICK if self.quick else cuda.GRID))
        for rows in groups:
            recorder.add(rows)
        print_all(console, tables(recorder.record), recorder.record.facts)
        return 0
