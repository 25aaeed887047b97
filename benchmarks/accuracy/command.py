"""`python -m benchmarks accuracy`: forecasts, adding and copy memory, beside baselines and published figures."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import tyro
from rich.console import Console

from benchmarks.accuracy import commands, forecasts, memory
from benchmarks.accuracy.row import Job, Row, from_record, to_rows
from benchmarks.accuracy.series import file_of
from benchmarks.accuracy.tables import tables
from benchmarks.core.record import Record, Recorder, begin, resumed
from benchmarks.core.study import Study
from benchmarks.core.tables import print_all
from jax_lstm.checks import installs, require_extra, require_one_of, require_size

STUDIES: dict[str, Callable[[bool, int], Iterator[Job]]] = {  # of `quick` and the number of seeds
    "series": forecasts.series_jobs,
    "intervals": forecasts.interval_jobs,
    "etth1": forecasts.etth1_jobs,
    "larger": forecasts.larger_jobs,
    "segrnn": forecasts.segrnn_jobs,
    "adding": partial(memory.jobs, "adding"),
    "copy": partial(memory.jobs, "copy"),
    "peers": forecasts.peer_jobs,
}
LONGER = ("larger", "segrnn", "peers")  # run only if they are named
UNASKED = tuple(name for name in STUDIES if name not in LONGER)


@dataclass(frozen=True)
class Accuracy(Study):
    """Forecast real series with default options; learn the adding problem and copy memory; or run a user's commands."""

    NAME = "accuracy"

    study: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """Study to run: series, intervals, etth1, adding, copy; or one that is run only if named: commands (text, labels
    and precision by `jax-lstm`), larger (256 units in place of 64), segrnn (its recipe in PyTorch), peers (forecasters
    of other projects, as far as they are installed). May be repeated. If not given, the first five."""
    setting: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """Setting of `commands` to run; may be repeated. All if not given."""
    series: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """Series to forecast, as the tables name them; may be repeated. All of the study if not given."""
    seeds: int = 3
    """Seeds of initial weights and batches: 0, 1, 2 ..."""
    quick: bool = False
    """Small sizes, for a try; no published figure is reached."""
    resume: str = ""
    """Continue this record: rows that it has, with the same config, are not trained again."""

    def make(self, command: str, path: Path, console: Console) -> int:
        for name in self.study:
            require_one_of("--study", name, (*STUDIES, commands.PART))
        for name in self.setting:
            require_one_of("--setting", name, tuple(commands.SETTINGS))
        require_size("--seeds", self.seeds)
        studies = [STUDIES[name] for name in self.study or UNASKED if name in STUDIES]
        jobs = [job for study in studies for job in study(self.quick, self.seeds)]
        for name in self.series:
            require_one_of("--series", name, tuple(dict.fromkeys(job.task for job in jobs)))
        jobs = installed((job for job in jobs if not self.series or job.task in self.series), console)
        record = resumed(Path(self.resume), self.NAME, command) if self.resume else begin(self.NAME, command)
        for file in {job.file for job in jobs} - {""}:
            file_of(file)  # raises before anything is trained
        if jobs:
            require_extra("torch", "torch", "python -m benchmarks accuracy")
        recorder = Recorder(record, path, console)
        carry_out(jobs, recorder)
        if commands.PART in self.study:
            run_commands(recorder, self.setting or tuple(commands.SETTINGS))
        print_all(console, tables(recorder.record), recorder.record.facts)
        return 0


def installed(jobs: Iterable[Job], console: Console) -> list[Job]:
    """The jobs whose package is installed; the others are named."""
    jobs = list(jobs)
    missing = {job.package: None for job in jobs if job.package and find_spec(job.package) is None}
    for package in missing:
        console.print(f"{package} is not installed and is left out: {installs(package, 'peers')}")
    return [job for job in jobs if job.package not in missing]


def carry_out(jobs: Sequence[Job], recorder: Recorder) -> None:
    """Make the rows of all jobs, after those of the record that belong to none of them.

    Rows that the record has with the same config are kept. The record is written after each row.
    """
    before = from_record(recorder.record)
    rest = [row for row in recorder.record.rows if row.part not in {each.study for each in before}]
    others = [row for row in before if not any(job.of(row) for job in jobs)]
    found: list[Row | None] = [next((row for row in before if job.made(row)), None) for job in jobs]

    def kept() -> Record:
        made = [row for each in [*others, *filter(None, found)] for row in to_rows(each)]
        return replace(recorder.record, rows=[*rest, *made])

    for at, job in enumerate(jobs):
        if found[at] is None:
            found[at] = job.run()
            recorder.record = kept()
            recorder.add([])
    recorder.record = kept()
    recorder.add([])


def run_commands(recorder: Recorder, names: Sequence[str]) -> None:
    """Settings that the record has with the same options are not run again."""
    options = {name: commands.SETTINGS[name] for name in names}
    kept = [
        row
        for row in recorder.record.rows
        if row.part != commands.PART or row.about["options"] == commands.SETTINGS.get(row.case)
    ]
    recorder.record = replace(recorder.record, rows=kept)
    for name, each in options.items():
        if not recorder.record.of(commands.PART, name):
            recorder.add(commands.run(name, each))
    recorder.add([])
