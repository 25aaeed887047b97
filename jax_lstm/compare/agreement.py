"""Agreement of the two frameworks: outputs, every gradient, and losses and weights after some Adam steps."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from jax_lstm.compare.contenders import Arrays, Contender
from jax_lstm.tolerances import TOLERANCES, difference


@dataclass(frozen=True)
class Check:
    """The largest difference of JAX from PyTorch; `relative` is to the largest magnitude in PyTorch."""

    name: str
    absolute: float
    relative: float
    tolerance: float

    @property
    def passed(self) -> bool:
        return self.relative <= self.tolerance


def agreement(
    jax: Contender, torch: Contender, rows: np.ndarray, report: Callable[[], None] = lambda: None
) -> list[Check]:
    """Compare the contenders over the Adam steps of `rows` (S, B); neither may have trained before.

    An output layer of zeros, behind which every gradient is zero, is drawn at random first. `report` is called after
    each of 4 stages.
    """
    stages = []
    for contender in (jax, torch):
        contender.set_weights(_with_output_layer(contender.weights()))
        stages.append(contender.first_step(rows[0]))
        report()
    ours, reference = stages
    checks = [_check("outputs", "outputs", ours.outputs, reference.outputs)]
    checks += _check_each("gradient of {}", "gradients", ours.gradients, reference.gradients)

    losses = []
    for contender in (jax, torch):
        losses.append(contender.train(rows))
        report()
    checks.append(_check(f"losses of {len(rows)} Adam steps", "losses", *losses))
    checks += _check_each(f"{{}} after {len(rows)} steps", "weights", jax.weights(), torch.weights())
    return checks


def _with_output_layer(weights: Arrays) -> Arrays:
    """`weights`, with an output layer as PyTorch initialises one if it is zero."""
    drawn, layer = np.random.default_rng(0), ("fc.weight", "fc.bias")
    if any(weights[name].any() for name in layer):
        return weights
    bound = weights["fc.weight"].shape[1] ** -0.5
    new = {name: drawn.uniform(-bound, bound, weights[name].shape) for name in layer}
    return weights | {name: values.astype(weights[name].dtype) for name, values in new.items()}


def _check_each(name: str, kind: str, ours: Arrays, reference: Arrays) -> list[Check]:
    # PyTorch has one gradient where ours has the two names of a tied weight.
    assert ours.keys() >= reference.keys(), "the two models have different parameters"
    return [_check(name.format(param), kind, ours[param], array) for param, array in reference.items()]


def _check(name: str, kind: str, ours: Any, reference: np.ndarray) -> Check:
    return Check(name, *difference(ours, reference), TOLERANCES[kind].of(reference.dtype))
