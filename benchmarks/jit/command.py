"""`python -m benchmarks jit`: what `jit` costs and gains."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import jax
import tyro
from rich.console import Console

from benchmarks import record as records
from benchmarks.command import Command
from benchmarks.cores import use_cores
from benchmarks.jit.page import render
from benchmarks.jit.rows import Row
from benchmarks.jit.sweeps import QUICK, SWEEPS, Setting
from benchmarks.jit.tables import print_tables
from benchmarks.jit.variants import VARIANTS
from jax_lstm.checks import require_one_of

STUDY = "jit"


@dataclass(frozen=True)
class Jit(Command):
    """Compile and time one LSTM written in many ways: compile time, speed, memory, HLO."""

    NAME = STUDY

    quick: bool = False
    """Fewer rounds and sizes; the figures are rough."""
    sweep: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """What to vary: base, steps, hidden, layers, shapes, precision, devices; may be repeated. All if not given."""
    threads: int = 0
    """Cores to use, for all contenders; all cores if not given."""
    hlo: str = ""
    """Folder for the optimised HLO of every program."""

    def show(self, path: Path) -> int:
        return render(records.read(path, self.NAME, Row), self.page)

    def make(self, command: str, path: Path, console: Console) -> int:
        """Exit status 1 if a variant failed the gate."""
        for name in self.sweep:
            require_one_of("--sweep", name, tuple(SWEEPS))
        use_cores(self.threads)
        record = study(self._setting(), self.sweep, command, path, console)
        print_tables(console, record)
        return 1 if any(row.failed for row in record.rows) else 0

    def _setting(self) -> Setting:
        setting = QUICK if self.quick else Setting()
        texts = Path(self.hlo) if self.hlo else None
        return replace(
            setting, effort=replace(setting.effort, texts=texts), varied=replace(setting.varied, texts=texts)
        )


def study(setting: Setting, only: Sequence[str], command: str, path: Path, console: Console) -> records.Record:
    """Run all sweeps, or those in `only`; the record is written after every group of rows."""
    began = time.monotonic()
    jax.config.update("jax_enable_compilation_cache", False)  # earlier compilations must not shorten this one
    absent = {}
    for name, variant in VARIANTS.items():
        if variant.backend and (reason := variant.refusal(setting.base, "")):
            absent[name] = reason
    record = records.begin(STUDY, command, absent)
    for name, groups in SWEEPS.items():
        for rows in groups(setting) if not only or name in only else ():
            record = replace(record, rows=[*record.rows, *rows], seconds=time.monotonic() - began)
            records.write(record, path)
            first = rows[0]
            text = f"{record.seconds:4.0f} s: {first.sweep}, {first.shape}, {first.measure}, {len(rows)} variants"
            console.print(text, highlight=False, markup=False)
    return record
