"""The training loop: epochs of compiled calls, validation, early stopping, checkpoints, interruption."""

import signal
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import Mesh

from jax_lstm.checks import InputError, require
from jax_lstm.train import hosts
from jax_lstm.train.checkpoint import has_checkpoint, read_about, restore_arrays, save_checkpoint
from jax_lstm.train.config import TrainConfig, from_dict, read_config, to_dict
from jax_lstm.train.debug import first_nonfinite
from jax_lstm.train.ensemble import batches, make_runner, member, members, named
from jax_lstm.train.lock import owned
from jax_lstm.train.mesh import make_mesh, whole
from jax_lstm.train.metrics import MetricsLog
from jax_lstm.train.position import DivergedError, Position, Standing, after_call, after_epoch, position_of
from jax_lstm.train.signals import InterruptedRunError, kept_signals
from jax_lstm.train.step import TrainState
from jax_lstm.train.task import Scores, Task

CHECKPOINTS = "checkpoints"
METRICS = "metrics.jsonl"
CONFIG = "config.json"
MAY_CHANGE = ("epochs", "patience", "save_every", "mesh")  # fields that a resumed run may set anew


class Checkpointed(NamedTuple):
    """The arrays of a checkpoint. With many members all have an axis of members in front."""

    state: TrainState
    best: nnx.State


@dataclass(frozen=True)
class Progress:
    """What `report` is told after every compiled call and every epoch, a value a member.

    `train_losses` and `grad_norms` are means over the steps since the last report. At the end of an epoch there are
    only the former, over its steps, and `val_losses` and `scores` of the validation part. A member that has stopped has
    NaN, and no scores.
    """

    position: Position
    steps: int  # since the last report
    steps_per_epoch: int
    train_losses: tuple[float, ...]
    val_losses: tuple[float | None, ...] = ()
    scores: tuple[Scores, ...] = ()
    grad_norms: tuple[float, ...] = ()
    epoch_ended: bool = False

    @property
    def train_loss(self) -> float:
        """The mean over the members that go on."""
        return _mean(self.train_losses)

    @property
    def val_loss(self) -> float | None:
        """The same of the validation part; None within an epoch, and without validation."""
        losses = [loss for loss in self.val_losses if loss is not None]
        return _mean(losses) if losses else None


@dataclass(frozen=True)
class Result:
    """The trained parameters, those with the best validation loss, and how the run ended.

    With many members the parameters have an axis of members in front.
    """

    params: nnx.State
    position: Position
    stopped_early: bool


def fit(
    task: Task,
    directory: Path,
    *,
    resume: bool = False,
    debug_nans: bool = False,
    report: Callable[[Progress], None] = lambda progress: None,
) -> Result:
    """Train as `task.config` says; checkpoints and `metrics.jsonl` go to `directory`.

    With `resume` it goes on from the latest checkpoint there, if there is one yet, and ends with the very weights of a
    run that was never stopped. With `debug_nans` a loss that is not finite is traced to the step and the tensor in
    which the first such number stands.

    Raises:
        DivergedError: the loss became NaN or infinite, of every member; the checkpoint of the last whole epoch stays.
        InterruptedRunError: Ctrl-C or SIGTERM; the state at that moment was saved.
        InputError: the optimiser cannot be used, the checkpoint is damaged, of another model or of other data, a file
            cannot be written, or another run is at work in the directory.
    """
    if resume:
        require_resumable(task.config, directory)
    directory.mkdir(parents=True, exist_ok=True)
    with held(directory):
        return fit_held(task, directory, resume=resume, debug_nans=debug_nans, report=report)


def held(directory: Path) -> AbstractContextManager[None]:
    """`directory` for this run alone; of several hosts, the one that writes holds it."""
    return owned(directory) if hosts.writes() else nullcontext()


def usable_mesh(task: Task, debug_nans: bool = False) -> Mesh | None:
    """The mesh that `task.config` asks for; None for one device.

    Raises:
        InputError: there are fewer devices, the rows of a batch do not divide over them, or one alone can be used.
    """
    mesh = make_mesh(task.config.mesh)
    if mesh is not None:
        rows, devices = task.shape[-1], mesh.size
        require(not debug_nans, "--debug-nans", "be used on one device", f"{devices} devices")
        expected = f"give batches whose rows divide over {devices} devices"
        fix = f"{rows // devices * devices} does" if rows > devices else ""
        require(rows % devices == 0, "--batch-size", expected, f"batches of {rows}", fix)
    return mesh


def fit_held(
    task: Task, directory: Path, *, resume: bool, debug_nans: bool, report: Callable[[Progress], None]
) -> Result:
    """`fit` in a directory that is `held` already, and may be resumed."""
    config = task.config
    runs, data = members(config), task.about
    calls, steps_per_call, _ = task.shape
    steps_per_epoch = calls * steps_per_call
    model = task.build(runs[0])
    mesh = usable_mesh(task, debug_nans)
    total_steps = config.epochs * steps_per_epoch
    state, run_steps, arrays, fresh_carry, place = make_runner(task, runs, total_steps, mesh)
    predict = task.make_predict(model, "val") if task.size("val") else None

    local_arrays = jax.tree.map(jnp.asarray, task.arrays) if mesh is not None else arrays
    best, position = jax.tree.map(jnp.copy, whole(state.params, mesh)), Position(members=(Standing(),) * len(runs))
    if resume and has_checkpoint(directory / CHECKPOINTS):
        step, about = read_run(directory)
        state, best = restore_arrays(directory / CHECKPOINTS, step, Checkpointed(whole(state, mesh), best))
        state = place(state)
        position = position_of(about["position"], config)
        if data | about["data"] != data:  # of an older run it may say less
            differs = next(name for name, value in about["data"].items() if value != data.get(name))
            raise InputError(f"{directory}: the data is not what the run was trained on: its {differs} differs")
    log = MetricsLog(directory / METRICS, position.step, writes=hosts.writes())
    names = [named(config, run) for run in runs] if len(runs) > 1 else [""]
    last_losses = [None] * len(runs)

    def save() -> None:
        about = {"config": to_dict(config), "data": data, "position": asdict(position)}
        tree = Checkpointed(whole(state, mesh), best)
        if hosts.writes():
            save_checkpoint(directory / CHECKPOINTS, position.step, tree, about)
        hosts.wait(f"saved {position.step}")

    def saved() -> str:
        where = directory / CHECKPOINTS
        return f"; the last checkpoint is in {where}" if where.is_dir() else ""

    with kept_signals() as signals:
        while position.epoch < config.epochs and not position.stopped:
            began = time.perf_counter()
            if position.call == 0:
                state = state._replace(carry=fresh_carry())
            for rows in batches(task, runs, position.epoch, position.call):
                before = jax.tree.map(jnp.copy, state) if debug_nans else None
                state, metrics = run_steps(state, arrays, rows)
                losses, norms = (
                    np.asarray(metrics[name], np.float64).reshape(len(runs), -1) for name in ("loss", "grad_norm")
                )
                goes_on = np.array([not one.stopped for one in position.members])
                wrong = goes_on & ~np.isfinite(losses).all(axis=1)
                if debug_nans and wrong.any():
                    of = int(wrong.argmax())
                    own = (member(before, of, len(runs)), rows if len(runs) == 1 else rows[of])
                    raise DivergedError(first_nonfinite(task, runs[of], total_steps, *own))
                position = after_call(position, losses, names, last_losses, saved())
                last_losses = losses[:, -1].tolist()
                # All go through the same program; what one does that has stopped is not told.
                means, mean_norms = (
                    tuple(np.where(goes_on, values.mean(axis=1), np.nan).tolist()) for values in (losses, norms)
                )
                row = {"step": position.step, "epoch": position.epoch + 1}
                log.write(
                    _row(name, {**row, "loss": loss, "grad_norm": norm})
                    for name, loss, norm in zip(names, means, mean_norms, strict=True)
                )
                report(Progress(position, losses.shape[1], steps_per_epoch, means, grad_norms=mean_norms))
                came = signals.agreed()
                if came and position.call < calls:
                    save()
                    raise _interrupted(position, came)

            scores: tuple[Scores, ...] = ()
            if predict:
                params = whole(state.params, mesh)
                scores = tuple(
                    {} if one.stopped else task.score(predict(member(params, at, len(runs)), local_arrays), "val")
                    for at, one in enumerate(position.members)
                )
            val_losses = [one.get(task.metric, np.nan) for one in scores] or [None] * len(runs)
            sums = (np.nan if one.stopped else one.loss_sum for one in position.members)
            train_losses = tuple(loss_sum / steps_per_epoch for loss_sum in sums)
            position, better = after_epoch(position, val_losses, config, names, last_losses, saved())
            best = _where(better, whole(state.params, mesh), best, len(runs))
            row = {"step": position.step, "epoch": position.epoch, "seconds": round(time.perf_counter() - began, 4)}
            log.write(
                _row(name, {**row, "train_loss": train_loss, "val_loss": val_loss})
                for name, train_loss, val_loss in zip(names, train_losses, val_losses, strict=True)
            )
            ended = position.epoch == config.epochs or position.stopped
            came = signals.agreed()
            if ended or position.epoch % config.save_every == 0 or came:
                save()
            report(Progress(position, 0, steps_per_epoch, train_losses, tuple(val_losses), scores, epoch_ended=True))
            if came and not ended:
                raise _interrupted(position, came)
    return Result(best, position, stopped_early=position.stopped)


def read_run(directory: Path) -> tuple[int, dict[str, Any]]:
    """The step of the latest checkpoint of a run, and what it says of `config`, `data` and `position`.

    Raises:
        InputError: there is none, it is damaged, or it was not made by `fit`.
    """
    step, about = read_about(directory / CHECKPOINTS)
    if not {"config", "data", "position"} <= about.keys():
        raise InputError(f"{directory}: the checkpoint is none of a run of jax-lstm train")
    return step, about


def saved_config(directory: Path) -> TrainConfig:
    """The config of the latest checkpoint in `directory`; of a run that has none yet, that of its `config.json`."""
    if has_checkpoint(directory / CHECKPOINTS):
        _, about = read_run(directory)
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


def _mean(losses: Sequence[float]) -> float:
    """Of those that are numbers."""
    known = [loss for loss in losses if not np.isnan(loss)]
    return float(np.mean(known)) if known else np.nan


def _interrupted(position: Position, signum: int) -> InterruptedRunError:
    word = "interrupted" if signum == signal.SIGINT else "terminated"
    return InterruptedRunError(f"{word} after step {position.step}, in epoch {position.epoch + 1}; saved", signum)


def _where(chosen: list[bool], new: Any, old: Any, count: int) -> Any:
    """The leaves of `new` for the members that are `chosen`, else those of `old`; copies, since steps donate theirs."""
    if count == 1:
        return jax.tree.map(jnp.copy, new) if chosen[0] else old
    mask = jnp.asarray(chosen)
    return jax.tree.map(lambda a, b: jnp.where(mask.reshape(-1, *[1] * (a.ndim - 1)), a, b), new, old)


def _row(name: str, values: dict[str, Any]) -> dict[str, Any]:
    """A row of the log; a member's bears its name, and a number that is not finite is null."""
    known = {
        key: None if isinstance(value, float) and not np.isfinite(value) else value for key, value in values.items()
    }
    return {**known, "member": name} if name else known
