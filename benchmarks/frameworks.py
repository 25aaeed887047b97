"""`python -m benchmarks frameworks`: compare the LSTMs of all frameworks."""

from dataclasses import dataclass, replace
from pathlib import Path

import tyro
from rich.console import Console

from benchmarks import record as records
from benchmarks.cases import CASES
from benchmarks.check import again, judged, print_verdicts
from benchmarks.command import Command
from benchmarks.comparison import compare
from benchmarks.contenders import BASELINE, CONTENDERS
from benchmarks.cores import cores, use_cores
from benchmarks.frameworks_report import markdown, print_tables
from benchmarks.measures import MEASURES
from benchmarks.page import render
from benchmarks.setting import FULL_COMPARISON, QUICK_COMPARISON, Comparison
from jax_lstm.checks import require, require_one_of


@dataclass(frozen=True)
class Frameworks(Command):
    """Time the same LSTMs in JAX, PyTorch, Flax, Keras, Equinox and ONNX Runtime; write the record."""

    NAME = "frameworks"

    quick: bool = False
    """A few cases and rounds, in three minutes; the figures are rough."""
    case: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """Case to measure; may be repeated."""
    contender: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """Contender to measure, in addition to PyTorch's LSTM; may be repeated."""
    measure: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """Measure: forward, forward+backward, training step, streaming step, compile, peak memory; may be repeated."""
    threads: int = 0
    """Cores to use, for all contenders; all cores if not given."""
    gpu: bool = False
    """Compute on the GPU, in both frameworks."""
    check: str = ""
    """Repeat this record with fewer rounds, and report which of its ratios still hold."""

    def show(self, path: Path) -> int:
        return render(self.NAME, markdown(records.read(path, self.NAME)), self.page)

    def make(self, command: str, path: Path, console: Console) -> int:
        """Exit status 1 if a contender failed the gate, or a ratio of the checked record no longer holds."""
        recorded = records.read(Path(self.check), self.NAME) if self.check else None
        if recorded:
            for option in ("quick", "case", "contender", "measure"):
                given = getattr(self, option)
                require(not given, f"--{option}", "be left out with --check, which repeats what was recorded", given)
            own, fix = cores(), f"--threads {cores()} measures with those"
            fits = bool(self.threads) or recorded.threads <= own
            require(
                fits, "--check", f"be of a record with at most the {own} threads that there are", recorded.threads, fix
            )
        use_cores(self.threads or (recorded.threads if recorded else 0), self.gpu)
        record = compare(again(recorded) if recorded else self._setting(), command, path, console)
        print_tables(console, record)
        if recorded:
            verdicts = judged(recorded, record)
            print_verdicts(console, recorded, record, verdicts)
            return 1 if any(verdict.broken for verdict in verdicts) or not any(v.now for v in verdicts) else 0
        return 1 if any(row.failed for row in record.rows) else 0

    def _setting(self) -> Comparison:
        setting = self._chosen()
        nothing = f"{', '.join(self.measure)} at {', '.join(self.case)}"
        require(bool(setting.rows()), "--measure", "be one that a chosen case has", nothing)
        return setting

    def _chosen(self) -> Comparison:
        setting = QUICK_COMPARISON if self.quick else FULL_COMPARISON
        for option, given, known in (
            ("--case", self.case, CASES),
            ("--contender", self.contender, CONTENDERS),
            ("--measure", self.measure, MEASURES),
        ):
            for name in given:
                require_one_of(option, name, tuple(known))
        if self.case:  # a case given by name is measured in full
            slow = dict.fromkeys(self.case, tuple(MEASURES))
            setting = replace(setting, cases={name: CASES[name] for name in self.case}, only={}, slow=slow)
        if self.contender:
            names = dict.fromkeys((BASELINE, *self.contender))
            setting = replace(setting, contenders={name: CONTENDERS[name] for name in names})
        if self.measure:
            setting = replace(setting, measures={name: MEASURES[name] for name in self.measure})
        return setting
