"""`python -m benchmarks profile`: where the native kernel spends its time, sampled by Linux's `perf`."""

import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import tyro
from rich.console import Console

from benchmarks import record as records
from benchmarks.cases import ENGINE_CASES, draw
from benchmarks.command import Command
from benchmarks.contenders import CONTENDERS
from benchmarks.contenders.base import BACKWARD, FORWARD
from benchmarks.contenders.ours import ours
from benchmarks.facts import facts_of
from benchmarks.page import render
from benchmarks.tables import Table, as_markdown, print_facts, print_table, time_of
from benchmarks.timed import PRODUCTS
from jax_lstm.checks import InputError, require, require_one_of

RATE = 4000  # samples per second and thread
SHORT = {FORWARD: "f", BACKWARD: "f+b"}
SEVERAL = 20  # calls before sampling begins

# Kinds of work: the first row whose patterns match the library and the symbol of a sample.
KINDS: dict[str, tuple[str, str]] = {
    "products": (r"_native", r"tile<.*false>|panel_product|add_dots"),
    "dW": (r"_native", r"tile<.*true>|weight_gradients|WeightGradient"),
    "cells": (r"_native", r"cells|h_rows|::cell|step_|body|emit"),
    "packing": (r"_native", r"pack|prepare|convert"),
    "waiting": (r"_native|kernel", r"run_team|help|barrier|yield|sched|spin|task_switch|futex"),
    "memory": (r"libc|kernel|^\[unknown", r"mem(move|cpy|set)|fault|clear_page|page|zap|mmap|madvise"),
    "other": (r"_native", r""),
    "XLA": (r"libjax|xla|\[JIT\]|jit|\[unknown\]|anon|perf-", r""),
    "Python": (r"python|_jax|\.so", r""),
    "system": (r"", r""),
}


@dataclass(frozen=True)
class Profile:
    """A call in a loop: seconds per call, cores in use, and the share of samples by kind of work."""

    case: str
    shape: str
    measure: str
    seconds: float
    flops: float
    cores: float
    parts: dict[str, float]


@dataclass(frozen=True)
class Profiling(Command):
    """Sample the native kernel at every case; needs `perf` (Debian: linux-perf) and about two minutes."""

    NAME = "profile"

    case: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """Case to measure; may be repeated."""
    seconds: float = 3.0
    """Seconds of samples for each case."""

    def show(self, path: Path) -> int:
        return render(self.NAME, markdown(records.read(path, self.NAME, Profile)), self.page)

    def make(self, command: str, path: Path, console: Console) -> int:
        for name in self.case:
            require_one_of("--case", name, tuple(ENGINE_CASES))
        require(self.seconds > 0, "--seconds", "be positive", self.seconds)
        if not shutil.which("perf"):
            raise InputError("python -m benchmarks profile needs Linux's `perf`; on Debian: apt install linux-perf")
        if reason := CONTENDERS["native"].absent():
            raise InputError(f"python -m benchmarks profile needs the native kernel: {reason}")
        began, record = time.monotonic(), records.begin(self.NAME, command, {})
        for name in self.case or ENGINE_CASES:
            for measure in (FORWARD, BACKWARD):
                record = replace(record, rows=[*record.rows, sampled(name, measure, self.seconds)])
                record = replace(record, seconds=time.monotonic() - began)
                records.write(record, path)
        print_table(console, table(record))
        print_facts(console, facts_of(record))
        return 0


def sampled(name: str, measure: str, seconds: float) -> Profile:
    """Run the call in a process and sample it from outside."""
    case = ENGINE_CASES[name]
    with tempfile.TemporaryDirectory() as folder:
        data = str(Path(folder, "perf.data"))
        looping = [sys.executable, "-m", "benchmarks.profile", name, measure, str(seconds + 1.0)]
        with subprocess.Popen(looping, stdout=subprocess.PIPE, text=True, cwd=records.ROOT) as child:
            assert child.stdout is not None
            if child.stdout.readline().strip() != "ready":
                raise InputError(f"the calls to be sampled failed at {name}, {measure}; see above")
            perf = ["perf", "record", "-q", "-e", "cpu-clock", "-F", str(RATE), "-p", str(child.pid), "-o", data]
            ran = subprocess.run([*perf, "sleep", str(seconds)], capture_output=True, text=True)
            took = json.loads(child.stdout.readline())
        if ran.returncode:
            raise InputError(f"perf record failed: {ran.stderr.strip()}")
        report = ["perf", "report", "-i", data, "--no-children", "--sort", "dso,symbol", "-n", "-t", "\t", "--stdio"]
        text = subprocess.run(report, capture_output=True, text=True, check=True).stdout
    counts = parts_of(text)
    total = sum(counts.values())
    parts = {kind: count / total for kind, count in counts.items()}
    return Profile(name, case.shape, measure, took, PRODUCTS[measure] * case.flops, total / RATE / seconds, parts)


def parts_of(report: str) -> dict[str, int]:
    """Count samples by kind in a report of perf with the columns percentage, samples, library and symbol."""
    counts = dict.fromkeys(KINDS, 0)
    for line in report.splitlines():
        columns = [column.strip() for column in line.split("\t")]
        if line.startswith("#") or len(columns) < 4:
            continue
        _, samples, library, symbol = columns[:4]
        counts[kind_of(library, symbol)] += int(samples)
    return counts


def kind_of(library: str, symbol: str) -> str:
    return next(
        kind
        for kind, (libraries, symbols) in KINDS.items()
        if re.search(libraries, library) and re.search(symbols, symbol)
    )


def markdown(record: records.Record) -> str:
    """The table as Markdown, for docs/performance.md."""
    return as_markdown(facts_of(record), [table(record)])


def table(record: records.Record) -> Table:
    columns = ("case", "pass", "time", "GFLOP/s", "cores", *KINDS)
    rows = []
    for row in record.rows:
        figures = time_of(row.seconds), f"{row.flops / row.seconds / 1e9:,.0f}", f"{row.cores:.1f}"
        rows.append((row.case, SHORT[row.measure], *figures, *(f"{row.parts[kind]:.0%}" for kind in KINDS)))
    title = "Where the time goes, forward (f) and forward+backward (f+b): part of the samples of all threads"
    return Table(title, columns, rows, left=2)


def _loop(name: str, measure: str, seconds: float) -> None:
    """Announce readiness, call until the time is up, and print the seconds per call."""
    call = ours("native")(draw(ENGINE_CASES[name]))[measure].run
    for _ in range(SEVERAL if ENGINE_CASES[name].flops < 1e10 else 1):
        call()
    print("ready", flush=True)
    calls, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        call()
        calls += 1
    print((time.perf_counter() - began) / calls, flush=True)


if __name__ == "__main__":
    _loop(sys.argv[1], sys.argv[2], float(sys.argv[3]))
