"""A run directory, read back: its config, data description and best weights."""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import nnx

from jax_lstm.train.checkpoint import restore_arrays
from jax_lstm.train.config import TrainConfig
from jax_lstm.train.directory import CHECKPOINTS
from jax_lstm.train.ensemble import initial_scale, member, members
from jax_lstm.train.optimizer import make_optimizer
from jax_lstm.train.position import Position
from jax_lstm.train.step import init_state
from jax_lstm.train.task import Build
from jax_lstm.train.trainer import Checkpointed


@dataclass(frozen=True)
class Run:
    """The latest checkpoint of a run; `weights` reads the arrays."""

    directory: Path
    step: int
    config: TrainConfig
    about: dict[str, Any]  # the data, see `Task.about`
    full_position: Position  # with the members that diverged

    make_model: ClassVar[Build]

    @property
    def position(self) -> Position:
        """Without the members that diverged, which are never used to predict."""
        kept = tuple(one for one in self.full_position.members if not one.diverged)
        return replace(self.full_position, members=kept)

    @cached_property
    def members(self) -> dict[str, TrainConfig]:
        """The config of each member by name; the name is "" if there is only one."""
        return members(self.config)

    @property
    def names(self) -> list[str]:
        """The members that did not diverge."""
        return self._named(diverged=False)

    @property
    def diverged(self) -> list[str]:
        """The members that diverged."""
        return self._named(diverged=True)

    def _named(self, diverged: bool) -> list[str]:
        statuses = self.full_position.members
        return [name for name, one in zip(self.members, statuses, strict=True) if one.diverged == diverged]

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

    @property
    def export_options(self) -> dict[str, Any]:
        """Options for `export.to_onnx` and `to_stablehlo`, so that the program reads and writes unscaled data."""
        return {}

    def all_weights(self) -> list[nnx.State]:
        """The best parameters of each member that did not diverge."""
        first, model = next(iter(self.members.values())), self.build()
        count = len(self.members)
        params = nnx.state(model, nnx.Param)
        optimizer = make_optimizer(first.optim, 1, params)
        like = Checkpointed(init_state(model, optimizer, self.carry(model), initial_scale(self.config)), params)
        if count > 1:
            like = jax.tree.map(lambda leaf: jnp.stack([leaf] * count), like)
        best = restore_arrays(self.directory / CHECKPOINTS, self.step, like).best
        return [member(best, at, count) for at, one in enumerate(self.full_position.members) if not one.diverged]

    def weights(self) -> nnx.State:
        """The best parameters of the best member."""
        return self.all_weights()[self.position.best]

    def model(self) -> Any:
        """The model with these weights, in inference mode."""
        model = self.build()
        nnx.update(model, self.weights())
        model.eval()
        return model
