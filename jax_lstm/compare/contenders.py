"""The two contenders behind one interface: same weights, same data, same batches, same optimiser."""

from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jax_lstm.checks import require_extra
from jax_lstm.convert import load_state_dict, state_dict
from jax_lstm.data import Dataset, input_windows, target_windows
from jax_lstm.train.config import TrainConfig
from jax_lstm.train.optimizer import make_optimizer
from jax_lstm.train.step import build_model, init_state, make_forecast, make_run_steps, make_step

Arrays = dict[str, np.ndarray]


class FirstStep(NamedTuple):
    """What one batch gives before any update."""

    outputs: np.ndarray
    gradients: Arrays


class Contender(Protocol):
    """A model in training. `starts` are the first rows of windows of the data set that it was made with."""

    def first_step(self, starts: np.ndarray) -> FirstStep:
        """Outputs and gradients of the MSE for one batch, starts (B,); changes nothing."""
        ...

    def train(self, starts: np.ndarray) -> np.ndarray:
        """One Adam step for each row of starts (S, B); returns the S losses."""
        ...

    def forecast(self, starts: np.ndarray) -> np.ndarray:
        """Forecasts (n, O) from the windows at starts (n,)."""
        ...

    def weights(self) -> Arrays:
        """A copy of the weights, by PyTorch's names."""
        ...

    def set_weights(self, weights: Arrays) -> None: ...


class InJax:
    """The library's model, steps scanned in one compiled call."""

    def __init__(self, config: TrainConfig, dataset: Dataset):
        self._window, self._horizon = dataset.config.window, dataset.config.horizon
        self._model = build_model(config, dataset.input_size, dataset.output_size)
        optimizer = make_optimizer(config.optim, 1, nnx.state(self._model, nnx.Param))
        self._state = init_state(self._model, optimizer)
        self._run_steps = make_run_steps(make_step(self._model, optimizer), self._window, self._horizon)
        self._forecast = make_forecast(self._model, self._window)
        self._inputs, self._targets = jnp.asarray(dataset.inputs), jnp.asarray(dataset.targets)

    def first_step(self, starts: np.ndarray) -> FirstStep:
        graph = nnx.graphdef(self._model)
        x = input_windows(self._inputs, starts, self._window)
        y = target_windows(self._targets, starts, self._window, self._horizon)

        @jax.jit
        def outputs_and_gradients(params: nnx.State, rest: nnx.State) -> tuple[jax.Array, nnx.State]:
            def loss_fn(params: nnx.State) -> tuple[jax.Array, jax.Array]:
                outputs = nnx.merge(graph, params, rest)(x)
                return jnp.mean((outputs - y) ** 2), outputs

            (_, outputs), gradients = jax.value_and_grad(loss_fn, has_aux=True)(params)
            return outputs, gradients

        outputs, gradients = outputs_and_gradients(self._state.params, self._state.rest)
        return FirstStep(np.asarray(outputs), self._named(gradients))

    def train(self, starts: np.ndarray) -> np.ndarray:
        self._state, metrics = self._run_steps(self._state, self._inputs, self._targets, jnp.asarray(starts))
        return np.asarray(metrics["loss"])

    def forecast(self, starts: np.ndarray) -> np.ndarray:
        return self._forecast(self._state.params, self._inputs, starts)

    def weights(self) -> Arrays:
        return self._named(self._state.params)

    def set_weights(self, weights: Arrays) -> None:
        load_state_dict(self._model, weights)
        params = jax.tree.map(jnp.copy, nnx.state(self._model, nnx.Param))
        self._state = self._state._replace(params=params)

    def _named(self, params: nnx.State) -> Arrays:
        return state_dict(nnx.merge(nnx.graphdef(self._model), params, self._state.rest))


class InTorch:
    """The tutorial's model in PyTorch, trained as PyTorch is: a step at a time."""

    def __init__(self, config: TrainConfig, dataset: Dataset):
        self._torch: Any = require_extra("torch", "torch", "the PyTorch side")
        self._ref: Any = require_extra("torch_ref", "torch", "the PyTorch side")
        self._window, self._horizon = dataset.config.window, dataset.config.horizon
        sizes = (dataset.input_size, config.model.hidden_size, dataset.output_size, config.model.num_layers)
        self._model = self._ref.LSTMModel(*sizes).to(getattr(self._torch, config.dtype))
        self.set_weights(state_dict(build_model(config, dataset.input_size, dataset.output_size)))
        self._optimizer = self._torch.optim.Adam(self._model.parameters(), lr=config.optim.learning_rate)
        self._inputs, self._targets = self._torch.tensor(dataset.inputs), self._torch.tensor(dataset.targets)

    def first_step(self, starts: np.ndarray) -> FirstStep:
        outputs, gradients = self._ref.gradients(
            self._model, self._inputs, self._targets, starts, self._window, self._horizon
        )
        return FirstStep(outputs, gradients)

    def train(self, starts: np.ndarray) -> np.ndarray:
        return self._ref.train_steps(
            self._model, self._optimizer, self._inputs, self._targets, starts, self._window, self._horizon
        )

    def forecast(self, starts: np.ndarray) -> np.ndarray:
        return self._ref.forecast(self._model, self._inputs, starts, self._window)

    def weights(self) -> Arrays:
        return {name: tensor.numpy().copy() for name, tensor in self._model.state_dict().items()}

    def set_weights(self, weights: Arrays) -> None:
        self._model.load_state_dict({name: self._torch.from_numpy(array.copy()) for name, array in weights.items()})


CONTENDERS: dict[str, type[InJax] | type[InTorch]] = {"JAX": InJax, "PyTorch": InTorch}
