"""A training step with Adam, with and without donation of the state, whose memory the new state then reuses."""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from benchmarks.jit.measuring import Candidate
from benchmarks.jit.programs import Program
from benchmarks.jit.sizes import Results, Size, gradients, problem, torch_lstm
from benchmarks.jit.variants import VARIANTS
from jax_lstm.params import LSTMParams

STEP = "training step"
RATE = 1e-3
FRESH = 0.1  # Adam's first moment after one step, relative to the gradient


def candidates(size: Size) -> dict[str, Candidate]:
    """PyTorch; `scan`, `scan kernel` and `native`, each with and without donation."""
    found = {"torch": Candidate(lambda: _in_torch(size), "torch.nn.LSTM with torch.optim.Adam, eager")}
    for name in ("scan", "scan kernel", "native"):
        refusal = VARIANTS[name].refusal(size, STEP)
        for donated in (False, True):
            about = f"`{name}` with optax.adam, a jitted call a step" + ", its state donated" * donated
            found[name + ", donated" * donated] = Candidate(
                lambda name=name, donated=donated: _in_jax(name, size, donated), about, refusal=refusal
            )
    return found


def _in_jax(variant: str, size: Size, donated: bool) -> Program:
    network, optimizer = VARIANTS[variant].network, optax.adam(RATE)
    assert network is not None
    weights, xs = jax.tree.map(jnp.asarray, problem(size))

    def loss(weights: Any, xs: Any) -> Any:
        return jnp.mean(jnp.square(network(weights, xs)))

    def train(state: Any, xs: Any) -> Any:
        weights, moments = state
        value, (d_weights, d_xs) = jax.value_and_grad(loss, argnums=(0, 1))(weights, xs)
        updates, moments = optimizer.update(d_weights, moments)
        return (optax.apply_updates(weights, updates), moments), value, d_xs

    def results(value: Any) -> Results:
        (_, moments), _, d_xs = value
        return gradients(jax.tree.map(lambda moment: moment / FRESH, moments[0].mu), d_xs)

    return Program(train, ((weights, optimizer.init(weights)), xs), results, True, carried=True, donated=donated)


def _in_torch(size: Size) -> Program:
    import torch

    lstm, xs = torch_lstm(size, torch.float32)
    optimizer = torch.optim.Adam(lstm.parameters(), lr=RATE)

    def train() -> None:
        optimizer.zero_grad()
        xs.grad = None
        lstm(xs)[0].square().mean().backward()
        optimizer.step()

    def results(_: Any) -> Results:
        def moments(layer: int) -> LSTMParams:
            weights = (getattr(lstm, f"{name}_l{layer}") for name in LSTMParams._fields[:4])
            return LSTMParams(*(optimizer.state[weight]["exp_avg"].numpy() / FRESH for weight in weights))

        return gradients([moments(layer) for layer in range(lstm.num_layers)], xs.grad.numpy())

    return Program(train, (), results, jitted=False)
