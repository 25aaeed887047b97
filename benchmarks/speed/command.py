"""`python -m benchmarks speed`: what is measured, and how thoroughly."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import tyro
from rich.console import Console

from benchmarks.core.cases import CASES
from benchmarks.core.contenders import BASELINE, CONTENDERS
from benchmarks.core.machine import cores, use_cores
from benchmarks.core.record import Recorder, Row, begin, read, write
from benchmarks.core.sampling import Plan
from benchmarks.core.study import Study
from benchmarks.core.tables import print_all
from benchmarks.speed import kernels, submission
from benchmarks.speed.check import again, judged, print_verdicts
from benchmarks.speed.comparison import FULL, MEASURES, PART, QUICK, Setting, compare
from benchmarks.speed.iterations import iterations
from benchmarks.speed.scaling import scaling
from benchmarks.speed.tables import tables
from benchmarks.speed.training import ENSEMBLES, ensembles
from jax_lstm.checks import require, require_extra, require_one_of

PARTS = ("speed", "kernels", *kernels.ALONE, "training", "ensemble", "scaling", "iterations")
NARROWER = ("quick", "case", "contender", "measure")
ALONE = {"check": ("repeats what was recorded", NARROWER), "submit": ("measures all", (*NARROWER, "check", "out"))}


@dataclass(frozen=True)
class Speed(Study):
    """Time the same LSTMs in JAX, PyTorch, Flax, Keras, Equinox and ONNX Runtime; or our kernels by themselves."""

    NAME = "speed"

    part: str = "speed"
    """What to measure: speed (all contenders), kernels (ours in several ways), bfloat16 (only those in bfloat16,
    beside PyTorch), audio (only one row of one input through small layers), stacks (only small stacks), training (only
    the tutorial's training step, with both forms of Adam), ensemble (many models at once), scaling (what devices
    exchange in a training step; nothing is run), iterations (of the kernel parallel in time)."""
    quick: bool = False
    """A few cases and rounds, without memory, in less than three minutes; the figures are rough."""
    case: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """Case of `speed` or `ensemble` to measure; may be repeated."""
    contender: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """Contender to measure, in addition to PyTorch's LSTM; may be repeated."""
    measure: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """Measure: forward, forward+backward, training step, streaming step, compile, peak memory; may be repeated."""
    threads: int = 0
    """Cores to use, for all contenders; all cores if not given."""
    gpu: bool = False
    """Compute on the GPU, in both frameworks."""
    check: str = ""
    """Repeat this record with fewer rounds, and report which ratios still hold; a submission is verified first."""
    submit: str = ""
    """File for a record that others can verify: the full comparison, under the rules of docs/protocol.md."""
    compile_for: str = ""
    """Of `scaling`: compile for devices that are not here, by their compiler: a slice of TPUs such as v5e:2x4, which
    needs libtpu, pip install ".[tpu-compile]", or GPUs of one machine such as h100:8, which needs JAX 0.12 and
    pip install ".[cuda-compile]"."""

    @property
    def file(self) -> str:
        """The file that was asked for, or nothing."""
        return self.submit or self.out

    def make(self, command: str, path: Path, console: Console) -> int:
        """Exit status 1 if a contender failed the gate, or a ratio of the checked record no longer holds."""
        recorded = read(Path(self.check), self.NAME) if self.check else None
        require_one_of("--part", self.part, PARTS)
        for option, (does, others) in ALONE.items():
            for other in others if getattr(self, option) else ():
                given = getattr(self, other)
                require(not given, f"--{other}", f"be left out with --{option}, which {does}", given)
        require(not self.submit or self.part == PART, "--part", f"be {PART} with --submit", self.part)
        if recorded and recorded.submission:
            console.print(submission.verified(recorded, FULL), highlight=False)
        if recorded:
            own, fix = cores(), f"--threads {cores()} measures with those"
            fits = bool(self.threads) or recorded.threads <= own
            require(fits, "--check", f"be of a record with at most the {own} threads here", recorded.threads, fix)
        setting = again(recorded) if recorded else self._setting()
        if self.part not in ("scaling", "iterations"):
            require_extra("torch", "torch", "python -m benchmarks speed")
            use_cores(self.threads or (recorded.threads if recorded else 0), self.gpu)
        absent = {name: why for name, each in setting.contenders.items() if (why := each.absent())}
        record = begin(self.NAME, command, absent)
        recorder = Recorder(submission.begun(record) if self.submit else record, path, console)
        for rows in self._rows(setting):
            recorder.add(rows)
        record = submission.sealed(recorder.record) if self.submit else recorder.record
        if self.submit:
            write(record, path)
        print_all(console, tables(record), record.facts)
        if recorded:
            verdicts = judged(recorded, record)
            print_verdicts(console, recorded, record, verdicts)
            return 1 if any(verdict.broken for verdict in verdicts) or not any(v.now for v in verdicts) else 0
        return int(any(row.failed for row in record.rows) and self.part != "iterations")

    def _rows(self, setting: Setting) -> Iterator[list[Row]]:
        ours = kernels.QUICK if self.quick else kernels.FULL
        parts: dict[str, Callable[[], Iterator[list[Row]]]] = {
            "speed": lambda: compare(setting),
            "kernels": lambda: kernels.kernels(ours),
            **{name: partial(kernels.alone, name, ours) for name in kernels.ALONE},
            "training": lambda: kernels.training_alone(ours),
            "ensemble": lambda: ensembles(Plan(budget=2.0 if self.quick else 10.0), self.case),
            "scaling": lambda: scaling(self.compile_for),
            "iterations": iterations,
        }
        return parts[self.part]()

    def _setting(self) -> Setting:
        setting = QUICK if self.quick else FULL
        for option, given, known in (
            ("--case", self.case, ENSEMBLES if self.part == "ensemble" else CASES),
            ("--contender", self.contender, CONTENDERS),
            ("--measure", self.measure, MEASURES),
        ):
            for name in given:
                require_one_of(option, name, tuple(known))
        if self.case and self.part == "speed":  # a case given by name is measured in full
            slow = dict.fromkeys(self.case, tuple(MEASURES))
            setting = replace(setting, cases={name: CASES[name] for name in self.case}, only={}, slow=slow)
        if self.contender:
            names = dict.fromkeys((BASELINE, *self.contender))
            setting = replace(setting, contenders={name: CONTENDERS[name] for name in names})
        if self.measure:
            setting = replace(setting, measures={name: MEASURES[name] for name in self.measure})
        nothing = f"{', '.join(self.measure)} at {', '.join(self.case)}"
        require(bool(setting.pairs()), "--measure", "be one that a chosen case has", nothing)
        return setting
