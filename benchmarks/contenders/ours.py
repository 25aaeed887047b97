"""`jax_lstm` with a given kernel."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks.cases import Problem
from benchmarks.contenders.base import Runner
from benchmarks.contenders.in_jax import Model, runner
from jax_lstm import functional
from jax_lstm.kernels import Kernel
from jax_lstm.params import LSTMState


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
