"""The same LSTM with a linear head in JAX and PyTorch: same weights, batches, loss and optimiser."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

import jax_lstm as jl
from benchmarks.accuracy.row import OURS, THEIRS, Figures
from benchmarks.accuracy.tasks import Batch, Task
from jax_lstm.checks import require_extra
from jax_lstm.models import Linear
from jax_lstm.train.config import OptimConfig
from jax_lstm.train.optimizer import make_optimizer, make_schedule


@dataclass(frozen=True)
class Learning:
    """Sizes, initial weights and optimiser of one task at one T.

    `input_scales` (I,) are the standard deviations of the weights of each input; those of the forget gates are
    `forget_scale` times as large. `reach` is T_max of the chrono initialisation, relative to T. `optim` has the
    schedule over `steps`.
    """

    hidden_size: int
    batch_size: int
    steps: int
    input_scales: tuple[float, ...]
    forget_scale: float
    reach: float
    optim: OptimConfig


def normal(scales: tuple[float, ...]) -> Any:
    """Normal weights, drawn as (I, H), with a standard deviation for each of the I inputs."""

    def initializer(key: jax.Array, shape: tuple[int, ...], dtype: Any) -> jax.Array:
        return jax.random.normal(key, shape, dtype) * jnp.asarray(scales, dtype)[:, None]

    return initializer


def chrono(longest: float) -> Any:
    """Chrono initialisation (Tallec & Ollivier 2018, https://arxiv.org/abs/1804.11188): forget biases log(u), input
    biases -log(u), with u evenly spaced from 1 to `longest` - 1 instead of drawn. Each of the two biases gets half.
    """

    def initializer(key: jax.Array, shape: tuple[int, ...], dtype: Any) -> jax.Array:
        half = jnp.log(jnp.linspace(1.0, longest - 1.0, shape[0] // 4)) / 2
        rest = jnp.zeros_like(half)
        return jnp.concatenate([-half, half, rest, rest]).astype(dtype)

    return initializer


class Net(nnx.Module):
    """An LSTM and a linear head: (T, B, I) to (T, B, O)."""

    def __init__(self, task: Task, length: int, learning: Learning, seed: int):
        rngs = nnx.Rngs(seed)
        init = jl.Init(
            weight_ih=normal(learning.input_scales),
            weight_hh=jax.nn.initializers.orthogonal(),
            bias=chrono(learning.reach * length),
        )
        self.lstm = jl.LSTM(task.input_size, learning.hidden_size, init=init, rngs=rngs)
        i, f, g, o = jnp.split(self.lstm.params["weight_ih_l0"], 4)
        scaled = jnp.concatenate([i, learning.forget_scale * f, g, o])
        jl.load_state_dict(self.lstm, {"weight_ih_l0": scaled}, strict=False)
        self.fc = Linear(learning.hidden_size, task.output_size, rngs=rngs)


class InJax:
    """All steps of a call in one `lax.scan`.

    `train` takes a step for each batch and returns the losses; `evaluate` returns `loss`, and for classes `accuracy`:
    the fraction of recalled symbols that are right.
    """

    def __init__(self, task: Task, net: Net, learning: Learning):
        graph, params = nnx.split(net)
        params = jax.tree.map(jnp.copy, params)
        optimizer = make_optimizer(learning.optim, learning.steps, params)
        self._state = (params, optimizer.init(params))

        def loss_fn(params: Any, batch: Batch) -> tuple[jax.Array, jax.Array]:
            net = nnx.merge(graph, params)
            ys, _ = net.lstm(batch.x)
            if not task.classes:
                loss = jnp.mean(optax.squared_error(net.fc(ys[-1])[:, 0], batch.y))
                return loss, loss
            logits = net.fc(ys)
            loss = jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, batch.y))
            return loss, jnp.sum((logits.argmax(-1) == batch.y) & (batch.y > 0)) / jnp.sum(batch.y > 0)

        def step(state: Any, batch: Batch) -> tuple[Any, jax.Array]:
            params, opt_state = state
            (loss, _), gradients = jax.value_and_grad(loss_fn, has_aux=True)(params, batch)
            updates, opt_state = optimizer.update(gradients, opt_state, params)
            return (optax.apply_updates(params, updates), opt_state), loss

        self._steps = jax.jit(lambda state, batches: jax.lax.scan(step, state, batches), donate_argnums=0)
        self._loss = jax.jit(loss_fn)
        self._classes = task.classes

    def train(self, batches: Sequence[Batch]) -> np.ndarray:
        stacked = Batch(*(np.stack(arrays) for arrays in zip(*batches, strict=True)))
        self._state, losses = self._steps(self._state, stacked)
        return np.asarray(losses)

    def evaluate(self, batches: Sequence[Batch]) -> Figures:
        return _mean([self._loss(self._state[0], batch) for batch in batches], self._classes)


class InTorch:
    """The same by `torch.nn.LSTM` and `torch.optim.Adam`, step by step."""

    def __init__(self, task: Task, net: Net, learning: Learning):
        torch: Any = require_extra("torch", "torch", "the PyTorch side")
        self._torch, self._classes, self._clip = torch, task.classes, learning.optim.clip_norm
        lstm = torch.nn.LSTM(task.input_size, learning.hidden_size)
        fc = torch.nn.Linear(learning.hidden_size, task.output_size)
        self._net = torch.nn.ModuleDict({"lstm": lstm, "fc": fc})
        weights = {name: torch.from_numpy(array) for name, array in jl.state_dict(net).items()}
        self._net.load_state_dict(weights)
        assert learning.optim.optimizer == "adam"
        self._optimizer = torch.optim.Adam(self._net.parameters(), lr=learning.optim.learning_rate)
        self._rate, self._step = make_schedule(learning.optim, learning.steps), 0

    def train(self, batches: Sequence[Batch]) -> np.ndarray:
        losses = []
        for batch in batches:
            self._optimizer.param_groups[0]["lr"] = float(np.asarray(self._rate(self._step)))
            self._optimizer.zero_grad()
            loss, _ = self._loss(batch)
            loss.backward()
            if self._clip:
                self._torch.nn.utils.clip_grad_norm_(self._net.parameters(), self._clip)
            self._optimizer.step()
            self._step += 1
            losses.append(loss.item())
        return np.array(losses)

    def evaluate(self, batches: Sequence[Batch]) -> Figures:
        with self._torch.inference_mode():
            return _mean([self._loss(batch) for batch in batches], self._classes)

    def _loss(self, batch: Batch) -> tuple[Any, Any]:
        functional = self._torch.nn.functional
        y = self._torch.from_numpy(batch.y)
        ys, _ = self._net["lstm"](self._torch.from_numpy(batch.x))
        if not self._classes:
            loss = functional.mse_loss(self._net["fc"](ys[-1])[:, 0], y)
            return loss, loss
        logits = self._net["fc"](ys)
        loss = functional.cross_entropy(logits.flatten(0, 1), y.flatten().long())
        return loss, ((logits.argmax(-1) == y) & (y > 0)).sum() / (y > 0).sum()


def _mean(pairs: list[tuple[Any, Any]], classes: bool) -> Figures:
    loss, accuracy = np.mean([[float(value) for value in pair] for pair in pairs], axis=0)
    return {"loss": float(loss)} | ({"accuracy": float(accuracy)} if classes else {})


LEARNERS: dict[str, Callable[[Task, Net, Learning], Any]] = {OURS: InJax, THEIRS: InTorch}
