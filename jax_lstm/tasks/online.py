"""Forecasts after each new row of a series, in constant time and memory per row."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jax_lstm.checks import require
from jax_lstm.tasks.forecast import ForecastRun
from jax_lstm.tasks.scores import median
from jax_lstm.tasks.windows import forecast_of


class Online:
    """The models of a run, compiled once for one window at a time.

    Raises:
        InputError: the models read columns that are known in advance, other than those of the calendar.
    """

    def __init__(self, run: ForecastRun):
        future, data = run.trained.columns.future, run.config.data
        without = "be used with a model trained without --future, whose columns rows so far do not carry"
        fix = "jax-lstm forecast RUN --csv FILE reads them from the rows ahead"
        require(not future, "--stream", without, f"one that reads {' '.join(future)}", fix)
        model = run.build()
        model.eval()
        graph, _, rest = nnx.split(model, nnx.Param, ...)
        self._window, self._dtype, self._levels = data.window, run.config.dtype, run.config.levels
        self._outputs = data.horizon * len(run.target)
        self._params = jax.tree.map(lambda *leaves: jnp.stack(leaves), *run.all_weights())

        def forecast(params: nnx.State, window: jax.Array, ahead: jax.Array) -> jax.Array:
            return forecast_of(nnx.merge(graph, params, rest), window[None], ahead[None])[0]

        self._forecast = jax.jit(jax.vmap(forecast, in_axes=(0, None, None)))

    def add(self, window: np.ndarray | None, row: np.ndarray) -> np.ndarray:
        """The window (W, F) that ends with `row` (F,); the first row of a series stands for those before it too."""
        return np.tile(row, (self._window, 1)) if window is None else np.concatenate([window[1:], row[None]])

    def forecast(self, window: np.ndarray, ahead: np.ndarray) -> np.ndarray:
        """The forecast of each member (M, horizon * C) after `window`; `ahead` (horizon, K) is known of the next rows.

        All are standardised. Of quantiles it is the median.
        """
        found = self._forecast(self._params, *(jnp.asarray(each, self._dtype) for each in (window, ahead)))
        return median(np.asarray(found), self._outputs, self._levels)
