"""Who is measured: one row each. All get the same weights and inputs, in the layout that is natural to them.

A contender returns the outputs of all steps and the last state. Its gradients are those of `mean(outputs ** 2)` by the
inputs and by all weights and biases.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from benchmarks.cases import Problem
from jax_lstm import functional, interop
from jax_lstm.checks import InputError
from jax_lstm.kernels.registry import Request, choose
from jax_lstm.state import LSTMParams

BASELINE = "torch"
Results = dict[str, np.ndarray]


class Runner(NamedTuple):
    """A contender with its weights and inputs. Both calls do all of their work before they return.

    `results` are the outputs (T, B, H) and the gradients, in PyTorch's layout, for the gate. `compiled` is the jitted
    gradient and its arguments, for those that have one.
    """

    forward: Callable[[], Any]
    gradients: Callable[[], Any]
    results: Callable[[], Results]
    compiled: tuple[Any, tuple[Any, ...]] | None = None


@dataclass(frozen=True)
class Contender:
    """How to build it, and the package that it needs. `other_jax`: an LSTM for JAX that is not ours."""

    build: Callable[[Problem], Runner]
    about: str
    package: str = ""
    install: str = ""
    other_jax: bool = False
    backend: str = ""

    def absent(self) -> str:
        """Why it cannot be measured here, and how to get it; empty if it can."""
        if self.package:
            try:
                version(self.package)
            except PackageNotFoundError:
                return f"not installed: {self.install}"
        if self.backend:
            try:
                choose(self.backend, Request(jax.default_backend(), jnp.dtype("float32"), (1, 1, 1), None))
            except InputError as error:
                return str(error)
        return ""


def _torch(problem: Problem) -> Runner:
    import torch

    lstm, xs = torch_lstm(problem, torch.float32)

    def forward() -> Any:
        with torch.no_grad():
            return lstm(xs.detach())

    def gradients() -> Any:
        lstm.zero_grad(set_to_none=True)
        xs.grad = None
        ys, _ = lstm(xs)
        ys.square().mean().backward()
        return ys

    def results() -> Results:
        ys = gradients()
        return torch_results(lstm, xs, ys)

    return Runner(forward, gradients, results)


def torch_lstm(problem: Problem, dtype: Any) -> tuple[Any, Any]:
    """The module of PyTorch with the weights of the problem, and its inputs."""
    import torch

    lstm = torch.nn.LSTM(*problem.sizes).to(dtype)
    lstm.load_state_dict(
        {name: torch.from_numpy(value) for name, value in interop.to_state_dict(problem.params, "{}_l0").items()}
    )
    return lstm, torch.tensor(problem.xs, dtype=dtype, requires_grad=True)


def torch_results(lstm: Any, xs: Any, ys: Any) -> Results:
    grads = {name.removesuffix("_l0"): param.grad.numpy() for name, param in lstm.named_parameters()}
    return named(ys.detach().numpy(), xs.grad.numpy(), grads["weight_ih"], grads["weight_hh"], grads["bias_hh"])


def named(ys: Any, d_xs: Any, d_weight_ih: Any, d_weight_hh: Any, d_bias: Any) -> Results:
    """Outputs and gradients under the names of the gate. Where there are two biases, their gradients are the same."""
    gradients = {"inputs": d_xs, "weight_ih": d_weight_ih, "weight_hh": d_weight_hh, "bias": d_bias}
    gradients = {f"gradient of {name}": value for name, value in gradients.items()}
    return {name: np.asarray(value, np.float64) for name, value in ({"outputs": ys} | gradients).items()}


def in_jax(
    apply: Callable[[Any, Any], Any], weights: Any, xs: Any, as_params: Callable[[Any], LSTMParams], rows_first: bool
) -> Runner:
    """A runner of `apply(weights, xs) -> (ys, state)`; `as_params` brings gradients by the weights into our layout."""
    weights, xs = jax.tree.map(jnp.asarray, (weights, xs.swapaxes(0, 1) if rows_first else xs))

    def loss(weights: Any, xs: Any) -> Any:
        return jnp.mean(jnp.square(apply(weights, xs)[0]))

    forward, gradients = jax.jit(apply), jax.jit(jax.value_and_grad(loss, argnums=(0, 1)))

    def results() -> Results:
        ys, (_, (d_weights, d_xs)) = forward(weights, xs)[0], gradients(weights, xs)
        d = as_params(d_weights)
        if rows_first:
            ys, d_xs = ys.swapaxes(0, 1), d_xs.swapaxes(0, 1)
        return named(ys, d_xs, d.weight_ih, d.weight_hh, d.bias_hh)

    return Runner(
        lambda: jax.block_until_ready(forward(weights, xs)),
        lambda: jax.block_until_ready(gradients(weights, xs)),
        results,
        (gradients, (weights, xs)),
    )


def ours(backend: str, dtype: Any = jnp.float32, **options: Any) -> Callable[[Problem], Runner]:
    """`jax_lstm` on one of its kernels."""

    def build(problem: Problem) -> Runner:
        weights = {f"{name}_l0": jnp.asarray(value, dtype) for name, value in problem.params._asdict().items() if value is not None}  # fmt: skip  # noqa: E501
        return in_jax(
            lambda weights, xs: functional.lstm(weights, xs, backend=backend, **options),
            weights,
            jnp.asarray(problem.xs, dtype),
            lambda d: LSTMParams(**{name.removesuffix("_l0"): value for name, value in d.items()}),
            rows_first=False,
        )

    return build


def _flax(optimized: bool) -> Callable[[Problem], Runner]:
    def build(problem: Problem) -> Runner:
        cell = (nnx.OptimizedLSTMCell if optimized else nnx.LSTMCell)(*problem.sizes, rngs=nnx.Rngs(0))
        nnx.update(cell, interop.to_nnx(problem.params, optimized=optimized))
        graph, weights, rest = nnx.split(nnx.RNN(cell, time_major=True, return_carry=True), nnx.Param, ...)
        zeros = jnp.zeros((problem.xs.shape[1], problem.sizes[1]))  # else it wants random numbers to draw zeros

        def apply(weights: Any, xs: Any) -> Any:
            carry, ys = nnx.merge(graph, weights, rest)(xs, initial_carry=(zeros, zeros))
            return ys, carry

        return in_jax(apply, weights, problem.xs, lambda d: interop.from_nnx(d["cell"]), rows_first=False)

    return build


def _keras(problem: Problem) -> Runner:
    os.environ.setdefault("KERAS_BACKEND", "jax")
    import keras

    if keras.backend.backend() != "jax":
        raise RuntimeError(f"Keras runs on {keras.backend.backend()}; set KERAS_BACKEND=jax")
    layer: Any = keras.layers.LSTM(problem.sizes[1], return_sequences=True, return_state=True)
    layer.build(problem.xs.swapaxes(0, 1).shape)
    layer.set_weights(interop.to_keras(problem.params))
    rest = [variable.value for variable in layer.non_trainable_variables]

    def apply(weights: Any, xs: Any) -> Any:
        (ys, *state), _ = layer.stateless_call(weights, rest, xs)
        return ys, state

    weights = [variable.value for variable in layer.trainable_variables]
    return in_jax(apply, weights, problem.xs, interop.from_keras, rows_first=True)


def _equinox(problem: Problem) -> Runner:
    import equinox

    cell = equinox.nn.LSTMCell(*problem.sizes, key=jax.random.key(0))
    weights = interop.to_equinox(problem.params)

    def apply(weights: Any, xs: Any) -> Any:
        filled = equinox.tree_at(lambda cell: [cell.weight_ih, cell.weight_hh, cell.bias], cell, weights)
        zeros = jnp.zeros((xs.shape[1], problem.sizes[1]))

        def step(state: Any, x: Any) -> Any:
            state = jax.vmap(filled)(x, state)
            return state, state[0]

        state, ys = jax.lax.scan(step, (zeros, zeros), xs)
        return ys, state

    def as_params(d: Any) -> LSTMParams:
        return LSTMParams(d[0], d[1], jnp.zeros_like(d[2]), d[2])

    return in_jax(apply, weights, problem.xs, as_params, rows_first=False)


BENCH = "pip install -c constraints.txt '.[bench]'"
CONTENDERS = {
    "torch": Contender(_torch, "torch.nn.LSTM", "torch", "pip install -c constraints.txt '.[torch]'"),
    "scan": Contender(ours("scan"), "jax_lstm on its kernel `scan`", backend="scan"),
    "native": Contender(ours("native"), "jax_lstm on its kernel `native`", backend="native"),
    "flax optimized": Contender(_flax(True), "flax.nnx.RNN over OptimizedLSTMCell", other_jax=True),
    "flax": Contender(_flax(False), "flax.nnx.RNN over LSTMCell", other_jax=True),
    "keras": Contender(_keras, "keras.layers.LSTM on JAX", "keras", BENCH, other_jax=True),
    "equinox": Contender(_equinox, "equinox.nn.LSTMCell under lax.scan", "equinox", BENCH, other_jax=True),
}
