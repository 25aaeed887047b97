"""Any model in JAX as jitted functions of its weights, and `jax_lstm` with a given kernel."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from benchmarks.core.cases import Problem
from benchmarks.core.contenders.base import (
    BACKWARD,
    FORWARD,
    GATED_STEPS,
    RATE,
    STREAMING,
    TRAINING,
    Results,
    Runner,
    Work,
    gradients,
    loss_scale,
    outputs,
    updates,
)
from jax_lstm import functional, interop
from jax_lstm.kernels import Kernel
from jax_lstm.params import LSTMParams, LSTMState


class Model(NamedTuple):
    """Weights and `apply(weights, xs) -> (ys, state)`; outputs are zero in the padding.

    `in_torch` converts weights or their gradients to PyTorch's names and layout. `rows_first`: arrays are (B, T, ...).
    `step(weights, x, state) -> (y, state)` makes one step of one layer, from `start`; x (B, I), y (B, H).
    Without `jitted` it runs operation by operation; `donate`: a training step reuses the memory of the old weights.
    """

    weights: Any
    apply: Callable[[Any, Any], Any]
    in_torch: Callable[[Any], dict[str, Any]]
    rows_first: bool = False
    step: Callable[[Any, Any, Any], Any] | None = None
    start: Any = None
    jitted: bool = True
    donate: bool = True

    def jit(self, function: Callable[..., Any], **options: Any) -> Any:
        return jax.jit(function, **options) if self.jitted else function

    def compiled(self, function: Any, arguments: Callable[[], tuple[Any, ...]]) -> Any:
        return (function, arguments) if self.jitted else None


def runner(model: Model, problem: Problem) -> Runner:
    """The measures of a model; nothing is compiled before the first call."""
    xs, targets = (value.swapaxes(0, 1) if model.rows_first else value for value in (problem.xs, problem.targets))
    weights, xs, targets = jax.tree.map(jnp.asarray, (model.weights, xs, targets))
    works = {
        FORWARD: _forward(model, weights, xs),
        BACKWARD: _backward(model, weights, xs, loss_scale(problem)),
        TRAINING: _training(model, weights, xs, targets),
    }
    if model.step is not None and problem.case.streamed:
        works[STREAMING] = _streaming(model, weights, problem)
    return works


def _forward(model: Model, weights: Any, xs: Any) -> Work:
    forward = model.jit(model.apply)

    def results() -> Results:
        ys = forward(weights, xs)[0]
        return outputs(ys.swapaxes(0, 1) if model.rows_first else ys)

    run = lambda: jax.block_until_ready(forward(weights, xs))  # noqa: E731
    return Work(run, results, model.compiled(forward, lambda: (weights, xs)))


def _backward(model: Model, weights: Any, xs: Any, scale: float) -> Work:
    def loss(weights: Any, xs: Any) -> Any:
        ys = model.apply(weights, xs)[0]
        return jnp.mean(jnp.square(ys.astype(jnp.promote_types(ys.dtype, jnp.float32)))) * scale

    function = model.jit(jax.value_and_grad(loss, argnums=(0, 1)))

    def results() -> Results:
        _, (d_weights, d_xs) = function(weights, xs)
        return gradients(d_xs.swapaxes(0, 1) if model.rows_first else d_xs, model.in_torch(d_weights))

    run = lambda: jax.block_until_ready(function(weights, xs))  # noqa: E731
    return Work(run, results, model.compiled(function, lambda: (weights, xs)))


def _training(model: Model, weights: Any, xs: Any, targets: Any) -> Work:
    """One step, weights and moments in one call."""
    adam = optax.adam(RATE)

    def loss(weights: Any, xs: Any, targets: Any) -> Any:
        return jnp.mean(jnp.square(model.apply(weights, xs)[0] - targets))

    def step(weights: Any, moments: Any, xs: Any, targets: Any) -> Any:
        value, d_weights = jax.value_and_grad(loss)(weights, xs, targets)
        changes, moments = adam.update(d_weights, moments, weights)
        return optax.apply_updates(weights, changes), moments, value

    function = model.jit(step, **({"donate_argnums": (0, 1)} if model.jitted and model.donate else {}))

    def fresh() -> tuple[Any, Any]:
        return jax.tree.map(jnp.copy, weights), adam.init(weights)

    held: list[Any] = []

    def run() -> Any:
        if not held:
            held[:] = fresh()
        *held[:], value = function(*held, xs, targets)
        return jax.block_until_ready((held, value))

    def results() -> Results:
        state = fresh()
        for _ in range(GATED_STEPS):
            *state, _ = function(*state, xs, targets)
        return updates(model.in_torch(weights), model.in_torch(state[0]))

    return Work(run, results, model.compiled(function, lambda: (*fresh(), xs, targets)))


def _streaming(model: Model, weights: Any, problem: Problem) -> Work:
    """All steps of the sequence; each is awaited before the next."""
    assert model.step is not None
    step, xs = jax.jit(model.step), [jnp.asarray(x) for x in problem.xs]

    def run() -> list[Any]:
        state, ys = model.start, []
        for x in xs:
            y, state = step(weights, x, state)
            ys.append(y.block_until_ready())
        return ys

    return Work(run, lambda: outputs(np.stack(run())), (step, lambda: (weights, xs[0], model.start)))


def zeros(problem: Problem) -> Any:
    """The initial state (B, H) of a layer."""
    return jnp.zeros((problem.case.batch, problem.case.hidden_size))


def directions(problem: Problem) -> tuple[bool, ...]:
    """Whether each direction runs backwards in time."""
    return (False, True) if problem.case.bidirectional else (False,)


def torch_names(problem: Problem, layer_of: Callable[[int, int], LSTMParams]) -> dict[str, Any]:
    """A state dict by PyTorch's names, from the parameters of each layer and direction."""
    found: dict[str, Any] = {}
    for at, (layer, suffix) in enumerate(problem.case.sizes.suffixes()):
        direction = at % problem.case.sizes.num_directions
        found |= interop.to_state_dict(layer_of(layer, direction), "{}" + suffix)
    return found


def cut(ys: Any, problem: Problem, rows_first: bool = False) -> Any:
    """Zero the outputs in the padding, for frameworks that do not."""
    if problem.valid is None:
        return ys
    valid = problem.valid.T if rows_first else problem.valid
    return jnp.where(valid[:, :, None], ys, 0)


def ours(backend: str | Kernel, dtype: Any = jnp.float32) -> Callable[[Problem], Runner]:
    """`jax_lstm.functional.lstm` with `backend`, its parameters and inputs in `dtype`."""

    def build(problem: Problem) -> Runner:
        weights = {name: jnp.asarray(value, dtype) for name, value in problem.params.items()}
        problem = problem._replace(xs=jnp.asarray(problem.xs, dtype))
        lengths = None if problem.lengths is None else jnp.asarray(problem.lengths)

        def apply(weights: Any, xs: Any) -> Any:
            return functional.lstm(weights, xs, lengths=lengths, backend=backend)

        def step(weights: Any, x: Any, state: Any) -> Any:
            ys, state = functional.lstm(weights, x[None], state, backend=backend)
            return ys[0], state

        case = problem.case
        start = LSTMState.zeros((case.num_layers * case.sizes.num_directions, case.batch, case.hidden_size))
        in_torch = lambda params: jax.tree.map(lambda value: value.astype(jnp.float32), params)  # noqa: E731
        return runner(Model(weights, apply, in_torch, step=step, start=start), problem)

    return build
