"""What several commands share: options from a file, the run directory, the file of the user."""

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from jax_lstm.checks import require
from jax_lstm.data import DataConfig
from jax_lstm.data.stored import streamable


def value_of(option: str, arguments: Sequence[str]) -> str:
    """The value that the command line gives an option, before it is parsed as a whole; "" if it is not there."""
    for at, argument in enumerate(arguments):
        if argument == option:
            return arguments[at + 1] if at + 1 < len(arguments) else ""
        if argument.startswith(option + "="):
            return argument.partition("=")[2]
    return ""


def absolute(config: Any) -> Any:
    """A config with the whole paths of its files, so that a run can be opened from anywhere."""

    def whole(part: Any, *names: str) -> Any:
        return replace(
            part, **{name: str(Path(getattr(part, name)).absolute()) for name in names if getattr(part, name)}
        )

    return replace(
        config,
        data=whole(config.data, "csv"),
        text=whole(config.text, "text"),
        sequences=whole(config.sequences, "sequences", "test_sequences"),
    )


def data_from(run: Any, path: str) -> DataConfig:
    """The data of a run of `--task forecast`, by its columns, from `path`; it is streamed if that file can be."""
    data, stream = run.config.data, run.config.data.stream and streamable(path)
    epoch_windows = data.epoch_windows if stream else 0
    return replace(data, csv=path, features=run.features, target=run.target, stream=stream, epoch_windows=epoch_windows)


def new_directory(out: str, command: str) -> Path:
    """Make the directory for a new run: `out`, or one named by the time."""
    directory = Path(out or f"runs/{command}-{time.strftime('%Y%m%d-%H%M%S')}")
    require(not directory.exists() or directory.is_dir(), "--out", "be a directory", f"the file {directory}")
    empty = not directory.exists() or not any(directory.iterdir())
    require(empty, "--out", "be a new or an empty directory", f"{directory}, which holds files")
    directory.mkdir(parents=True, exist_ok=True)
    return directory
