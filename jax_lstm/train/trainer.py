"""The trainer: a run set up and checked, then epochs of compiled calls, validation and checkpoints."""

import signal
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import Mesh

from jax_lstm.checks import InputError, require
from jax_lstm.layers import LSTM, explain_backend
from jax_lstm.train import hosts
from jax_lstm.train.checkpoint import has_checkpoint, restore_arrays, save_checkpoint
from jax_lstm.train.debug import first_nonfinite
from jax_lstm.train.directory import CHECKPOINTS, METRICS, read_saved, require_resumable, write_config
from jax_lstm.train.ensemble import Runner, batches, groups, make_runner, member, members
from jax_lstm.train.formats import FORMAT
from jax_lstm.train.lock import locked
from jax_lstm.train.mesh import gather, make_mesh
from jax_lstm.train.metrics import MetricsLog
from jax_lstm.train.optimizer import make_optimizer
from jax_lstm.train.position import (
    DivergedError,
    MemberStatus,
    Position,
    after_call,
    after_epoch,
    before_first,
    position_of,
)
from jax_lstm.train.signals import InterruptedRunError, deferred_signals
from jax_lstm.train.step import TrainState
from jax_lstm.train.task import Scores, Task

SAVE_SECONDS = 10  # between checkpoints, unless `save_every` is given: saving takes 0.05 s or more


class Checkpointed(NamedTuple):
    """The arrays of a checkpoint; with several members all have a leading member axis."""

    state: TrainState
    best: nnx.State


@dataclass(frozen=True)
class Progress:
    """Progress after a compiled call or an epoch, with one value per member.

    `train_losses` and `grad_norms` are means over the `steps` since the last report. At the end of an epoch there are
    instead `train_losses` over its steps, `val_losses` and `scores` of the validation part. A member that has stopped
    has NaN and no scores.
    """

    position: Position
    steps: int
    steps_per_epoch: int
    train_losses: tuple[float, ...]
    val_losses: tuple[float | None, ...] = ()
    scores: tuple[Scores, ...] = ()
    grad_norms: tuple[float, ...] = ()
    epoch_ended: bool = False

    @property
    def train_loss(self) -> float:
        """The mean over members that still train."""
        return _mean(self.train_losses)

    @property
    def val_loss(self) -> float | None:
        """The same for the validation part; None within an epoch, and without validation."""
        losses = [loss for loss in self.val_losses if loss is not None]
        return _mean(losses) if losses else None

    def of_epoch(self, epochs: int) -> str:
        """The losses of an epoch in a line."""
        val = "" if self.val_loss is None else f", validation loss {self.val_loss:.4f}"
        accuracy = [one["accuracy"] for one in self.scores if "accuracy" in one]
        val += f", accuracy {sum(accuracy) / len(accuracy):.4f}" if accuracy else ""
        return f"epoch {self.position.epoch}/{epochs}: training loss {self.train_loss:.4f}{val}"


Report = Callable[[Progress], None]


@dataclass(frozen=True)
class Result:
    """The parameters with the best validation loss, and how the run ended.

    With several members the parameters have a leading member axis.
    """

    params: nnx.State
    position: Position
    stopped_early: bool


def require_served(lstm: LSTM, lengths: bool) -> None:
    """Raise `InputError` if the kernel that was asked for cannot run `lstm`, before anything is written."""
    x = jax.ShapeDtypeStruct((1, 1, lstm.input_size), lstm.dtype or lstm.param_dtype)
    explain_backend(lstm, x, given=["lengths"] if lengths else [])


def fit(
    task: Task,
    directory: Path,
    *,
    resume: bool = False,
    debug_nans: bool = False,
    report: Report = lambda progress: None,
) -> Result:
    """Set up a `Trainer` and run it."""
    return Trainer(task, directory, resume=resume, debug_nans=debug_nans).fit(report)


class Trainer:
    """A training run as `task.config` describes it. Nothing is written before `fit`.

    Args:
        task: the data, read and checked.
        directory: run directory for the config, `metrics.jsonl` and checkpoints.
        resume: continue from the latest checkpoint in `directory`, if there is one; the run then ends with the same
            weights as one that was never stopped.
        debug_nans: if the loss becomes NaN or infinite, find the step and the tensor where this begins.
        alone: whether it is an error that all members diverge; else they end as such, and other trainers go on.

    Raises:
        InputError: the members need several programs, the run cannot be resumed with this config, the optimiser cannot
            be used, there are too few devices, or the rows of a batch do not divide over them.
    """

    def __init__(
        self, task: Task, directory: Path, *, resume: bool = False, debug_nans: bool = False, alone: bool = True
    ):
        self.task, self.directory, self.resume, self.debug_nans = task, directory, resume, debug_nans
        self.config, self.alone = task.config, alone
        one = groups(self.config) == {"": self.config}
        require(one, "sweep", "leave sizes to jax_lstm.train.Sweep", " ".join(self.config.sweep))
        if resume:
            require_resumable(self.config, directory)
        self.members = members(self.config)
        self.names, self.runs = list(self.members), list(self.members.values())
        model = nnx.eval_shape(lambda: task.build(self.config))
        require_served(model.lstm, lengths=self.config.task == "labels")
        params = nnx.state(model, nnx.Param)
        for run in self.runs:
            make_optimizer(run.optim, 1, params)
        self.mesh = _mesh_for(task, debug_nans)

    def fit(self, report: Report = lambda progress: None) -> Result:
        """Train; `report` is called after every compiled call and every epoch.

        Raises:
            DivergedError: the loss of every member became NaN or infinite; the last checkpoint is kept.
            InterruptedRunError: Ctrl-C or SIGTERM; the state at that moment was saved.
            InputError: the checkpoint is damaged, or of another model or other data, a file cannot be written, or
                another run is at work in the directory.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        with locked(self.directory) if hosts.writes() else nullcontext():
            if hosts.writes():
                write_config(self.directory, self.config)
            hosts.wait("directory")
            return self._train(report)

    def _train(self, report: Report) -> Result:
        task, config, directory, count = self.task, self.config, self.directory, len(self.runs)
        calls, steps_per_call, _ = task.shape
        steps_per_epoch = calls * steps_per_call
        total_steps = config.epochs * steps_per_epoch
        runner = make_runner(task, self.runs, total_steps, self.mesh)
        validate = self._validation(runner)
        state, best, position = self._start(runner)
        log = MetricsLog(directory / METRICS, position.step, writes=hosts.writes())
        last_losses: list[float | None] = [None] * count
        saved_at = time.monotonic()

        def due() -> bool:
            if config.save_every:
                return position.epoch % config.save_every == 0
            return bool(hosts.largest(time.monotonic() - saved_at >= SAVE_SECONDS))  # all hosts save together

        def save() -> None:
            nonlocal saved_at
            about = {"format": FORMAT, "data": task.about, "position": asdict(position)}
            tree = Checkpointed(gather(state, self.mesh), best)
            if hosts.writes():
                save_checkpoint(directory / CHECKPOINTS, position.step, tree, about)
            hosts.wait(f"saved {position.step}")
            saved_at = time.monotonic()

        def saved() -> str:
            where = directory / CHECKPOINTS
            return f"; the last checkpoint is in {where}" if where.is_dir() else ""

        with deferred_signals() as signals:
            if position.step == 0 and task.margin is not None and task.size("val"):
                kept, scores = validate(gather(state.params, self.mesh), position)
                best = jax.tree.map(jnp.copy, kept)
                position = before_first(position, [one[task.criterion] for one in scores], task.margin)
            while position.epoch < config.epochs and not position.stopped:
                began = time.perf_counter()
                if position.call == 0:
                    state = state._replace(carry=runner.initial_carry())
                for rows in batches(task, self.runs, position.epoch, position.call):
                    before = jax.tree.map(jnp.copy, state) if self.debug_nans else None
                    state, metrics = runner.run_steps(state, runner.arrays, rows)
                    losses, norms = (
                        np.asarray(metrics[name], np.float64).reshape(count, -1) for name in ("loss", "grad_norm")
                    )
                    trains = np.array([not one.stopped for one in position.members])
                    nonfinite = trains & ~np.isfinite(losses).all(axis=1)
                    if self.debug_nans and nonfinite.any():
                        of = int(nonfinite.argmax())
                        own = (member(before, of, count), rows if count == 1 else rows[of])
                        raise DivergedError(first_nonfinite(task, self.runs[of], total_steps, *own))
                    position = after_call(position, losses, self.names, last_losses, saved(), self.alone)
                    last_losses = losses[:, -1].tolist()
                    # Stopped members keep running, since all share one program, but are not logged.
                    means, mean_norms = (
                        tuple(np.where(trains, values.mean(axis=1), np.nan).tolist()) for values in (losses, norms)
                    )
                    row = {"step": position.step, "epoch": position.epoch + 1}
                    log.write(
                        _row(name, {**row, "loss": loss, "grad_norm": norm})
                        for name, loss, norm in zip(self.names, means, mean_norms, strict=True)
                    )
                    report(Progress(position, losses.shape[1], steps_per_epoch, means, grad_norms=mean_norms))
                    signum = signals.agreed()
                    if signum and position.call < calls:
                        save()
                        raise _interrupted(position, signum)

                params, scores = validate(gather(state.params, self.mesh), position)
                val_losses, chosen_by = (
                    [one.get(name, np.nan) for one in scores] or [None] * count
                    for name in (task.metric, task.criterion)
                )
                sums = (np.nan if one.stopped else one.loss_sum for one in position.members)
                train_losses = tuple(loss_sum / steps_per_epoch for loss_sum in sums)
                position, better = after_epoch(
                    position, chosen_by, config, self.names, last_losses, saved(), self.alone
                )
                best = _where(better, params, best)
                row = {"step": position.step, "epoch": position.epoch, "seconds": round(time.perf_counter() - began, 4)}
                log.write(
                    _row(name, {**row, "train_loss": train_loss, "val_loss": val_loss})
                    for name, train_loss, val_loss in zip(self.names, train_losses, val_losses, strict=True)
                )
                ended = position.epoch == config.epochs or position.stopped
                signum = signals.agreed()
                if ended or signum or due():
                    save()
                parts: dict[str, Any] = {"val_losses": tuple(val_losses), "scores": scores}
                report(Progress(position, 0, steps_per_epoch, train_losses, **parts, epoch_ended=True))
                if signum and not ended:
                    raise _interrupted(position, signum)
        return Result(best, position, stopped_early=position.stopped)

    def _start(self, runner: Runner) -> tuple[TrainState, nnx.State, Position]:
        """The state, the best weights and the position to start from: new, or of the latest checkpoint."""
        best = jax.tree.map(jnp.copy, gather(runner.state.params, self.mesh))
        if not (self.resume and has_checkpoint(self.directory / CHECKPOINTS)):
            return runner.state, best, Position(members=(MemberStatus(),) * len(self.runs))
        saved, about = read_saved(self.directory), self.task.about
        if saved.format < 4 and self.task.criterion != self.task.metric:
            reason = "an older version chose its best epoch by another error"
            raise InputError(f"{self.directory}: cannot be resumed, since {reason}; train it anew")
        like = Checkpointed(gather(runner.state, self.mesh), best)
        state, best = restore_arrays(self.directory / CHECKPOINTS, saved.step, like)
        if about | saved.data != about:  # an older run may have saved fewer facts
            differs = next(name for name, value in saved.data.items() if value != about.get(name))
            raise InputError(f"{self.directory}: the data is not what the run was trained on: its {differs} differs")
        return runner.place(state), best, position_of(saved.position, self.config)

    def _validation(self, runner: Runner) -> Callable[[nnx.State, Position], tuple[nnx.State, tuple[Scores, ...]]]:
        """`(params, position)` to the weights to keep, and each member's scores; () without a validation part."""
        task, count = self.task, len(self.runs)
        if not task.size("val"):
            return lambda params, position: (params, ())
        validate_member = task.make_validate(task.build(self.runs[0]))
        arrays = runner.arrays if self.mesh is None else jax.tree.map(jnp.asarray, task.arrays)

        def validate(params: nnx.State, position: Position) -> tuple[nnx.State, tuple[Scores, ...]]:
            each = (member(params, at, count) for at in range(count))
            found = [
                (own, {}) if one.stopped else validate_member(own, arrays)
                for own, one in zip(each, position.members, strict=True)
            ]
            kept, scores = zip(*found, strict=True)
            return kept[0] if count == 1 else jax.tree.map(lambda *leaves: jnp.stack(leaves), *kept), scores

        return validate


def _mesh_for(task: Task, debug_nans: bool) -> Mesh | None:
    mesh = make_mesh(task.config.mesh)
    if mesh is not None:
        rows, devices = task.shape[-1], mesh.size
        require(not debug_nans, "--debug-nans", "be used on one device", f"{devices} devices")
        expected = f"give batches whose rows divide over {devices} devices"
        fix = f"{rows // devices * devices} does" if rows > devices else ""
        require(rows % devices == 0, "--batch-size", expected, f"batches of {rows}", fix)
    return mesh


def _mean(losses: Sequence[float]) -> float:
    """The mean of the values that are not NaN."""
    known = [loss for loss in losses if not np.isnan(loss)]
    return float(np.mean(known)) if known else np.nan


def _interrupted(position: Position, signum: int) -> InterruptedRunError:
    word = "interrupted" if signum == signal.SIGINT else "terminated"
    return InterruptedRunError(f"{word} after step {position.step}, in epoch {position.epoch + 1}; saved", signum)


def _where(chosen: list[bool], new: Any, old: Any) -> Any:
    """Leaves of `new` for the `chosen` members, else of `old`; copies, since steps donate theirs."""
    if len(chosen) == 1:
        return jax.tree.map(jnp.copy, new) if chosen[0] else old
    mask = jnp.asarray(chosen)
    return jax.tree.map(lambda a, b: jnp.where(mask.reshape(-1, *[1] * (a.ndim - 1)), a, b), new, old)


def _row(name: str, values: dict[str, Any]) -> dict[str, Any]:
    """A row of the log, with the member's name; a number that is not finite becomes null."""
    known = {
        key: None if isinstance(value, float) and not np.isfinite(value) else value for key, value in values.items()
    }
    return {**known, "member": name} if name else known
