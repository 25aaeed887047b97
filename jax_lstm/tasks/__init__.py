"""The tasks that a run can learn, one file each."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from jax_lstm.checks import InputError
from jax_lstm.tasks import forecast, labels, streaming, text
from jax_lstm.tasks.calibration import calibrate
from jax_lstm.tasks.run import Run
from jax_lstm.train.checkpoint import has_checkpoint
from jax_lstm.train.config import TrainConfig
from jax_lstm.train.directory import CHECKPOINTS, read_saved
from jax_lstm.train.position import position_of
from jax_lstm.train.sweep import directories

LOADERS = {"forecast": forecast.load, "text": text.load, "labels": labels.load}
RUNS: dict[str, type[Run]] = {"forecast": forecast.ForecastRun, "text": text.TextRun, "labels": labels.LabelsRun}


def load_task(config: TrainConfig, about: dict[str, Any] | None = None) -> Any:
    """The task of `config`, its data read and checked.

    `about` describes the data of a trained model; the data is then prepared as it was for that model.
    """
    load = streaming.load if config.data.stream else LOADERS[config.task]
    return load(config, about)


def finish(directory: Path, task: Any) -> Any:
    """The run that was trained on `task` in `directory`; the intervals of a forecaster are calibrated."""
    run = open_run(directory)
    if isinstance(run, forecast.ForecastRun):
        calibrate(run, task)
        run = open_run(directory)
    return run


def open_run(directory: Path, task: str = "", command: str = "this command") -> Any:
    """The run in `directory`, as the `Run` class of its task; of a sweep over sizes, the run of the best one.

    Raises:
        InputError: there is none, its checkpoint is damaged, it is not of `task`, if that is given, or all diverged.
    """
    if not directory.is_dir():
        raise InputError(f"{directory}: no such run directory")
    parts = directories(directory)
    trained = [part for part in parts if has_checkpoint(part / CHECKPOINTS)]  # of a sweep over sizes perhaps not all
    runs = sorted((_open(part, directory) for part in trained or parts[:1]), key=lambda run: run.choice[0])
    best = replace(runs[0], others=tuple(runs[1:]))
    if task and best.config.task != task:
        raise InputError(f"{directory}: {command} needs a run of the task {task}; this is a run of {best.config.task}")
    if not best.names:
        raise InputError(f"{directory}: the loss of every member became NaN or infinite")
    return best


def _open(directory: Path, home: Path) -> Run:
    saved = read_saved(directory)
    config = saved.config
    if config.data.csv and (home / config.data.csv).exists():  # kept in the run directory
        config = replace(config, data=replace(config.data, csv=str(home / config.data.csv)))
    return RUNS[config.task](directory, saved.step, config, saved.data, position_of(saved.position, config))
