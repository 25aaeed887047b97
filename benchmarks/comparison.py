"""The main loop of `frameworks`: every case and measure, within a time limit."""

import time
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from benchmarks import record as records
from benchmarks.frameworks_report import LATE, print_row
from benchmarks.gate import lineup
from benchmarks.measures import SECTION
from benchmarks.sampling import Timed
from benchmarks.setting import Comparison
from benchmarks.timed import peak


def compare(setting: Comparison, command: str, path: Path, console: Console) -> records.Record:
    """Measure rows until the time is up; the record is written after each."""
    began = time.monotonic()
    absent = {name: reason for name, contender in setting.contenders.items() if (reason := contender.absent())}
    present = {name: contender for name, contender in setting.contenders.items() if name not in absent}
    record = records.begin("frameworks", command, absent)

    def add(row: Timed) -> None:
        nonlocal record
        record = replace(record, rows=[*record.rows, row], seconds=time.monotonic() - began)
        records.write(record, path)

    add(peak(setting.plan._replace(budget=1.0)))
    rows = setting.rows()
    for at, (name, measure) in enumerate(rows):
        case = setting.cases[name]
        left = setting.seconds - (time.monotonic() - began)
        if left > setting.measures[measure].aside:
            share = (left - sum(setting.measures[kind].aside for _, kind in rows[at:])) / (len(rows) - at)
            plan = setting.plan._replace(budget=min(max(share, 0.0), setting.plan.budget))
            add(setting.measures[measure].row(name, lineup(present, case, setting.barred(name, measure)), plan))
        else:
            add(Timed(SECTION, name, measure, "", {}, shape=case.shape, not_offered=dict.fromkeys(present, LATE)))
        print_row(console, record)
    return record
