"""`python -m benchmarks accuracy`: forecasts, adding and copy memory, beside baselines and published figures."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import tyro
from rich.console import Console

from benchmarks import record as records
from benchmarks.accuracy.goals import judged
from benchmarks.accuracy.report import figures, markdown, print_tables
from benchmarks.accuracy.row import Job, Row
from benchmarks.accuracy.setting import QUICK, STUDIES, Setting
from benchmarks.command import Command
from benchmarks.page import render
from jax_lstm.checks import require_extra, require_one_of, require_size


@dataclass(frozen=True)
class Accuracy(Command):
    """Forecast real series with default options; learn the adding problem and copy memory."""

    NAME = "accuracy"

    study: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """Study to run: series, intervals, etth1, adding, copy; may be repeated. All if not given."""
    seeds: int = 3
    """Seeds of initial weights and batches: 0, 1, 2 ..."""
    quick: bool = False
    """Small sizes, for a try; no published figure is reached."""
    resume: str = ""
    """Continue this record: rows that it has, with the same config, are not trained again."""

    def show(self, path: Path) -> int:
        record = records.read(path, self.NAME, Row)
        if self.page:
            figures(record, Path(self.page).parent)
        return render(self.NAME, markdown(record), self.page)

    def make(self, command: str, path: Path, console: Console) -> int:
        for name in self.study:
            require_one_of("--study", name, tuple(STUDIES))
        require_size("--seeds", self.seeds)
        setting = QUICK if self.quick else Setting()
        jobs = [job for name in self.study or STUDIES for job in STUDIES[name](setting, self.seeds)]
        record = records.begin(self.NAME, command, {})
        if self.resume:
            before = records.read(Path(self.resume), self.NAME, Row)
            commits = ", ".join(dict.fromkeys([*before.commit.split(", "), record.commit]))
            record = replace(record, rows=before.rows, seconds=before.seconds, commit=commits)
        require_extra("torch", "torch", "python -m benchmarks accuracy")
        print_tables(console, carry_out(jobs, record, path, console))
        return 0


def carry_out(jobs: Sequence[Job], record: records.Record, path: Path, console: Console) -> records.Record:
    """Make the rows of all jobs, after those of the record that belong to none of them.

    Rows that the record has with the same config are kept. The record is written after each row.
    """
    before, began = record.seconds, time.monotonic()
    others = [row for row in record.rows if not any(job.place(row) for job in jobs)]
    found = [next((row for row in record.rows if job.made(row)), None) for job in jobs]
    for at, job in enumerate(jobs):
        row = found[at]
        if row is None:
            row = found[at] = job.run()
            seconds = before + time.monotonic() - began
            console.print(f"{seconds:5.0f} s: {_said(row)}", highlight=False, markup=False)
            record = replace(record, seconds=seconds)
        rows = [*others, *filter(None, found)]
        record = replace(record, rows=rows, goals=judged(rows))
        records.write(record, path)
    return record


def _said(row: Row) -> str:
    figures = ", ".join(f"{name} {value:.4g}" for name, value in row.figures.items())
    seed = "" if row.seed is None else f", seed {row.seed}"
    return f"{row.study}, {row.task}, {row.size}, {row.who}{seed}: {figures}"
