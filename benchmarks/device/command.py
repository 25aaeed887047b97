"""`python -m benchmarks device`: parity, then speed, on whatever device JAX and PyTorch find."""

import os
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
from rich.console import Console

from benchmarks import record as records
from benchmarks.cases import Case
from benchmarks.command import Command
from benchmarks.device import floor, grid, scan_settings
from benchmarks.device.parity import Parity, parity
from benchmarks.device.tables import LATE, facts, markdown, sheets
from benchmarks.page import render
from benchmarks.sampling import Plan, Timed
from benchmarks.sheets import print_facts, print_sheet
from jax_lstm.checks import require, require_extra

PLAN = Plan(budget=0.4, least=3, most=9)
SMALL, TYPICAL = Case(2, 16, 8, 8), Case(16, 512, 256, 256)  # on which the settings of `scan` are tried
QUICK = grid.Grid((8, 16), (1, 2), 16)


@dataclass(frozen=True)
class Device(Command):
    """On a GPU, or whatever there is: parity of every kernel, then ours beside PyTorch's LSTM over many sizes."""

    NAME = "device"

    minutes: float = 8.0
    """Minutes that it may take; the cases that are not reached are listed as such."""
    quick: bool = False
    """Sizes so small that any machine measures them in a minute; the figures say nothing."""

    def show(self, path: Path) -> int:
        return render(self.NAME, markdown(records.read(path, self.NAME, row_of)), self.page)

    def make(self, command: str, path: Path, console: Console) -> int:
        """Exit status 1 where a kernel that serves a case does not agree."""
        require(self.minutes > 0, "--minutes", "be positive", self.minutes)
        require_extra("torch", "torch", "python -m benchmarks device")
        until, began = time.monotonic() + 60 * self.minutes, time.monotonic()
        record, threads = records.begin(self.NAME, command, {}), os.cpu_count() or 1

        def add(*rows: Any) -> None:
            nonlocal record
            if not rows:
                return
            record = replace(record, rows=[*record.rows, *rows], seconds=time.monotonic() - began)
            records.write(record, path)
            console.print(f"{record.seconds:4.0f} s: {getattr(rows[-1], 'case', 'parity')}", highlight=False)

        add(*parity(threads))
        plan = PLAN._replace(budget=0.0) if self.quick else PLAN
        add(*floor.limits(floor.Sizes(256, 2**20) if self.quick else floor.Sizes(), plan))
        case, unrolls = (SMALL, (1, 2)) if self.quick else (TYPICAL, scan_settings.UNROLLS)
        add(*scan_settings.settings(case, unrolls))
        chosen = QUICK if self.quick else grid.Grid()
        longest = 0.0
        for at in chosen.cases():
            started = time.monotonic()
            if started + longest > until:
                name = f"H={at.hidden_size}, B={at.batch}"
                add(Timed("late", name, "", "", {}, not_offered={"all": LATE}, shape=at.shape))
                continue
            add(*grid.rows(at, chosen, jax.default_backend(), plan, threads))
            longest = max(longest, time.monotonic() - started)
        for sheet in sheets(record):
            print_sheet(console, sheet)
        print_facts(console, facts(record))
        return int(any(row.failed for row in record.rows if isinstance(row, Parity)))


def row_of(**values: Any) -> Parity | Timed:
    """A row of the record."""
    return (Parity if "kernel" in values else Timed)(**values)
