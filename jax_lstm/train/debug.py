"""Find the first non-finite number of a run: its step and its tensor."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from jax_lstm.train.config import TrainConfig
from jax_lstm.train.optimizer import make_optimizer
from jax_lstm.train.step import TrainState, make_step
from jax_lstm.train.task import Task, loss_of

# The tensors of a step, in the order in which they are computed.
TENSORS = ("parameter", "input", "output", "carried state", "loss", "gradient of", "updated")


def first_nonfinite(task: Task, config: TrainConfig, total_steps: int, state: TrainState, rows: np.ndarray) -> str:
    """Repeat the steps of `rows` (S, B) from `state`, one at a time; a message about the first non-finite number."""
    model: Any = task.build(config)
    model.train()
    graph = nnx.graphdef(model)
    optimizer = make_optimizer(config.optim, total_steps, nnx.state(model, nnx.Param))
    step = jax.jit(make_step(model, optimizer, loss_of(task)))
    arrays = jax.tree.map(jnp.asarray, task.arrays)

    @jax.jit
    def tensors(state: TrainState, batch: Any) -> tuple[Any, ...]:
        """Those of `TENSORS`."""

        def loss_fn(params: nnx.State) -> tuple[jax.Array, Any]:
            outputs, carry = task.outputs(nnx.merge(graph, params, state.rest, copy=True), batch, state.carry)
            return task.cost(outputs, batch), (outputs, carry)

        (loss, (outputs, carry)), grads = jax.value_and_grad(loss_fn, has_aux=True)(state.params)
        updates, _ = optimizer.update(grads, state.opt_state, state.params)
        after = optax.apply_updates(state.params, updates)
        return state.params, batch, outputs, carry, loss, grads, after

    for row in rows:
        batch = task.gather(arrays, jnp.asarray(row))
        for kind, tree in zip(TENSORS, tensors(state, batch), strict=True):
            for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]:
                bad = ~np.isfinite(np.asarray(leaf)) if jnp.issubdtype(leaf.dtype, jnp.floating) else np.zeros(1, bool)
                if bad.any():
                    name = jax.tree_util.keystr(path, simple=True, separator=".").removesuffix(".value")
                    where = ", ".join(str(index[0]) for index in np.nonzero(bad)) if bad.ndim else ""
                    tensor = " ".join(filter(None, (kind, name, f"[{where}]" if where else "")))
                    value, shape = np.asarray(leaf)[bad][0], tuple(leaf.shape)
                    return (
                        f"the first number that is not finite: step {int(state.step) + 1}, {tensor} is {value}, "
                        f"one of {bad.sum():,} in {shape}"
                    )
        state, _ = step(state, batch)
    return f"the loss was not finite within {len(rows)} compiled steps, but is finite when they run one at a time"
