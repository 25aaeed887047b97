"""The JAX and the PyTorch side behind one interface: same weights, data, batches and optimiser."""

from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jax_lstm.checks import require_extra
from jax_lstm.train.config import TrainConfig
from jax_lstm.train.optimizer import make_optimizer
from jax_lstm.train.step import init_state, make_run_steps, make_step
from jax_lstm.train.task import Task, loss_of
from jax_lstm.weights.state_dicts import load_state_dict, state_dict

Arrays = dict[str, np.ndarray]


class FirstStep(NamedTuple):
    """Results of one batch before any update."""

    outputs: np.ndarray
    gradients: Arrays


class Contender(Protocol):
    """A model in training; `rows` are batches of its task."""

    def first_step(self, rows: np.ndarray) -> FirstStep:
        """Outputs and gradients for one batch, rows (B,), before training; changes nothing."""
        ...

    def begin_epoch(self) -> None:
        """Reset the carry."""
        ...

    def train(self, rows: np.ndarray) -> np.ndarray:
        """One Adam step for each of rows (S, B); returns the S losses."""
        ...

    def infer(self, rows: np.ndarray) -> np.ndarray:
        """Outputs for each of rows (S, B), from the initial carry: (S * B, ...)."""
        ...

    def weights(self) -> Arrays:
        """A copy of the weights, by PyTorch's names."""
        ...

    def set_weights(self, weights: Arrays) -> None: ...


class InJax:
    """The library's model; many steps per compiled call."""

    def __init__(self, config: TrainConfig, task: Task):
        self._task, self._model = task, task.build(config)
        optimizer = make_optimizer(config.optim, 1, nnx.state(self._model, nnx.Param))
        self._carry = task.carry(self._model)
        self._state = init_state(self._model, optimizer, jax.tree.map(jnp.copy, self._carry))
        self._run_steps = make_run_steps(make_step(self._model, optimizer, loss_of(task)), task.gather)
        self._arrays = jax.tree.map(jnp.asarray, task.arrays)
        self._model.eval()
        graph = nnx.graphdef(self._model)

        @jax.jit
        def outputs(params: nnx.State, rest: nnx.State, arrays: Any, rows: jax.Array, carry: Any) -> jax.Array:
            model, batch = nnx.merge(graph, params, rest), task.gather(arrays, rows)
            return task.outputs(model, batch, carry)[0]

        self._outputs = outputs

    def first_step(self, rows: np.ndarray) -> FirstStep:
        graph, task, carry = nnx.graphdef(self._model), self._task, self._carry

        @jax.jit
        def outputs_and_gradients(params: nnx.State, rest: nnx.State, batch: Any) -> tuple[jax.Array, nnx.State]:
            def loss_fn(params: nnx.State) -> tuple[jax.Array, jax.Array]:
                outputs, _ = task.outputs(nnx.merge(graph, params, rest), batch, carry)
                return task.cost(outputs, batch), outputs

            (_, outputs), gradients = jax.value_and_grad(loss_fn, has_aux=True)(params)
            return outputs, gradients

        batch = task.gather(self._arrays, jnp.asarray(rows))
        outputs, gradients = outputs_and_gradients(self._state.params, self._state.rest, batch)
        return FirstStep(np.asarray(outputs), self._named(gradients))

    def begin_epoch(self) -> None:
        self._state = self._state._replace(carry=jax.tree.map(jnp.copy, self._carry))

    def train(self, rows: np.ndarray) -> np.ndarray:
        self._state, metrics = self._run_steps(self._state, self._arrays, jnp.asarray(rows))
        return np.asarray(metrics["loss"])

    def infer(self, rows: np.ndarray) -> np.ndarray:
        state = self._state
        batches = [self._outputs(state.params, state.rest, self._arrays, batch, self._carry) for batch in rows]
        return np.concatenate(batches)

    def weights(self) -> Arrays:
        return self._named(self._state.params)

    def set_weights(self, weights: Arrays) -> None:
        load_state_dict(self._model, weights)
        params = jax.tree.map(jnp.copy, nnx.state(self._model, nnx.Param))
        self._state = self._state._replace(params=params)

    def _named(self, params: nnx.State) -> Arrays:
        return state_dict(nnx.merge(nnx.graphdef(self._model), params, self._state.rest))


class InTorch:
    """The same model in PyTorch, in an ordinary training loop."""

    def __init__(self, config: TrainConfig, task: Task):
        self._torch: Any = require_extra("torch", "torch", "the PyTorch side")
        self._ref: Any = require_extra("torch_ref", "torch", "the PyTorch side")
        built = task.build(config)
        twin: Any = require_extra("jax_lstm.compare.twins", "torch", "the PyTorch side")
        self._task, model = twin.TWINS[config.task](task, built)
        self._model = model.to(getattr(self._torch, config.dtype))
        self.set_weights(state_dict(built))
        self._optimizer = self._torch.optim.Adam(self._model.parameters(), lr=config.optim.learning_rate)
        self._arrays = jax.tree.map(self._tensor, task.arrays)
        self._first = tuple(map(self._tensor, task.carry(built)))
        self._carry = self._first

    def first_step(self, rows: np.ndarray) -> FirstStep:
        return FirstStep(*self._ref.gradients(self._task, self._model, self._arrays, rows, self._first))

    def begin_epoch(self) -> None:
        self._carry = self._first

    def train(self, rows: np.ndarray) -> np.ndarray:
        losses, self._carry = self._ref.train_steps(
            self._task, self._model, self._optimizer, self._arrays, rows, self._carry
        )
        return losses

    def infer(self, rows: np.ndarray) -> np.ndarray:
        return self._ref.infer(self._task, self._model, self._arrays, rows, self._first)

    def weights(self) -> Arrays:
        return {name: tensor.numpy().copy() for name, tensor in self._model.state_dict().items()}

    def set_weights(self, weights: Arrays) -> None:
        self._model.load_state_dict({name: self._torch.from_numpy(array.copy()) for name, array in weights.items()})

    def _tensor(self, array: Any) -> Any:
        tensor = self._torch.tensor(np.asarray(array))
        return tensor if tensor.is_floating_point() else tensor.long()


CONTENDERS: dict[str, type[InJax] | type[InTorch]] = {"JAX": InJax, "PyTorch": InTorch}
