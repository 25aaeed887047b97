"""The files of a run directory: config, checkpoints, metrics."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from jax_lstm.checks import InputError, require
from jax_lstm.files import write_json
from jax_lstm.train.checkpoint import has_checkpoint, read_about
from jax_lstm.train.config import TrainConfig, absolute, from_dict, option, options, read_config, to_dict
from jax_lstm.train.formats import FORMAT, require_known, upgraded, upgraded_facts

CONFIG = "config.json"
CHECKPOINTS = "checkpoints"
METRICS = "metrics.jsonl"
MAY_CHANGE = ("epochs", "patience", "save_every", "mesh")  # options that a resumed run may change


class Saved(NamedTuple):
    """The latest checkpoint of a run, without its arrays, and the config of the run."""

    step: int
    config: TrainConfig
    data: dict[str, Any]  # what the task says about its data
    position: Mapping[str, Any]
    format: int


def require_empty(directory: Path, name: str) -> Path:
    """`directory`, the value of `name`, if it is empty or not there yet; else `InputError`."""
    require(not directory.exists() or directory.is_dir(), name, "be a directory", f"the file {directory}")
    empty = not directory.exists() or not any(directory.iterdir())
    require(empty, name, "be a new or an empty directory", f"{directory}, which holds files")
    return directory


def write_config(directory: Path, config: Any) -> None:
    write_json(directory / CONFIG, {"format": FORMAT, **to_dict(config)})


def read_saved(directory: Path) -> Saved:
    """The latest checkpoint of the run in `directory`.

    Raises:
        InputError: there is none, it is damaged, of a newer version, or not one of `jax-lstm train`.
    """
    step, about = read_about(directory / CHECKPOINTS)
    require_known(about.get("format", 0), f"{directory / CHECKPOINTS / str(step)}")
    if not {"data", "position"} <= about.keys():
        raise InputError(f"{directory}: the checkpoint is not one of jax-lstm train")
    return Saved(step, _config(directory, about), upgraded_facts(about["data"]), about["position"],
                 about.get("format", 0))  # fmt: skip


def saved_config(directory: Path) -> TrainConfig:
    """The config of the run in `directory`, which may have no checkpoint yet."""
    return _config(directory, read_about(directory / CHECKPOINTS)[1] if has_checkpoint(directory / CHECKPOINTS) else {})


def _config(directory: Path, about: Mapping[str, Any]) -> TrainConfig:
    if "config" in about:  # format 0 kept it in the checkpoint too, where alone it was always that of a training run
        where = f"{directory}: config"
        return from_dict(TrainConfig(), upgraded(about["config"], where), where)
    return read_config(TrainConfig(), str(directory / CONFIG))


def require_resumable(config: TrainConfig, directory: Path) -> None:
    """Raise `InputError` if `config` changes more of the run in `directory` than a resumed run may."""
    saved, given = (options(absolute(one)) for one in (saved_config(directory), config))
    for before, now in zip(saved, given, strict=True):
        if now.name not in MAY_CHANGE and now.value != before.value:
            may = ", ".join(map(option, MAY_CHANGE))
            kept, changed = (" ".join(map(str, v)) if isinstance(v, tuple) else v for v in (before.value, now.value))
            expected = f"keep {option(now.name)} of the run, {kept if kept != '' else 'none'}"
            require(False, "--resume", expected, changed if changed != "" else "none", f"only {may} may change")
