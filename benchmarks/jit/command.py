"""`python -m benchmarks jit`: what `jit` costs and gains."""

from dataclasses import dataclass, replace
from pathlib import Path

import tyro
from rich.console import Console

from benchmarks.core.compiling import without_caches
from benchmarks.core.machine import use_cores
from benchmarks.core.record import Recorder, begin
from benchmarks.core.study import Study
from benchmarks.core.tables import print_all
from benchmarks.jit.sweeps import QUICK, SWEEPS, Setting
from benchmarks.jit.tables import tables
from benchmarks.jit.variants import VARIANTS
from jax_lstm.checks import require_one_of


@dataclass(frozen=True)
class Jit(Study):
    """Compile and time one LSTM written in many ways: compile time, speed, memory, HLO."""

    NAME = "jit"

    quick: bool = False
    """Fewer rounds and sizes; the figures are rough."""
    sweep: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """What to vary: base, steps, hidden, layers, shapes, precision, devices; may be repeated. All if not given."""
    threads: int = 0
    """Cores to use, for all contenders; all cores if not given."""
    hlo: str = ""
    """Folder for the optimised HLO of every program."""

    def make(self, command: str, path: Path, console: Console) -> int:
        """Exit status 1 if a variant failed the gate."""
        for name in self.sweep:
            require_one_of("--sweep", name, tuple(SWEEPS))
        use_cores(self.threads)
        absent = {name: why for name, each in VARIANTS.items() if (why := each.contender.absent())}
        recorder, setting = Recorder(begin(self.NAME, command, absent), path, console), self._setting()
        with without_caches():
            for name, groups in SWEEPS.items():
                for rows in groups(setting) if not self.sweep or name in self.sweep else ():
                    recorder.add(rows)
        print_all(console, tables(recorder.record), recorder.record.facts)
        return int(any(row.failed for row in recorder.record.rows))

    def _setting(self) -> Setting:
        setting, texts = QUICK if self.quick else Setting(), Path(self.hlo).resolve() if self.hlo else None
        return replace(
            setting, effort=replace(setting.effort, texts=texts), varied=replace(setting.varied, texts=texts)
        )
