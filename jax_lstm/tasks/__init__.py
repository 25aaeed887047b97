"""What a run can learn: a task a file, a row a task."""

from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple

from jax_lstm.checks import InputError
from jax_lstm.tasks import classify, forecast, lm, streaming
from jax_lstm.tasks.run import Run, read_run
from jax_lstm.train.config import TrainConfig


class Row(NamedTuple):
    """How a task reads its data, and what a run of it is."""

    load: Any  # (config, about) to the task; `about` is that of a trained run, or None
    run: type[Run]


TASKS = {
    "forecast": Row(forecast.load, forecast.ForecastRun),
    "lm": Row(lm.load, lm.LanguageRun),
    "classify": Row(classify.load, classify.ClassifierRun),
}


def load_task(config: TrainConfig, about: dict[str, Any] | None = None) -> Any:
    """The task that `config` names, its data read and checked.

    `about` is what a checkpoint says of the data that a model was trained on; other data is then brought to its form.
    """
    streams = config.task == "forecast" and config.data.stream
    return (streaming.load if streams else TASKS[config.task].load)(config, about)


def open_run(directory: Path, task: str = "", command: str = "this command") -> Any:
    """The run in `directory`, a `Run` of its task.

    Raises:
        InputError: there is none, its checkpoint is damaged, or it is not of `task`, where that is given.
    """
    run = read_run(directory)
    if task and run.config.task != task:
        raise InputError(
            f"{directory}: {command} needs a run of --task {task}; this one is of --task {run.config.task}"
        )
    return TASKS[run.config.task].run(**{field.name: getattr(run, field.name) for field in fields(run)})
