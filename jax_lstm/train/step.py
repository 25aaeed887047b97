"""The pure functions of training: one step, many steps under one `lax.scan`, and forecasts."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from jax_lstm.data import input_windows, target_windows
from jax_lstm.model import LSTMModel
from jax_lstm.train.config import TrainConfig

Batch = tuple[jax.Array, jax.Array]
Metrics = dict[str, jax.Array]


class TrainState(NamedTuple):
    """All that a step reads and writes. `rest` is what the model holds beside parameters: the state of dropout."""

    step: jax.Array
    params: nnx.State
    rest: nnx.State
    opt_state: Any


Step = Callable[[TrainState, Batch], tuple[TrainState, Metrics]]
RunSteps = Callable[[TrainState, jax.Array, jax.Array, jax.Array], tuple[TrainState, Metrics]]
Forecast = Callable[[nnx.State, jax.Array, np.ndarray], np.ndarray]


def build_model(config: TrainConfig, input_size: int, output_size: int) -> LSTMModel:
    """The model with the initial weights that `config.seed` draws."""
    sizes = (input_size, config.model.hidden_size, output_size, config.model.num_layers)
    return LSTMModel(*sizes, dropout=config.model.dropout, param_dtype=config.dtype, rngs=nnx.Rngs(config.seed))


def init_state(model: LSTMModel, optimizer: optax.GradientTransformation) -> TrainState:
    """The state before the first step, in arrays of its own: steps donate them, and `model` stays whole."""
    _, params, rest = nnx.split(model, nnx.Param, ...)
    params, rest = jax.tree.map(jnp.copy, (params, rest))
    return TrainState(jnp.zeros((), jnp.int32), params, rest, optimizer.init(params))


def make_step(model: LSTMModel, optimizer: optax.GradientTransformation) -> Step:
    """The training step `(state, batch) -> (state, metrics)`: MSE, its gradient, one update.

    A batch is `x` (B, T, I) and `y` (B, O). Metrics are `loss` and `grad_norm`, the global norm before clipping.
    """
    model.train()
    graph = nnx.graphdef(model)

    def loss_fn(params: nnx.State, rest: nnx.State, batch: Batch) -> tuple[jax.Array, nnx.State]:
        # A copy, since the state of dropout may be changed only in the trace that made it.
        model = nnx.merge(graph, params, rest, copy=True)
        x, y = batch
        loss = jnp.mean(optax.squared_error(model(x), y))
        return loss, nnx.state(model, nnx.Not(nnx.Param))

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        (loss, rest), grads = jax.value_and_grad(loss_fn, has_aux=True)(state.params, state.rest, batch)
        updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
        params: Any = optax.apply_updates(state.params, updates)
        metrics = {"loss": loss, "grad_norm": optax.tree.norm(grads)}
        return TrainState(state.step + 1, params, rest, opt_state), metrics

    return step


def make_run_steps(step: Step, window: int, horizon: int) -> RunSteps:
    """Many steps in one compiled call: `(state, inputs, targets, starts) -> (state, metrics)`.

    `inputs` (N, F) and `targets` (N, C) lie on the device; `starts` (S, B) names the windows of each of S batches.
    The state is donated. Metrics have a leading axis S.
    """

    def run_steps(
        state: TrainState, inputs: jax.Array, targets: jax.Array, starts: jax.Array
    ) -> tuple[TrainState, Metrics]:
        def body(state: TrainState, starts: jax.Array) -> tuple[TrainState, Metrics]:
            x = input_windows(inputs, starts, window)
            return step(state, (x, target_windows(targets, starts, window, horizon)))

        return jax.lax.scan(body, state, starts)

    return jax.jit(run_steps, donate_argnums=0)


def make_forecast(model: LSTMModel, window: int, batch_size: int = 512) -> Forecast:
    """Forecasts from windows: `(params, inputs, starts) -> (n, O)`; one program whatever the number of windows."""
    model.eval()
    graph, _, rest = nnx.split(model, nnx.Param, ...)

    @jax.jit
    def forecast_batch(params: nnx.State, inputs: jax.Array, starts: jax.Array) -> jax.Array:
        return nnx.merge(graph, params, rest)(input_windows(inputs, starts, window))

    def forecast(params: nnx.State, inputs: jax.Array, starts: np.ndarray) -> np.ndarray:
        batches = max(-(-len(starts) // batch_size), 1)
        padded = np.pad(starts, (0, batches * batch_size - len(starts))).reshape(batches, batch_size)
        return np.concatenate([forecast_batch(params, inputs, batch) for batch in padded])[: len(starts)]

    return forecast


def epoch_batches(starts: np.ndarray, config: TrainConfig, epoch: int) -> np.ndarray:
    """The windows of one epoch, shuffled, as (calls, steps a call, B): a pure function of seed and epoch.

    The order can thus be found again from any position, and another framework can be given the same. All calls have
    the same number of steps, so that they share one program; the windows left over, fewer than a batch plus
    `calls - 1` batches, sit out this epoch.
    """
    batch_size = min(config.batch_size, len(starts))
    steps = len(starts) // batch_size
    calls = -(-steps // config.chunk_steps)
    per_call = steps // calls
    order = np.random.default_rng([config.seed, epoch]).permutation(len(starts))
    return starts[order[: calls * per_call * batch_size]].reshape(calls, per_call, batch_size)
