"""Forecasts after each new row of a series, in constant time and memory per row."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jax_lstm.checks import require
from jax_lstm.models import LSTMModel
from jax_lstm.params import LSTMState, state_dtype
from jax_lstm.tasks.forecast import ForecastRun


class SeriesState(NamedTuple):
    """A series after `rows` rows: `states` (M, L, W, H or R), M members, W rows per window."""

    states: LSTMState
    rows: int


class Online:
    """The models of a run, fed row by row.

    A forecast starts from the zero state at the first row of its window. So one state per row of a window is kept, each
    started one row after the previous one. A new row advances all of them in one step. The oldest has then seen a whole
    window; it makes the forecast and starts again. In the first window the state that started with the first row makes
    the forecasts.

    Raises:
        InputError: the model is bidirectional: its reverse direction would have to read each window again.
    """

    def __init__(self, run: ForecastRun):
        forward = not run.config.model.bidirectional
        require(forward, "--stream", "be used with a model that reads forwards only", "a bidirectional one")
        self._window, model = run.config.data.window, run.build()
        model.eval()
        graph, _, rest = nnx.split(model, nnx.Param, ...)
        self._params = jax.tree.map(lambda *leaves: jnp.stack(leaves), *run.all_weights())
        lstm, dtype = model.lstm, state_dtype(run.config.compute_dtype or run.config.dtype)
        shape = (len(run.names), lstm.num_layers, self._window)
        sizes = (lstm.proj_size or lstm.hidden_size, lstm.hidden_size)
        self._zeros = LSTMState(*(jnp.zeros((*shape, size), dtype) for size in sizes))
        self._dtype = run.config.dtype

        def step(params: nnx.State, states: LSTMState, row: jax.Array, newest: jax.Array, oldest: jax.Array):
            model: LSTMModel = nnx.merge(graph, params, rest)
            states = jax.tree.map(lambda part: part.at[:, newest].set(0), states)
            rows = jnp.broadcast_to(row, (self._window, 1, len(row)))
            ys, states = model.lstm(rows, states)
            return model.fc(ys[oldest, -1]), states

        self._step = jax.jit(jax.vmap(step, in_axes=(0, 0, None, None, None)), donate_argnums=1)

    def start(self) -> SeriesState:
        return SeriesState(jax.tree.map(jnp.copy, self._zeros), 0)

    def feed(self, series: SeriesState, row: np.ndarray) -> tuple[np.ndarray, SeriesState]:
        """The forecast of each member (M, horizon * C) after `row` (F,), and the new state; all standardised.

        `series` is donated.
        """
        newest, count = series.rows % self._window, series.rows + 1
        at = (jnp.asarray(row, self._dtype), jnp.int32(newest), jnp.int32(count % self._window))
        forecast, states = self._step(self._params, series.states, *at)
        return np.asarray(forecast), SeriesState(states, count)
