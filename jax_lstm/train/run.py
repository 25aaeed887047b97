"""A run directory, read back: its config, its scaler and the model with its best weights."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import nnx

from jax_lstm.checks import InputError
from jax_lstm.data import Scaler
from jax_lstm.train.checkpoint import read_about, restore_arrays
from jax_lstm.train.config import TrainConfig, from_dict
from jax_lstm.train.loop import CHECKPOINTS, Checkpointed
from jax_lstm.train.optimizer import make_optimizer
from jax_lstm.train.step import build_model, init_state, make_forecast


@dataclass(frozen=True)
class Run:
    """What the latest checkpoint of a run says of itself; `weights` reads the arrays."""

    directory: Path
    step: int
    config: TrainConfig
    features: tuple[str, ...]
    target: tuple[str, ...]
    scaler: Scaler

    def weights(self) -> nnx.State:
        """The parameters with the best validation loss."""
        model = self._model()
        params = nnx.state(model, nnx.Param)
        optimizer = make_optimizer(self.config.optim, 1, params)
        like = Checkpointed(init_state(model, optimizer), params)
        return restore_arrays(self.directory / CHECKPOINTS, self.step, like).best

    def forecast(self, inputs: Any, starts: Any) -> np.ndarray:
        """Forecasts (n, horizon * C) from the windows of `inputs` (N, F) at `starts` (n,); all standardised."""
        return make_forecast(self._model(), self.config.data.window)(self.weights(), jnp.asarray(inputs), starts)

    def _model(self) -> Any:
        return build_model(self.config, len(self.features), self.config.data.horizon * len(self.target))


def open_run(directory: Path) -> Run:
    """The run in `directory`.

    Raises:
        InputError: there is none, or its checkpoint is damaged.
    """
    if not directory.is_dir():
        raise InputError(f"{directory}: no such run directory")
    step, about = read_about(directory / CHECKPOINTS)
    config = from_dict(TrainConfig, about["config"], f"{directory}: config")
    data = about["data"]
    statistics = data["scaler"]
    scaler = Scaler(tuple(statistics["columns"]), np.array(statistics["mean"]), np.array(statistics["scale"]))
    return Run(directory, step, config, tuple(data["features"]), tuple(data["target"]), scaler)
