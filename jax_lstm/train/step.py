"""The pure functions of training: one step, and many steps under one `lax.scan`."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from flax.training.dynamic_scale import DynamicScale

Metrics = dict[str, jax.Array]
Loss = Callable[[Any, Any, Any], tuple[jax.Array, Any]]  # (model, batch, carry) to the loss and the next carry
# (params, rest, batch, carry) to the loss, and the next of `rest` and `carry`; what a step differentiates.
LossFn = Callable[[Any, Any, Any, Any], tuple[jax.Array, Any]]


class TrainState(NamedTuple):
    """All that a step reads and writes.

    `rest` is what the model holds beside parameters: the state of dropout. `carry` is what a step hands to the next one
    beside that: the last state of the LSTM, where text goes on from batch to batch. `scale` is that of the loss in
    float16.
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
    """The mean squared error of `model(x)` (B, O) for a batch `x` (B, T, I) and `y` (B, O)."""
    x, y = batch
    return mean_squared_error(model(x), y), carry


def mean_squared_error(outputs: jax.Array, y: jax.Array) -> jax.Array:
    """In the type of `y`."""
    outputs = outputs.astype(y.dtype)
    return jnp.mean(optax.squared_error(outputs, y))


def entropies(logits: jax.Array, classes: jax.Array) -> jax.Array:
    """Cross-entropy in nats of each of `classes` (...) under its `logits` (..., C), at least in float32."""
    logits = logits.astype(jnp.promote_types(logits.dtype, jnp.float32))
    return optax.softmax_cross_entropy_with_integer_labels(logits, classes)


def init_state(
    model: nnx.Module, optimizer: optax.GradientTransformation, carry: Any = (), scale: Any = ()
) -> TrainState:
    """The state before the first step, in arrays of its own: steps donate them, and `model` stays whole."""
    _, params, rest = nnx.split(model, nnx.Param, ...)
    params, rest = jax.tree.map(jnp.copy, (params, rest))
    return TrainState(jnp.zeros((), jnp.int32), params, rest, optimizer.init(params), carry, scale)


def make_step(
    model: nnx.Module, optimizer: optax.GradientTransformation, loss: Loss = mse, axis: str | None = None
) -> Step:
    """The training step `(state, batch) -> (state, metrics)`: the loss, its gradient, one update.

    Metrics are `loss` and `grad_norm`, the global norm before clipping. Under `shard_map`, `axis` is the one over which
    the batch is split; each device then draws masks of dropout of its own.

    With a state that has a `scale`, the loss is multiplied by it before the gradient is taken, as float16 needs; a step
    whose gradient overflows changes no parameter and lowers the scale (https://arxiv.org/abs/1710.03740).
    """
    model.train()
    return step_of(nnx.graphdef(model), optimizer, loss, axis)


def step_of(
    graph: Any,
    optimizer: optax.GradientTransformation,
    loss: Loss,
    axis: Any = None,
    over: Callable[[LossFn], LossFn] | None = None,
) -> Step:
    """`make_step` of a model in training mode by its graph, which may be done within a trace.

    Where `over` makes of the loss of some rows that of all, `axis` is the one that it splits these over, and the step
    around it takes no means.
    """

    def loss_fn(params: nnx.State, rest: nnx.State, batch: Any, carry: Any) -> tuple[jax.Array, Any]:
        # A copy, since the state of dropout may be changed only in the trace that made it.
        model = nnx.merge(graph, params, _own_keys(rest, axis), copy=True)
        value, carry = loss(model, batch, carry)
        return value, (_with_keys(nnx.state(model, nnx.Not(nnx.Param)), rest), carry)

    own = axis if over is None else None
    loss_of_all = loss_fn if over is None else over(loss_fn)

    def step(state: TrainState, batch: Any) -> tuple[TrainState, Metrics]:
        arguments = (state.params, state.rest, batch, state.carry)
        scale, finite = state.scale, None
        if isinstance(scale, DynamicScale):
            # A device takes its share of the mean over all rows: the mean over its own ones would overflow earlier.
            shares = 1 if own is None else jax.lax.axis_size(own)
            share_of_loss = partial(_times, 1 / shares, loss_of_all)
            gradient = scale.value_and_grad(share_of_loss, has_aux=True, axis_name=own)
            scale, finite, (value, (rest, carry)), grads = gradient(*arguments)
            value, grads = jax.tree.map(lambda leaf: leaf * shares, (value, grads))
        else:
            (value, (rest, carry)), grads = jax.value_and_grad(loss_of_all, has_aux=True)(*arguments)
            grads = grads if own is None else jax.lax.pmean(grads, own)
        value = value if own is None else jax.lax.pmean(value, own)
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
    """With random keys that no other device of `axis` has."""
    if axis is None:
        return rest
    own = jax.lax.axis_index(axis)
    return jax.tree.map(lambda leaf: jax.random.fold_in(leaf, own) if _is_key(leaf) else leaf, rest)


def _with_keys(rest: nnx.State, before: nnx.State) -> nnx.State:
    """With the keys of `before`, which are the same on every device."""
    return jax.tree.map(lambda new, old: old if _is_key(new) else new, rest, before)


def _is_key(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def scan_steps(step: Step, gather: Callable[[Any, jax.Array], Any]) -> RunSteps:
    """Many steps: `(state, arrays, rows) -> (state, metrics)`.

    `arrays` lie on the device; `gather(arrays, rows)` makes of each of the S `rows` a batch. Metrics have a leading
    axis S.
    """

    def run_steps(state: TrainState, arrays: Any, rows: jax.Array) -> tuple[TrainState, Metrics]:
        return jax.lax.scan(lambda state, row: step(state, gather(arrays, row)), state, rows)

    return run_steps


def make_run_steps(step: Step, gather: Callable[[Any, jax.Array], Any]) -> RunSteps:
    """`scan_steps` in one compiled call; the state is donated."""
    return jax.jit(scan_steps(step, gather), donate_argnums=0)
