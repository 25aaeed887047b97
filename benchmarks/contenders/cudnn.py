"""`jax.experimental.rnn`: cuDNN's LSTM in JAX. Its weights are one vector, on which Adam works as on its parts."""

from typing import Any, cast

import jax.numpy as jnp
import numpy as np

from benchmarks.cases import Problem
from benchmarks.contenders.base import Runner
from benchmarks.contenders.in_jax import Model, runner

KINDS = (("weight_ih", "weight_hh"), ("bias_ih", "bias_hh"))  # first the weights of all layers, then the biases


def packed(problem: Problem) -> np.ndarray:
    """The parameters as cuDNN has them: layer by layer, both directions of each."""
    suffixes = [suffix for _, suffix in problem.case.sizes.suffixes()]
    parts = [problem.params[name + suffix] for kinds in KINDS for suffix in suffixes for name in kinds]
    return np.concatenate([part.ravel() for part in parts])


def unpacked(problem: Problem, weights: Any) -> dict[str, Any]:
    """PyTorch's names, from the vector or from a gradient by it."""
    from jax.experimental import rnn

    case = problem.case
    found = rnn.unpack_lstm_weights(weights, case.input_size, case.hidden_size, case.num_layers, case.bidirectional)
    names = [name for kinds in KINDS for name in kinds]
    suffixes = [suffix for _, suffix in case.sizes.suffixes()]
    return {name + s: part[at] for name, part in zip(names, found, strict=True) for at, s in enumerate(suffixes)}


def in_cudnn(problem: Problem) -> Runner:
    from jax.experimental import rnn

    case, lstm = problem.case, cast("Any", rnn.lstm)
    sizes = (case.input_size, case.hidden_size, case.num_layers, 0.0, case.bidirectional)
    full = np.full(case.batch, case.steps, np.int32) if problem.lengths is None else problem.lengths
    start = jnp.zeros((case.num_layers * case.sizes.num_directions, case.batch, case.hidden_size))

    def apply(weights: Any, xs: Any) -> Any:
        ys, h, c = lstm(xs, start, start, weights, jnp.asarray(full), *sizes)
        return ys, (h, c)

    def step(weights: Any, x: Any, state: Any) -> Any:
        ys, h, c = lstm(x[:, None], *state, weights, jnp.ones(case.batch, jnp.int32), *sizes)
        return ys[:, 0], (h, c)

    model = Model(packed(problem), apply, lambda w: unpacked(problem, w), True, step, (start, start))
    return runner(model, problem)
