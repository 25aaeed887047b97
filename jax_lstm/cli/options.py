"""What several commands share: options of a task, options from files, the run directory."""

import dataclasses
import time
import typing
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import tyro

from jax_lstm.checks import InputError, require
from jax_lstm.estimators import classifier, forecaster, text
from jax_lstm.train import TrainConfig
from jax_lstm.train.config import Only, only_of, option, options
from jax_lstm.train.directory import require_empty
from jax_lstm.train.formats import RENAMED_TASKS

C = TypeVar("C")
TASKS = ("forecast", "text", "labels")


def split_task(command: str, arguments: Sequence[str]) -> tuple[str, list[str]]:
    """The task that the first argument names, or "", and the other arguments.

    Raises:
        InputError: `--task` is given, as before tasks were subcommands.
    """
    old = value_of("--task", arguments)
    if old or "--task" in arguments:
        name = RENAMED_TASKS.get(old, old)
        form = f"jax-lstm {command} {name if name in TASKS else '|'.join(TASKS)}"
        raise InputError(f"`--task` is now a subcommand: {form}; got --task {old}")
    for name in ("remat", "unroll"):
        value = value_of(f"--{name}", arguments)
        fix = f"--backend scan --backend-args {name}={value}"
        require(not value, f"--{name}", "be given to the kernel", value, fix)
    word = arguments[0] if arguments and not arguments[0].startswith("-") else ""
    name = RENAMED_TASKS.get(word, "")
    fix = f"jax-lstm {command} {name}" if name else ""
    require(not word or word in TASKS, command, f"be followed by {', '.join(TASKS)} or options", repr(word), fix)
    named = word
    return named, list(arguments[bool(named) :])


def of_task(config: C, train: TrainConfig, task: str, source: str, path: str) -> C:
    """`config`, whose training options `train` came from `path`, if it is of the `task` that is named."""
    fits = not task or task == train.task
    require(fits, source, f"name a run or config of {task}", f"{path}, of {train.task}")
    return config


def of_python(config: TrainConfig) -> bool:
    """Whether a run was trained from Python on data that is not in a file."""
    given = {"forecast": forecaster.GIVEN, "text": text.GIVEN, "labels": classifier.GIVEN}
    source = {"forecast": config.data.csv, "text": config.text.text, "labels": config.sequences.sequences}
    return source[config.task] == given[config.task]


def view(
    config: Any, task: str, left_out: Callable[[type, str], str], hidden: dict[str, str], only: Only | None = None
) -> Any:
    """`config` for tyro to parse, without the options of other tasks and those that the command leaves out.

    `left_out(cls, field)` is the reason why a field is left out, or ""; `only` is the limit of the config itself.
    `hidden` receives the options that are missing, with the reasons; "" if a part of the config for `task` has one of
    that name.
    """
    cls, fields, values = type(config), [], {}
    hints = typing.get_type_hints(cls, include_extras=True)
    for each in dataclasses.fields(cls):
        hint, value = hints[each.name], getattr(config, each.name)
        own = only_of(hint) or only
        other_task = own is not None and task not in own.tasks
        reason = _limit(each.name, own).expected(task) if own is not None and other_task else left_out(cls, each.name)
        if dataclasses.is_dataclass(value):
            value = view(value, task, left_out, hidden, own)
            hint = type(value)
        else:
            hidden[option(each.name)] = reason and hidden.get(option(each.name), reason)
        if reason or (cls is TrainConfig and each.name == "task"):
            hint = tyro.conf.Suppress[tyro.conf.Fixed[hint]]
        fields.append((each.name, hint, dataclasses.field(default=value)))
        values[each.name] = value
    namespace = {"__doc__": cls.__doc__, "__module__": cls.__module__, "viewed": cls}
    return dataclasses.make_dataclass(cls.__name__, fields, bases=(cls,), namespace=namespace, frozen=True)(**values)


def _limit(name: str, only: Only) -> Only:
    """`only` with the tasks of every option of this name."""
    named = {task for each in options(TrainConfig()) if each.name == name and each.only for task in each.only.tasks}
    return only._replace(tasks=tuple(task for task in TASKS if task in named) or only.tasks)


def viewed(config: Any) -> Any:
    """The config whose `view` this is."""
    if not hasattr(config, "viewed"):
        return config
    return config.viewed(**{each.name: viewed(getattr(config, each.name)) for each in dataclasses.fields(config)})


def value_of(name: str, arguments: Sequence[str]) -> str:
    """The value of an option on a command line that is not parsed yet; "" if it is not there."""
    for at, argument in enumerate(arguments):
        if argument == name:
            return arguments[at + 1] if at + 1 < len(arguments) else ""
        if argument.startswith(name + "="):
            return argument.partition("=")[2]
    return ""


def new_directory(out: str, command: str) -> Path:
    """The path of a new run directory, `out` or one named by the time; it is not created yet."""
    return require_empty(Path(out or f"runs/{command}-{time.strftime('%Y%m%d-%H%M%S')}"), "--out")
