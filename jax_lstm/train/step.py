"""The pure functions of training: one step, and many steps under one `lax.scan`."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from flax.training.dynamic_scale import DynamicScale

Metrics = dict[str, jax.Array]
Loss = Callable[[Any, Any, Any], tuple[jax.Array, Any]]  # (model, batch, carry) to the loss and the next carry
# (params, rest, batch, carry) to the loss and the next (rest, carry); a step differentiates it.
LossFn = Callable[[Any, Any, Any, Any], tuple[jax.Array, Any]]


class TrainState(NamedTuple):
    """All that a step reads and writes.

    `rest` is the model's other state: the random keys of dropout. `carry` is what a task passes from step to step: for
    text, the LSTM's last state. `scale` is the dynamic loss scale for float16.
    """

    step: jax.Array
    params: nnx.State
    rest: nnx.State
    opt_state: Any
    carry: Any = ()
    scale: Any = ()


Step = Callable[[TrainState, Any], tuple[TrainState, Metrics]]
RunSteps = Callable[[TrainState, Any, jax.Array], tuple[TrainState, Metrics]]


def mse(model: Any, batch: Any, carry: Any = ()) -> tuple[jax.Array, Any]:
    """Mean squared error of `model(x)` (B, O) for a batch of `x` (B, T, I) and `y` (B, O)."""
    x, y = batch
    return mean_squared_error(model(x), y), carry


def mean_squared_error(outputs: jax.Array, y: jax.Array) -> jax.Array:
    """Computed in the type of `y`."""
    return jnp.mean(optax.squared_error(outputs.astype(y.dtype), y))


def mean_absolute_error(outputs: jax.Array, y: jax.Array) -> jax.Array:
    """Computed in the type of `y`."""
    return jnp.mean(jnp.abs(outputs.astype(y.dtype) - y))


def huber_loss(outputs: jax.Array, y: jax.Array) -> jax.Array:
    """With delta 1, computed in the type of `y`."""
    return jnp.mean(optax.huber_loss(outputs.astype(y.dtype), y))


def pinball_loss(outputs: jax.Array, y: jax.Array, levels: Sequence[float]) -> jax.Array:
    """Of quantiles (B, O * Q) at `levels` (Q,), Q running fastest, for `y` (B, O); computed in the type of `y`.

    Twice the usual mean, so that the loss of the median alone is the mean absolute error.
    """
    errors = y[..., None] - outputs.astype(y.dtype).reshape(*y.shape, len(levels))
    tau = jnp.asarray(levels, y.dtype)
    return 2 * jnp.mean(jnp.maximum(tau * errors, (tau - 1) * errors))


LOSSES = {"mse": mean_squared_error, "mae": mean_absolute_error, "huber": huber_loss}


def entropies(logits: jax.Array, classes: jax.Array) -> jax.Array:
    """Cross-entropy in nats of `classes` (...) under `logits` (..., C), in float32 or wider."""
    logits = logits.astype(jnp.promote_types(logits.dtype, jnp.float32))
    return optax.softmax_cross_entropy_with_integer_labels(logits, classes)


def init_state(
    model: nnx.Module, optimizer: optax.GradientTransformation, carry: Any = (), scale: Any = ()
) -> TrainState:
    """The state before the first step. Its arrays are copies, since steps donate them."""
    _, params, rest = nnx.split(model, nnx.Param, ...)
    params, rest = jax.tree.map(jnp.copy, (params, rest))
    return TrainState(jnp.zeros((), jnp.int32), params, rest, optimizer.init(params), carry, scale)


def make_step(
    model: nnx.Module, optimizer: optax.GradientTransformation, loss: Loss = mse, axis: str | None = None
) -> Step:
    """The training step `(state, batch) -> (state, metrics)`: loss, gradient, update.

    Metrics are `loss` and `grad_norm`, the global norm before clipping. Under `shard_map`, `axis` is the mesh axis over
    which the batch is split; each device then draws its own dropout masks.

    If the state has a `scale`, the loss is multiplied by it before the gradient is taken, as float16 needs. A step
    whose gradient overflows changes no parameter and lowers the scale (https://arxiv.org/abs/1710.03740).
    """
    model.train()
    return step_of(nnx.graphdef(model), optimizer, loss, axis)


def step_of(
    graph: Any,
    optimizer: optax.GradientTransformation,
    loss: Loss,
    axis: Any = None,
    shard_loss: Callable[[LossFn], LossFn] | None = None,
) -> Step:
    """`make_step` from the graph of a model in training mode; it may be called while tracing.

    `shard_loss` averages the loss across the devices of `axis`; the step then takes no means itself.
    """

    def loss_fn(params: nnx.State, rest: nnx.State, batch: Any, carry: Any) -> tuple[jax.Array, Any]:
        # A copy, since Flax allows changes to random state only in the trace that created it.
        model = nnx.merge(graph, params, _own_keys(rest, axis), copy=True)
        value, carry = loss(model, batch, carry)
        return value, (_with_keys(nnx.state(model, nnx.Not(nnx.Param)), rest), carry)

    mean_axis = axis if shard_loss is None else None
    mean_loss = loss_fn if shard_loss is None else shard_loss(loss_fn)

    def step(state: TrainState, batch: Any) -> tuple[TrainState, Metrics]:
        arguments = (state.params, state.rest, batch, state.carry)
        scale, finite = state.scale, None
        if isinstance(scale, DynamicScale):
            # Each device takes its share of the mean over all rows; the mean over its own rows would overflow earlier.
            devices = 1 if mean_axis is None else jax.lax.axis_size(mean_axis)
            gradient = scale.value_and_grad(partial(_times, 1 / devices, mean_loss), has_aux=True, axis_name=mean_axis)
            scale, finite, (value, (rest, carry)), grads = gradient(*arguments)
            value, grads = jax.tree.map(lambda leaf: leaf * devices, (value, grads))
        else:
            (value, (rest, carry)), grads = jax.value_and_grad(mean_loss, has_aux=True)(*arguments)
            grads = grads if mean_axis is None else jax.lax.pmean(grads, mean_axis)
        value = value if mean_axis is None else jax.lax.pmean(value, mean_axis)
        updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
        params: Any = optax.apply_updates(state.params, updates)
        if finite is not None:
            before = (state.params, state.opt_state)
            params, opt_state = jax.tree.map(lambda a, b: jnp.where(finite, a, b), (params, opt_state), before)
        metrics = {"loss": value, "grad_norm": optax.tree.norm(grads)}
        return TrainState(state.step + 1, params, rest, opt_state, carry, scale), metrics

    return step


def _times(factor: float, loss_fn: LossFn, *arguments: Any) -> tuple[jax.Array, Any]:
    value, after = loss_fn(*arguments)
    return value * factor, after


def _own_keys(rest: nnx.State, axis: Any) -> nnx.State:
    """Fold the device's index into the random keys."""
    if axis is None:
        return rest
    device = jax.lax.axis_index(axis)
    return jax.tree.map(lambda leaf: jax.random.fold_in(leaf, device) if _is_key(leaf) else leaf, rest)


def _with_keys(rest: nnx.State, before: nnx.State) -> nnx.State:
    """Put back the keys of `before`, which are the same on every device."""
    return jax.tree.map(lambda new, old: old if _is_key(new) else new, rest, before)


def _is_key(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def scan_steps(step: Step, gather: Callable[[Any, jax.Array], Any]) -> RunSteps:
    """Many steps under `lax.scan`: `(state, arrays, rows) -> (state, metrics)`.

    `gather(arrays, row)` makes the batch for each of the S `rows`. Metrics have a leading axis S.
    """

    def run_steps(state: TrainState, arrays: Any, rows: jax.Array) -> tuple[TrainState, Metrics]:
        return jax.lax.scan(lambda state, row: step(state, gather(arrays, row)), state, rows)

    return run_steps


def make_run_steps(step: Step, gather: Callable[[Any, jax.Array], Any]) -> RunSteps:
    """`scan_steps`, compiled; the state is donated."""
    return jax.jit(scan_steps(step, gather), donate_argnums=0)
