"""Forecasts after each row of a series: those of its windows, in constant time and memory a row."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jax_lstm.models import LSTMModel
from jax_lstm.params import LSTMState, state_dtype
from jax_lstm.tasks.forecast import ForecastRun


class Begun(NamedTuple):
    """A series so far: `states` (M, L, W, H) of `rows` rows, M members, W a window's rows."""

    states: LSTMState
    rows: int


class Online:
    """The models of a run, fed row by row.

    The forecast from a window starts with the zero state at its first row. So as many states as a window has rows lie
    side by side, each begun a row after the one before. A row moves them all in one step; the oldest, which has then
    seen a whole window, makes the forecast and begins anew. While there are fewer rows, it is one of
    those not yet begun, which have seen them all.
    """

    def __init__(self, run: ForecastRun):
        self._window, model = run.config.data.window, run.build()
        model.eval()
        graph, _, rest = nnx.split(model, nnx.Param, ...)
        self._params = jax.tree.map(lambda *leaves: jnp.stack(leaves), *run.all_weights())
        members, sizes = len(run.names), model.lstm.sizes
        shape = (members, sizes.num_layers, self._window, sizes.hidden_size)
        self._zeros = LSTMState.zeros(shape, state_dtype(run.config.compute_dtype or run.config.dtype))
        self._dtype = run.config.dtype

        def move(params: nnx.State, states: LSTMState, row: jax.Array, begins: jax.Array, speaks: jax.Array):
            model: LSTMModel = nnx.merge(graph, params, rest)
            states = jax.tree.map(lambda part: part.at[:, begins].set(0), states)
            rows = jnp.broadcast_to(row, (self._window, 1, len(row)))
            ys, states = model.lstm(rows, states)
            return model.fc(ys[speaks, -1]), states

        self._move = jax.jit(jax.vmap(move, in_axes=(0, 0, None, None, None)), donate_argnums=1)

    def begin(self) -> Begun:
        return Begun(jax.tree.map(jnp.copy, self._zeros), 0)

    def feed(self, series: Begun, row: np.ndarray) -> tuple[np.ndarray, Begun]:
        """The forecast of each member (M, horizon * C) after `row` (F,), and the series with it; all standardised.

        `series` is used up.
        """
        begins, count = series.rows % self._window, series.rows + 1
        at = (jnp.asarray(row, self._dtype), jnp.int32(begins), jnp.int32(count % self._window))
        forecast, states = self._move(self._params, series.states, *at)
        return np.asarray(forecast), Begun(states, count)
