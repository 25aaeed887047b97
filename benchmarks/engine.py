"""`python -m benchmarks engine`: the speed of the engine, beside everyone else's and beside its goals."""

import os
import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import jax
import tyro
from rich.console import Console
from rich.markup import escape

from benchmarks import record as records
from benchmarks.goals import judged
from benchmarks.measures import MEASURES
from benchmarks.report import markdown, print_tables
from benchmarks.setting import QUICK, Setting
from jax_lstm.checks import require, require_extra
from jax_lstm.files import write_whole

BEGIN, END = "<!-- engine: begin -->", "<!-- engine: end -->"


@dataclass(frozen=True)
class Engine:
    """Time one layer in all frameworks, training, streaming, bfloat16, memory and compilation; write the record."""

    quick: bool = False
    """Fewer rounds, and without the two largest cases; the figures are rough."""
    only: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """Section to measure: layers, training, streaming, bfloat16, remat, compiling; may be repeated."""
    case: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """Case to measure, by name; may be repeated."""
    threads: int = 0
    """Cores to use, the same for everyone; all that there are if not given."""
    out: str = ""
    """File for the record; runs/engine-DATE-TIME.json if not given."""
    render: str = ""
    """Measure nothing: print the Markdown tables of this record."""
    page: str = ""
    """With --render: put the tables into this page, between its two marks."""

    def run(self, console: Console, arguments: Sequence[str]) -> int:
        """Measure, print and record, or render. Exit status 1 where a contender failed the gate."""
        if self.render:
            return self._render()
        setting = self._setting()
        use_cores(self.threads)
        path = Path(self.out or f"runs/engine-{time.strftime('%Y%m%d-%H%M%S')}.json")
        record = measure(setting, self.only, shlex.join(["python", "-m", "benchmarks", *arguments]), path, console)
        print_tables(console, record)
        console.print(f"record: [bold]{escape(str(path))}[/]")
        return 1 if any(row.failed for row in record.rows) else 0

    def _setting(self) -> Setting:
        setting = QUICK if self.quick else Setting()
        for name in self.only:
            require(name in MEASURES, "--only", f"be one of {', '.join(MEASURES)}", repr(name))
        for name in self.case:
            known = f"be one of {', '.join(map(repr, setting.cases))}"
            require(name in setting.cases, "--case", known, repr(name))
        return replace(setting, cases={name: setting.cases[name] for name in self.case or setting.cases})

    def _render(self) -> int:
        text = markdown(records.read(Path(self.render)))
        if not self.page:
            print(text, end="")
            return 0
        page = Path(self.page)
        write_whole(page, put_into(page.read_text(encoding="utf-8"), text))
        return 0


def measure(setting: Setting, only: Sequence[str], command: str, path: Path, console: Console) -> records.Record:
    """Everything, or the sections `only` and the peak; the record is written after every row, so that none is lost."""
    began = time.monotonic()
    absent = {name: reason for name, contender in setting.contenders.items() if (reason := contender.absent())}
    record = records.begin("engine", command, absent)
    for name, rows_of in MEASURES.items():
        for row in rows_of(setting) if not only or name in ("peak", *only) else ():
            record = replace(record, rows=[*record.rows, row], seconds=time.monotonic() - began)
            record = replace(record, goals=judged(record))
            records.write(record, path)
            rounds = max(map(len, row.seconds.values()), default=0)
            text = f"{record.seconds:4.0f} s: {row.section}, {row.case}, {row.measure}, {rounds} rounds"
            console.print(text, highlight=False, markup=False)
    return record


def put_into(page: str, text: str) -> str:
    """The page with `text` between its marks."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    require(bool(begin and end), "--page", "hold the two marks of the tables", "a page without them", f"{BEGIN} {END}")
    return f"{before}{BEGIN}\n\n{text}\n{END}{after}"


def use_cores(threads: int) -> None:
    """Keep this process to its first `threads` cores, 0 for all; XLA and PyTorch get one thread for each."""
    torch = require_extra("torch", "torch", "python -m benchmarks engine")
    jax.config.update("jax_platforms", "cpu")
    if threads and hasattr(os, "sched_setaffinity"):  # XLA counts the cores when its client starts
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    torch.set_num_threads(records.cores())
