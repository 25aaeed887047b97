"""Windows of a series as a forecaster reads them, and its forecasts from them."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jax_lstm.data import input_windows, target_windows
from jax_lstm.data.ridge import Ridge
from jax_lstm.models import ForecastModel
from jax_lstm.models.forecast_model import Layout
from jax_lstm.train.task import Arrays

Forecast = Callable[[nnx.State, jax.Array, np.ndarray], np.ndarray]


def windows(layout: Layout) -> Callable[[Arrays, jax.Array], Any]:
    """`gather` for `make_run_steps`: what a model reads, see `seen`, and the targets, of windows at `starts` (B,)."""

    def gather(arrays: Arrays, starts: jax.Array) -> Any:
        inputs, targets = arrays
        return seen(inputs, starts, layout), target_windows(targets, starts, layout.window, layout.horizon)

    return gather


def seen(inputs: jax.Array, starts: jax.Array, layout: Layout) -> tuple[jax.Array, jax.Array]:
    """The windows (B, W, F) at `starts` (B,), and the columns that are known ahead (B, horizon, K)."""
    rows = starts[:, None] + np.arange(layout.window, layout.window + layout.horizon, dtype=np.int32)
    return input_windows(inputs, starts, layout.window), inputs[:, np.array(layout.known, int)][rows]


def forecast_of(model: Any, x: jax.Array, ahead: jax.Array) -> jax.Array:
    """The forecast of a `ForecastModel`, or of a model that reads windows alone."""
    return model(x, ahead) if isinstance(model, ForecastModel) else model(x)


def make_forecast(model: Any, layout: Layout, batch_size: int = 512) -> Forecast:
    """Forecasts from windows: `(params, inputs, starts) -> (n, O)`; one program for any number of windows."""
    model.eval()
    graph, _, rest = nnx.split(model, nnx.Param, ...)

    @jax.jit
    def forecast_batch(params: nnx.State, inputs: jax.Array, starts: jax.Array) -> jax.Array:
        return forecast_of(nnx.merge(graph, params, rest), *seen(inputs, starts, layout))

    def forecast(params: nnx.State, inputs: jax.Array, starts: np.ndarray) -> np.ndarray:
        batches = max(-(-len(starts) // batch_size), 1)
        padded = np.pad(starts, (0, batches * batch_size - len(starts))).reshape(batches, batch_size)
        return np.concatenate([forecast_batch(params, inputs, batch) for batch in padded])[: len(starts)]

    return forecast


def with_share(params: nnx.State, share: float, linear: nnx.State | None = None) -> nnx.State:
    """`params` of a `ForecastModel` with the LSTM's part of the forecast multiplied by `share`.

    With `linear`, the bypass becomes that of `linear` multiplied by 1 - `share`.
    """
    params = jax.tree.map(lambda leaf: leaf, params)
    params["fc"] = jax.tree.map(lambda leaf: leaf * share, params["fc"])
    if linear is not None:
        params["bypass"] = jax.tree.map(lambda leaf: leaf * (1 - share), linear["bypass"])
    return params


def start_at(model: ForecastModel, ridge: Ridge, offsets: np.ndarray) -> None:
    """Set the linear map of a model to ridge regression, with `offsets` (horizon, Q) for its quantiles."""
    assert model.bypass is not None
    values = {"weight": ridge.weight.repeat(model.values, axis=0), "bias": (ridge.bias[:, None] + offsets).ravel()}
    for name, value in values.items():
        param = getattr(model.bypass, name)
        param[...] = jnp.asarray(value, param.dtype)
