"""`python -m benchmarks engine`: the speed of our kernels, compared with other LSTMs and with the goals."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import tyro
from rich.console import Console

from benchmarks import record as records
from benchmarks.command import Command
from benchmarks.cores import use_cores
from benchmarks.engine_tables import markdown, print_tables
from benchmarks.goals import judged
from benchmarks.page import render
from benchmarks.sections import SECTIONS
from benchmarks.setting import QUICK, Setting
from jax_lstm.checks import require


@dataclass(frozen=True)
class Engine(Command):
    """Time one layer in all frameworks, training, streaming, bfloat16; measure memory and compile time."""

    NAME = "engine"

    quick: bool = False
    """Fewer rounds, without the two largest cases; the figures are rough."""
    only: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """Section to measure (layers, training, ...: see benchmarks/sections.py); may be repeated."""
    case: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """Case to measure; may be repeated."""
    threads: int = 0
    """Cores to use, for all contenders; all cores if not given."""

    def show(self, path: Path) -> int:
        return render(self.NAME, markdown(records.read(path)), self.page)

    def make(self, command: str, path: Path, console: Console) -> int:
        """Exit status 1 if a contender failed the gate."""
        setting = self._setting()
        use_cores(self.threads)
        record = measure(setting, self.only, command, path, console)
        print_tables(console, record)
        return 1 if any(row.failed for row in record.rows) else 0

    def _setting(self) -> Setting:
        setting = QUICK if self.quick else Setting()
        for name in self.only:
            require(name in SECTIONS, "--only", f"be one of {', '.join(SECTIONS)}", repr(name))
        for name in self.case:
            known = f"be one of {', '.join(map(repr, setting.cases))}"
            require(name in setting.cases, "--case", known, repr(name))
        return replace(setting, cases={name: setting.cases[name] for name in self.case or setting.cases})


def measure(setting: Setting, only: Sequence[str], command: str, path: Path, console: Console) -> records.Record:
    """Measure all sections, or those in `only` and the peak; the record is written after every row."""
    began = time.monotonic()
    absent = {name: reason for name, contender in setting.contenders.items() if (reason := contender.absent())}
    record = records.begin("engine", command, absent)
    for name, rows_of in SECTIONS.items():
        for row in rows_of(setting) if not only or name in ("peak", *only) else ():
            record = replace(record, rows=[*record.rows, row], seconds=time.monotonic() - began)
            record = replace(record, goals=judged(record))
            records.write(record, path)
            rounds = max(map(len, row.seconds.values()), default=0)
            text = f"{record.seconds:4.0f} s: {row.section}, {row.case}, {row.measure}, {rounds} rounds"
            console.print(text, highlight=False, markup=False)
    return record
