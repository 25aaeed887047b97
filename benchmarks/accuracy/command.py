"""`python -m benchmarks accuracy`: ETTh1, the adding problem and copy memory, beside the published figures."""

import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import tyro
from rich.console import Console
from rich.markup import escape

from benchmarks import record as records
from benchmarks.accuracy.goals import judged
from benchmarks.accuracy.report import figures, markdown, print_tables, put_into
from benchmarks.accuracy.row import Job, Row
from benchmarks.accuracy.setting import QUICK, STUDIES, Setting
from jax_lstm.checks import require, require_extra, require_size
from jax_lstm.files import write_whole

STUDY = "accuracy"


@dataclass(frozen=True)
class Accuracy:
    """Train on ETTh1, the adding problem and copy memory; hold the errors against published ones; write the record."""

    study: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """Study to run: etth1, adding, copy; may be repeated. All if not given."""
    seeds: int = 3
    """Seeds of initial weights and batches: 0, 1, 2 ..."""
    quick: bool = False
    """Small sizes, for a look; they reach no published figure but those of ETTh1."""
    out: str = ""
    """File for the record; runs/accuracy-DATE-TIME.json if not given."""
    resume: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """Go on with this record: what it holds, with the same config, is not trained again; may be repeated."""
    render: str = ""
    """Train nothing: print the Markdown tables of this record."""
    page: str = ""
    """With --render: put the tables into this page, between its two marks, and the curves beside it."""

    def run(self, console: Console, arguments: Sequence[str]) -> int:
        """Train, print and record, or render."""
        if self.render:
            return self._render()
        for name in self.study:
            require(name in STUDIES, "--study", f"be one of {', '.join(STUDIES)}", repr(name))
        require_size("--seeds", self.seeds)
        setting = QUICK if self.quick else Setting()
        jobs = [job for name in self.study or STUDIES for job in STUDIES[name](setting, self.seeds)]
        path = Path(self.out or "".join(self.resume[:1]) or f"runs/accuracy-{time.strftime('%Y%m%d-%H%M%S')}.json")
        record = records.begin(STUDY, shlex.join(["python", "-m", "benchmarks", *arguments]), {})
        for before in (records.read(Path(name), STUDY, Row) for name in self.resume):
            record = replace(record, rows=[*record.rows, *before.rows], seconds=record.seconds + before.seconds)
        require_extra("torch", "torch", "python -m benchmarks accuracy")
        record = carry_out(jobs, record, path, console)
        print_tables(console, record)
        console.print(f"record: [bold]{escape(str(path))}[/]")
        return 0

    def _render(self) -> int:
        record = records.read(Path(self.render), STUDY, Row)
        if not self.page:
            print(markdown(record), end="")
            return 0
        page = Path(self.page)
        write_whole(page, put_into(page.read_text(encoding="utf-8"), record))
        figures(record, page.parent)
        return 0


def carry_out(jobs: Sequence[Job], record: records.Record, path: Path, console: Console) -> records.Record:
    """The rows of all jobs, in their order, after those of the record that belong to none of them.

    What the record holds already is kept as it is, unless it has another config. It is written after each row, so that
    none is lost.
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
