"""A run directory, read back: its config, data description and best weights."""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jax_lstm.train.checkpoint import restore_arrays
from jax_lstm.train.config import TrainConfig
from jax_lstm.train.directory import CHECKPOINTS
from jax_lstm.train.ensemble import initial_scale, member, members
from jax_lstm.train.optimizer import make_optimizer
from jax_lstm.train.position import MemberStatus, Position
from jax_lstm.train.step import init_state
from jax_lstm.train.task import Build, Table, Task
from jax_lstm.train.trainer import Checkpointed


@dataclass(frozen=True)
class Run:
    """The latest checkpoint of a run; `weights` reads the arrays."""

    directory: Path
    step: int
    config: TrainConfig
    about: dict[str, Any]  # the data, see `Task.about`
    full_position: Position  # of all members
    others: tuple["Run", ...] = ()  # of a sweep over sizes: the runs of other shapes, none of which is better

    make_model: ClassVar[Build]

    @cached_property
    def members(self) -> dict[str, TrainConfig]:
        """The config of each member by name; the name is "" if there is only one."""
        return members(self.config)

    @property
    def statuses(self) -> dict[str, MemberStatus]:
        """How far each member has got."""
        return dict(zip(self.members, self.full_position.members, strict=True))

    @cached_property
    def choice(self) -> tuple[tuple[Any, ...], list[str]]:
        """How good the best configuration is, lower is better, and its members: they differ by their seeds alone.

        That is the mean validation loss over seeds, or the first if there is no such loss. A configuration of which a
        seed diverged comes after those that are stable.
        """
        configurations: dict[TrainConfig, dict[str, MemberStatus]] = {}
        for (name, config), status in zip(self.members.items(), self.full_position.members, strict=True):
            configurations.setdefault(replace(config, seed=0), {})[name] = status

        def rank(seeds: dict[str, MemberStatus]) -> tuple[Any, ...]:
            losses = [one.best_loss for one in seeds.values() if not one.diverged]
            loss = np.inf if not losses or None in losses else float(np.mean(losses))  # type: ignore[arg-type]
            return not losses, len(losses) < len(seeds), loss

        best = min(configurations.values(), key=rank)
        return rank(best), [name for name, one in best.items() if not one.diverged]

    @property
    def names(self) -> list[str]:
        """The members used to predict: the seeds of the best configuration that did not diverge."""
        return self.choice[1]

    @property
    def position(self) -> Position:
        """With the members used to predict alone."""
        return replace(self.full_position, members=tuple(self.statuses[name] for name in self.names))

    @property
    def diverged(self) -> list[str]:
        """The members that diverged, in the whole sweep."""
        return [name for run in (self, *self.others) for name, one in run.statuses.items() if one.diverged]

    def build(self) -> Any:
        """The model, with initial weights."""
        return type(self).make_model(self.config, self.about)

    def carry(self, model: Any) -> Any:
        """What training carried from step to step, as zeros of the same shapes."""
        return ()

    @property
    def facts(self) -> dict[str, Any]:
        """What another tool must know to use the model, for JSON."""
        return {"task": self.config.task, **self.about}

    def further(self, task: Task, predictions: np.ndarray, part: str) -> Table | None:
        """A further table about predictions of a part, beside the scores."""
        return task.table(predictions, part)

    @property
    def export_options(self) -> dict[str, Any]:
        """Options for `export.to_onnx` and `to_stablehlo`, so that the program reads and writes unscaled data."""
        return {}

    def all_weights(self) -> list[nnx.State]:
        """The best parameters of each member used to predict."""
        found = self.member_weights()
        return [found[name] for name in self.names]

    def member_weights(self) -> dict[str, nnx.State]:
        """The best parameters of each member that did not diverge, by name."""
        first, model = next(iter(self.members.values())), self.build()
        count = len(self.members)
        params = nnx.state(model, nnx.Param)
        optimizer = make_optimizer(first.optim, 1, params)
        like = Checkpointed(init_state(model, optimizer, self.carry(model), initial_scale(self.config)), params)
        if count > 1:
            like = jax.tree.map(lambda leaf: jnp.stack([leaf] * count), like)
        best = restore_arrays(self.directory / CHECKPOINTS, self.step, like).best
        return {
            name: member(best, at, count) for at, (name, one) in enumerate(self.statuses.items()) if not one.diverged
        }

    def weights(self) -> nnx.State:
        """The best parameters of the best member."""
        return self.all_weights()[self.position.best]

    def model(self) -> Any:
        """The model with these weights, in inference mode."""
        model = self.build()
        nnx.update(model, self.weights())
        model.eval()
        return model
