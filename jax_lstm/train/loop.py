"""The training loop: epochs of compiled calls, validation, early stopping, checkpoints, interruption."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jax_lstm.checks import InputError
from jax_lstm.data import Dataset
from jax_lstm.train.checkpoint import has_checkpoint, read_about, restore_arrays, save_checkpoint
from jax_lstm.train.config import TrainConfig, from_dict, read_config, to_dict
from jax_lstm.train.metrics import MetricsLog
from jax_lstm.train.optimizer import make_optimizer
from jax_lstm.train.scores import truth_of
from jax_lstm.train.step import (
    TrainState,
    build_model,
    epoch_batches,
    init_state,
    make_forecast,
    make_run_steps,
    make_step,
)

CHECKPOINTS = "checkpoints"
METRICS = "metrics.jsonl"
CONFIG = "config.json"
MAY_CHANGE = ("epochs", "patience", "save_every")  # fields that a resumed run may set anew


class DivergedError(ArithmeticError):
    """The loss became NaN or infinite. The message says where, and what was seen last."""


class InterruptedRunError(Exception):
    """Ctrl-C was pressed; the run was saved. The message says how to go on."""


@dataclass(frozen=True)
class Position:
    """Where a run stands; with the seed it fixes the data still to come. `call` counts within the epoch."""

    step: int = 0
    epoch: int = 0
    call: int = 0
    loss_sum: float = 0.0  # of this epoch's steps so far
    best_loss: float | None = None
    stale_epochs: int = 0  # since the best


class Checkpointed(NamedTuple):
    state: TrainState
    best: nnx.State


@dataclass(frozen=True)
class Progress:
    """What `report` is told after every compiled call and every epoch; `val_loss` is None within an epoch."""

    position: Position
    steps: int  # since the last report
    steps_per_epoch: int
    train_loss: float
    val_loss: float | None = None
    epoch_ended: bool = False


@dataclass(frozen=True)
class Result:
    """The trained parameters, those with the best validation loss, and how the run ended."""

    params: nnx.State
    position: Position
    stopped_early: bool


def fit(
    config: TrainConfig,
    dataset: Dataset,
    directory: Path,
    *,
    resume: bool = False,
    report: Callable[[Progress], None] = lambda progress: None,
) -> Result:
    """Train on `dataset`; checkpoints and `metrics.jsonl` go to `directory`.

    With `resume` it goes on from the latest checkpoint there, if there is one yet, and ends with the very weights of a
    run that was never stopped.

    Raises:
        DivergedError: the loss became NaN or infinite; the checkpoint of the last whole epoch stays.
        InterruptedRunError: Ctrl-C; the state at that moment was saved.
        InputError: the optimiser cannot be used, or the checkpoint is damaged, of another model or of other data.
    """
    if resume:
        require_resumable(config, directory)
    calls, steps_per_call, _ = epoch_batches(dataset.starts["train"], config, 0).shape
    steps_per_epoch = calls * steps_per_call
    model = build_model(config, dataset.input_size, dataset.output_size)
    params = nnx.state(model, nnx.Param)
    optimizer = make_optimizer(config.optim, config.epochs * steps_per_epoch, params)
    window, horizon = dataset.config.window, dataset.config.horizon
    run_steps = make_run_steps(make_step(model, optimizer), window, horizon)
    forecast = make_forecast(model, window)

    current = Checkpointed(init_state(model, optimizer), jax.tree.map(jnp.copy, params))
    position = Position()
    if resume and has_checkpoint(directory / CHECKPOINTS):
        step, about = read_about(directory / CHECKPOINTS)
        current = restore_arrays(directory / CHECKPOINTS, step, current)
        position = Position(**about["position"])
        _require_same_data(directory, about, dataset)
    state, best = current
    last_loss: float | None = None
    directory.mkdir(parents=True, exist_ok=True)
    log = MetricsLog(directory / METRICS, position.step)
    inputs, targets, truth = jnp.asarray(dataset.inputs), jnp.asarray(dataset.targets), truth_of(dataset, "val")

    def save() -> None:
        about = {"config": to_dict(config), "data": _about_data(dataset), "position": vars(position)}
        save_checkpoint(directory / CHECKPOINTS, position.step, Checkpointed(state, best), about)

    with _interrupts() as interrupted:
        while position.epoch < config.epochs and not _out_of_patience(position, config):
            began = time.perf_counter()
            batches = epoch_batches(dataset.starts["train"], config, position.epoch)
            for starts in batches[position.call :]:
                state, metrics = run_steps(state, inputs, targets, jnp.asarray(starts))
                losses = np.asarray(metrics["loss"], np.float64)
                _require_finite("loss", losses, last_loss, position, directory)
                last_loss = float(losses[-1])
                position = replace(
                    position,
                    step=position.step + len(losses),
                    call=position.call + 1,
                    loss_sum=position.loss_sum + float(losses.sum()),
                )
                grad_norm = np.asarray(metrics["grad_norm"], np.float64).mean()
                row = {"step": position.step, "epoch": position.epoch + 1, "loss": float(losses.mean())}
                log.write([{**row, "grad_norm": float(grad_norm) if np.isfinite(grad_norm) else None}])
                report(Progress(position, len(losses), steps_per_epoch, float(losses.mean())))
                if interrupted.is_set() and position.call < calls:
                    save()
                    raise _interrupted(position)

            train_loss, val_loss = position.loss_sum / steps_per_epoch, None
            if len(truth):
                errors = forecast(state.params, inputs, dataset.starts["val"]).astype(np.float64) - truth
                val_loss = float(np.mean(errors**2))
                _require_finite("validation loss", np.array([val_loss]), last_loss, position, directory)
            if val_loss is None or position.best_loss is None or val_loss < position.best_loss:
                best = jax.tree.map(jnp.copy, state.params)
                position = replace(position, best_loss=val_loss, stale_epochs=0)
            else:
                position = replace(position, stale_epochs=position.stale_epochs + 1)
            position = replace(position, epoch=position.epoch + 1, call=0, loss_sum=0.0)
            seconds = time.perf_counter() - began
            row = {"step": position.step, "epoch": position.epoch, "train_loss": train_loss, "val_loss": val_loss}
            log.write([{**row, "seconds": round(seconds, 4)}])
            ended = position.epoch == config.epochs or _out_of_patience(position, config)
            if ended or position.epoch % config.save_every == 0 or interrupted.is_set():
                save()
            report(Progress(position, 0, steps_per_epoch, train_loss, val_loss, epoch_ended=True))
            if interrupted.is_set() and not ended:
                raise _interrupted(position)
    return Result(best, position, stopped_early=_out_of_patience(position, config))


def saved_config(directory: Path) -> TrainConfig:
    """The config of the latest checkpoint in `directory`; of a run that has none yet, that of its `config.json`."""
    if has_checkpoint(directory / CHECKPOINTS):
        _, about = read_about(directory / CHECKPOINTS)
        return from_dict(TrainConfig, about["config"], f"{directory}: config")
    return read_config(TrainConfig, str(directory / CONFIG))


def require_resumable(config: TrainConfig, directory: Path) -> None:
    """A resumed run may have other epochs and patience than it had, but must be the same run in everything else."""
    before, now = to_dict(saved_config(directory)), to_dict(config)
    for name, value in now.items():
        if name not in MAY_CHANGE and value != before[name]:
            may = ", ".join("--" + name.replace("_", "-") for name in MAY_CHANGE)
            raise InputError(
                f"`--resume` must go on with the {name} that the run has, {before[name]}; got {value} (only "
                f"{may} may change)"
            )


def _interrupted(position: Position) -> InterruptedRunError:
    return InterruptedRunError(f"interrupted after step {position.step}, in epoch {position.epoch + 1}; saved")


def _out_of_patience(position: Position, config: TrainConfig) -> bool:
    return 0 < config.patience <= position.stale_epochs


def _require_finite(
    name: str, losses: np.ndarray, last_loss: float | None, position: Position, directory: Path
) -> None:
    """`losses` follow `position`; `last_loss` is the finite one before them, if there is one."""
    bad = np.flatnonzero(~np.isfinite(losses))
    if not len(bad):
        return
    at = int(bad[0])
    seen = losses[at - 1] if at else last_loss
    seen = "none" if seen is None else format(seen, ".6g")
    saved = f"; the last checkpoint is in {directory / CHECKPOINTS}" if (directory / CHECKPOINTS).is_dir() else ""
    raise DivergedError(
        f"the {name} became {losses[at]} at step {position.step + at + 1}, epoch {position.epoch + 1}; the last finite "
        f"loss was {seen}{saved}; try a lower --learning-rate, or --clip-norm 1"
    )


def _require_same_data(directory: Path, about: dict[str, Any], dataset: Dataset) -> None:
    if about["data"] != _about_data(dataset):
        raise InputError(
            f"{directory}: the data is not what the run was trained on: its columns or their statistics differ"
        )


def _about_data(dataset: Dataset) -> dict[str, Any]:
    """What is needed to feed a trained model with other data, as JSON gives it back."""
    scaler = dataset.scaler
    statistics = {"columns": list(scaler.columns), "mean": scaler.mean.tolist(), "scale": scaler.scale.tolist()}
    return {"features": list(dataset.features), "target": list(dataset.target), "scaler": statistics}


@contextmanager
def _interrupts() -> Iterator[threading.Event]:
    """An event that the first Ctrl-C sets; the second one acts as ever."""
    pressed = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield pressed  # only the main thread may handle signals
        return

    def first(signum: int, frame: Any) -> None:
        pressed.set()
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, first)
    try:
        yield pressed
    finally:
        signal.signal(signal.SIGINT, before)
