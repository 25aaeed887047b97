"""A script: where the native kernel spends its time, sampled by Linux's `perf`.

    python -m benchmarks.profile [RECORD]

It needs `perf` (Debian: apt install linux-perf) and about two minutes, and writes a record.
"""

import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console

from benchmarks.core import child
from benchmarks.core.cases import CASES, draw
from benchmarks.core.contenders.base import BACKWARD, FORWARD
from benchmarks.core.contenders.in_jax import ours
from benchmarks.core.measure import PRODUCTS
from benchmarks.core.record import ROOT, SECONDS, Recorder, Row, begin
from benchmarks.core.tables import print_table
from benchmarks.speed.kernels import PLAIN
from benchmarks.speed.tables import profile

RATE, LASTING = 4000, 2.0  # samples per second and thread; seconds for each case
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


def sampled(name: str, measure: str) -> list[Row]:
    """Run the call in a process and sample it from outside: time of a call, cores in use, share by kind of work."""
    case = CASES[name]
    with tempfile.TemporaryDirectory() as folder:
        data, looping = str(Path(folder, "perf.data")), child.command(_loop, name, measure, LASTING + 1.0)
        with subprocess.Popen(looping, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
            assert process.stdout is not None
            if process.stdout.readline().strip() != "ready":
                sys.exit(f"the calls to be sampled failed at {name}, {measure}; see above")
            perf = ["perf", "record", "-q", "-e", "cpu-clock", "-F", str(RATE), "-p", str(process.pid), "-o", data]
            ran = subprocess.run([*perf, "sleep", str(LASTING)], capture_output=True, text=True)
            took = json.loads(process.stdout.readline())
        if ran.returncode:
            sys.exit(f"perf record failed: {ran.stderr.strip()}")
        report = ["perf", "report", "-i", data, "--no-children", "--sort", "dso,symbol", "-n", "-t", "\t", "--stdio"]
        counts = parts_of(subprocess.run(report, capture_output=True, text=True, check=True).stdout)
    total = sum(counts.values())
    about = {"shape": case.shape, "flops": PRODUCTS[measure] * case.flops}
    shares = {"cores": total / RATE / LASTING} | {kind: number / total for kind, number in counts.items()}
    return [Row("profile", name, "native", measure, SECONDS, [took], about=about)] + [
        Row("profile", name, "native", f"{measure}: {kind}", samples=[share]) for kind, share in shares.items()
    ]


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


def main(path: str = "runs/profile.json") -> None:
    if not shutil.which("perf"):
        sys.exit("this needs Linux's `perf`; on Debian: apt install linux-perf")
    recorder = Recorder(
        begin("speed", " ".join(["python", "-m", "benchmarks.profile", *sys.argv[1:]])), Path(path), Console()
    )
    for name in PLAIN:
        for measure in (FORWARD, BACKWARD):
            recorder.add(sampled(name, measure))
    print_table(Console(), profile(recorder.record))


def _loop(name: str, measure: str, seconds: float) -> None:
    """Announce readiness, call until the time is up, and print the seconds per call."""
    call = ours("native")(draw(CASES[name]))[measure].run
    for _ in range(SEVERAL if CASES[name].flops < 1e10 else 1):
        call()
    print("ready", flush=True)
    calls, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        call()
        calls += 1
    print((time.perf_counter() - began) / calls, flush=True)


if __name__ == "__main__":
    from benchmarks import profile as importable  # by the child; the functions of `__main__` are not

    importable.main(*sys.argv[1:])
