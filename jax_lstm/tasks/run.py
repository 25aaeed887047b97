"""A run directory, read back: what it was trained for, on what, and its models with their best weights."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from jax_lstm.checks import InputError
from jax_lstm.train import loop
from jax_lstm.train.checkpoint import restore_arrays
from jax_lstm.train.config import TrainConfig, from_dict
from jax_lstm.train.ensemble import initial_scale, member, members, named
from jax_lstm.train.loop import CHECKPOINTS, Checkpointed
from jax_lstm.train.optimizer import make_optimizer
from jax_lstm.train.position import Position, position_of
from jax_lstm.train.step import init_state


@dataclass(frozen=True)
class Run:
    """What the latest checkpoint of a run says of itself; `weights` reads the arrays."""

    directory: Path
    step: int
    config: TrainConfig
    about: dict[str, Any]  # the data
    whole: Position  # with the members that diverged

    @property
    def position(self) -> Position:
        """Without the members that diverged: nothing is predicted with these."""
        return replace(self.whole, members=tuple(one for one in self.whole.members if not one.diverged))

    @property
    def names(self) -> list[str]:
        """Of the members that did not diverge; "" where a run has but one."""
        return self._named(diverged=False)

    @property
    def diverged(self) -> list[str]:
        """The names of those that did."""
        return self._named(diverged=True)

    def _named(self, diverged: bool) -> list[str]:
        runs = members(self.config)
        names = [named(self.config, run) for run in runs] if len(runs) > 1 else [""]
        return [name for name, one in zip(names, self.whole.members, strict=True) if one.diverged == diverged]

    def build(self) -> Any:
        """The model, with initial weights."""
        raise NotImplementedError

    def carry(self, model: Any) -> Any:
        """What training carried from step to step."""
        return ()

    @property
    def facts(self) -> dict[str, Any]:
        """What another tool must know to use the model, for JSON."""
        return {"task": self.config.task, **self.about}

    @property
    def export_options(self) -> dict[str, Any]:
        """What `export.to_onnx` and `to_stablehlo` are told, so that data goes in and out as it stands in files."""
        return {}

    def all_weights(self) -> list[nnx.State]:
        """The parameters of each member that did not diverge, with its best validation loss."""
        runs, model = members(self.config), self.build()
        params = nnx.state(model, nnx.Param)
        optimizer = make_optimizer(runs[0].optim, 1, params)
        like = Checkpointed(init_state(model, optimizer, self.carry(model), initial_scale(self.config)), params)
        if len(runs) > 1:
            like = jax.tree.map(lambda leaf: jnp.stack([leaf] * len(runs)), like)
        best = restore_arrays(self.directory / CHECKPOINTS, self.step, like).best
        return [member(best, at, len(runs)) for at, one in enumerate(self.whole.members) if not one.diverged]

    def weights(self) -> nnx.State:
        """The parameters with the best validation loss, of the best member."""
        return self.all_weights()[self.position.best]

    def model(self) -> Any:
        """The model with these weights, as for inference."""
        model = self.build()
        nnx.update(model, self.weights())
        model.eval()
        return model


def read_run(directory: Path) -> Run:
    """The run in `directory`.

    Raises:
        InputError: there is none, or its checkpoint is damaged.
    """
    if not directory.is_dir():
        raise InputError(f"{directory}: no such run directory")
    step, about = loop.read_run(directory)
    config = from_dict(TrainConfig, about["config"], f"{directory}: config")
    return Run(directory, step, config, about["data"], position_of(about["position"], config))
