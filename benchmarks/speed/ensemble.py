"""The part `ensemble`: many models trained by one program, compared with one after the other."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import numpy as np

from benchmarks.core.contenders import BASELINE
from benchmarks.core.contenders.base import TRAINING
from benchmarks.core.measure import timed
from benchmarks.core.record import Row
from benchmarks.core.sampling import Plan
from benchmarks.speed.tutorial import alike
from jax_lstm.compare.contenders import InJax, InTorch
from jax_lstm.data import DataConfig
from jax_lstm.tasks import load_task
from jax_lstm.train import ModelConfig, OptimConfig, TrainConfig
from jax_lstm.train.ensemble import batches, make_runner, members

PART = "ensemble"
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


def ensembles(plan: Plan, names: tuple[str, ...] = ()) -> Iterator[list[Row]]:
    for name in names or CASES:
        yield compared(name, CASES[name], plan)


def compared(name: str, setup: Setup, plan: Plan, data: DataConfig = WEATHER) -> list[Row]:
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
    losses = {who: turn() for who, turn in turns.items()}
    admitted = alike(turns, losses, losses[BASELINE])
    sizes = (setup.batch_size, data.window, task.dataset.input_size, setup.hidden_size)
    shape = f"{setup.size} x {','.join(map(str, sizes))}" + f", {setup.num_layers} layers" * (setup.num_layers > 1)
    return timed(PART, name, TRAINING, admitted, plan, BASELINE, {"shape": shape}, rows.shape[1])
