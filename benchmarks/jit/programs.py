"""A variant at a size: a function, its arguments, and the results to compare with the oracle."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.jit.networks import Network
from benchmarks.jit.sizes import Results, Size, gradients, problem, torch_gradients, torch_lstm

FORWARD, BOTH = "forward", "forward+backward"
MEASURES = (FORWARD, BOTH)


class Program(NamedTuple):
    """`function(*arguments)`; `results` of its first value are what the gate checks.

    `jitted`: compile it as a whole. `carried`: the first part of its value is the first argument of the next call.
    `donated`: that argument is donated.
    """

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    results: Callable[[Any], Results]
    jitted: bool
    carried: bool = False
    donated: bool = False


def in_jax(
    network: Network, size: Size, measure: str, jitted: bool = True, dtype: str = "float32", place: Any = None
) -> Program:
    """`place`: the shardings of weights and inputs, or None."""
    arguments = jax.tree.map(lambda array: jnp.asarray(array, dtype), problem(size))
    arguments = arguments if place is None else jax.device_put(arguments, place)
    if measure == FORWARD:
        return Program(network, arguments, outputs, jitted)

    def loss(weights: Any, xs: Any) -> Any:
        return jnp.mean(jnp.square(network(weights, xs)))

    return Program(jax.value_and_grad(loss, argnums=(0, 1)), arguments, lambda value: gradients(*value[1]), jitted)


def in_torch(size: Size, measure: str) -> Program:
    """`torch.nn.LSTM`, eager."""
    import torch

    lstm, xs = torch_lstm(size, torch.float32)

    def forward() -> Any:
        with torch.no_grad():
            return lstm(xs.detach())[0]

    def both() -> Any:
        lstm.zero_grad(set_to_none=True)
        xs.grad = None
        lstm(xs)[0].square().mean().backward()

    if measure == FORWARD:
        return Program(forward, (), outputs, jitted=False)
    return Program(both, (), lambda value: torch_gradients(lstm, xs), jitted=False)


def outputs(ys: Any) -> Results:
    return {"outputs": np.asarray(ys, np.float64)}
