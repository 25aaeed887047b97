"""`python -m benchmarks ensemble`: many models trained by one program, compared with one after the other."""

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import tyro
from rich.console import Console

from benchmarks import record as records
from benchmarks.command import Command
from benchmarks.contenders import BASELINE
from benchmarks.cores import use_cores
from benchmarks.facts import timed_facts
from benchmarks.page import render
from benchmarks.sampling import Plan, Timed, sample
from benchmarks.tables import Table, as_markdown, print_facts, print_table, time_of
from jax_lstm.checks import require_extra, require_one_of
from jax_lstm.compare.contenders import InJax, InTorch
from jax_lstm.data import DataConfig
from jax_lstm.tasks import load_task
from jax_lstm.tolerances import TOLERANCES, difference
from jax_lstm.train import ModelConfig, OptimConfig, TrainConfig
from jax_lstm.train.ensemble import batches, make_runner, members

STEPS = 20  # at most, of every member in a turn
ONE_BY_ONE, AT_ONCE = "one after the other", "at once"


class Setup(NamedTuple):
    """Models to train on the packaged weather data: how many, their sizes, and the windows in a batch."""

    size: int
    hidden_size: int
    num_layers: int = 1
    batch_size: int = 64


WEATHER = DataConfig(window=48, calendar="off")
CASES = {
    "2 small": Setup(2, 32),
    "8 small": Setup(8, 32),
    "32 small": Setup(32, 32),
    "8 small, few rows": Setup(8, 32, batch_size=8),
    "8 medium": Setup(8, 128),
    "4 of two layers": Setup(4, 128, 2),
}


@dataclass(frozen=True)
class Ensemble(Command):
    """Train members of an ensemble at once, one after the other, and in PyTorch; takes about three minutes."""

    NAME = "ensemble"

    case: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """Case to measure; may be repeated."""
    seconds: float = 10.0
    """Seconds of samples for each case."""

    def show(self, path: Path) -> int:
        return render(self.NAME, markdown(records.read(path, self.NAME)), self.page)

    def make(self, command: str, path: Path, console: Console) -> int:
        for name in self.case:
            require_one_of("--case", name, tuple(CASES))
        require_extra("torch", "torch", "python -m benchmarks ensemble")
        use_cores(0)
        began, record = time.monotonic(), records.begin(self.NAME, command, {})
        for name in self.case or CASES:
            row = compared(name, CASES[name], Plan(budget=self.seconds))
            record = replace(record, rows=[*record.rows, row], seconds=time.monotonic() - began)
            records.write(record, path)
        print_table(console, table(record))
        print_facts(console, timed_facts(record))
        return int(any(row.failed for row in record.rows))


def compared(name: str, setup: Setup, plan: Plan, data: DataConfig = WEATHER) -> Timed:
    """Time the same steps of all members; contenders whose losses differ from PyTorch's are not timed."""
    config = TrainConfig(
        data=data,
        model=ModelConfig(setup.hidden_size, setup.num_layers, network="tutorial"),
        optim=OptimConfig(schedule="constant"),
        batch_size=setup.batch_size,
        chunk_steps=STEPS,
        seeds=f"0:{setup.size}",
    )
    task, runs = load_task(config), list(members(config).values())
    rows = np.stack([np.asarray(each) for each in next(iter(batches(task, runs, 0, 0)))])
    torch, ours = ([make(run, task) for run in runs] for make in (InTorch, InJax))
    state, run_steps, arrays, *_ = make_runner(task, runs, 1)

    def one_by_one(models: list[Any]) -> np.ndarray:
        return np.stack([model.train(own) for model, own in zip(models, rows, strict=True)])

    def at_once() -> np.ndarray:
        nonlocal state
        state, metrics = run_steps(state, arrays, rows)  # pyright: ignore[reportArgumentType]
        return np.asarray(jax.block_until_ready(metrics["loss"]))

    turns = {
        BASELINE: lambda: one_by_one(torch),
        ONE_BY_ONE: lambda: one_by_one(ours),
        AT_ONCE: at_once,
    }
    losses, failed = {who: turn() for who, turn in turns.items()}, {}
    for who, found in losses.items():
        relative, limit = difference(found, losses[BASELINE]).relative, TOLERANCES["losses"].float32
        if relative > limit:
            failed[who] = f"losses: off by {relative:.1e}, more than {limit:.0e}"
    seconds, calls = sample({who: turn for who, turn in turns.items() if who not in failed}, plan, rows.shape[1])
    sizes = (setup.batch_size, data.window, task.dataset.input_size, setup.hidden_size)
    shape = f"{setup.size} x {','.join(map(str, sizes))}" + f", {setup.num_layers} layers" * (setup.num_layers > 1)
    return Timed("ensemble", name, "training step", BASELINE, seconds, calls, failed, shape=shape)


def markdown(record: records.Record) -> str:
    """The table as Markdown, for docs/tasks.md."""
    return as_markdown(timed_facts(record), [table(record)])


def table(record: records.Record) -> Table:
    rows = []
    for row in record.rows:
        times = [
            time_of(row.timing(who).median) if who in row.seconds else "failed"
            for who in (BASELINE, ONE_BY_ONE, AT_ONCE)
        ]
        ratios = [row.ratio(AT_ONCE, to) for to in (ONE_BY_ONE, BASELINE)]
        rows.append((row.case, row.shape, *times, *("-" if one is None else f"{one.median:.2f}" for one in ratios)))
    title = "A training step of all members: seconds, and how many times as fast all at once are"
    columns = (
        "models",
        "M x B,T,I,H",
        "torch, one by one",
        "ours, one by one",
        "ours, at once",
        "over ours",
        "over torch",
    )
    return Table(title, columns, rows, left=2)
