"""A contender: an implementation of the LSTM that is measured.

It turns a problem into a `Work` for each measure that it supports: forward, which returns the outputs of all steps and
the last state; gradients of `loss_scale * mean(outputs ** 2)` with respect to the inputs and all parameters; a training
step with Adam on the mean squared error; and a sequence fed step by step. All get the same weights and inputs, each in
its usual layout.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NamedTuple

import jax
import numpy as np

from benchmarks.cases import Case, Problem
from jax_lstm.kernels import KERNELS, Call
from jax_lstm.kernels.base import this_platform

FORWARD, BACKWARD, TRAINING, STREAMING = "forward", "forward+backward", "training step", "streaming step"
RATE = 1e-3  # of Adam
GATED_STEPS = 3  # training steps that are checked

Results = dict[str, np.ndarray]


class Work(NamedTuple):
    """One measure: `run` blocks until it is done; `results` runs it from the start and returns what is checked.

    `compiled`: the jitted function, and a function that makes its arguments, if there is one. `note`: a remark for the
    tables.
    """

    run: Callable[[], Any]
    results: Callable[[], Results]
    compiled: tuple[Any, Callable[[], tuple[Any, ...]]] | None = None
    note: Callable[[], str] = lambda: ""


Runner = dict[str, Work]  # by measure


@dataclass(frozen=True)
class Contender:
    """How to build an implementation, and the packages that it needs.

    `refuses`: why it cannot run a case, or "". `lacks`: why it does not have the measures that it does not build.
    `biases` per layer: PyTorch has two, which Adam moves twice as far as one. `other_jax`: an LSTM for JAX by others.
    `slow`: seconds to compile one case, if that is much longer than the others take.
    """

    build: Callable[[Problem], Runner]
    about: str
    packages: tuple[str, ...] = ()
    install: str = ""
    other_jax: bool = False
    backend: str = ""
    platform: str = ""  # the JAX platform that it needs
    refuses: Callable[[Case], str] = lambda case: ""
    lacks: str = ""
    biases: int = 2
    slow: float = 0.0

    def absent(self) -> str:
        """Why it cannot be measured here, and how to get it; empty if it can."""
        missing = [package for package in self.packages if not _installed(package)]
        if missing:
            return f"{', '.join(missing)} not installed: {self.install}"
        if self.platform and jax.default_backend() != self.platform:
            return f"it needs a {self.platform}: {self.install}"
        return refusal(self.backend) if self.backend else ""


def refusal(kernel: str) -> str:
    """Why one of our kernels does not run in float32 on this platform; empty if it does."""
    return KERNELS[kernel].refuses(Call(this_platform(), np.dtype("float32"), 1, 1, 1, 1))


def loss_scale(problem: Problem) -> float:
    """A power of two, exact in every type, that keeps the gradients of the outputs in the normal range of float16."""
    return 2.0 ** (round(math.log2(problem.targets.size)) - 8)


def cells_refuse(case: Case) -> str:
    """`Contender.refuses` of loops over cells."""
    return "a cell alone has no lengths" if case.unequal else ""


def _installed(package: str) -> bool:
    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True


def outputs(ys: Any) -> Results:
    """Outputs (T, B, D*H), by the name that the gate uses."""
    return {"outputs": np.asarray(ys, np.float64)}


def gradients(d_xs: Any, d_params: Mapping[str, Any]) -> Results:
    """Gradients by the names that the gate uses. Two biases have the same gradient; one is kept."""
    named = {name.replace("bias_hh", "bias"): value for name, value in d_params.items() if "bias_ih" not in name}
    return {f"gradient of {name}": np.asarray(value, np.float64) for name, value in {"inputs": d_xs, **named}.items()}


def updates(before: Mapping[str, Any], after: Mapping[str, Any]) -> Results:
    """The change of each parameter in training, by the names that the gate uses; two biases are added up."""
    moved = {name: np.asarray(after[name], np.float64) - np.asarray(before[name], np.float64) for name in before}
    for name in [name for name in moved if "bias_ih" in name]:
        own = name.replace("bias_ih", "bias_hh")
        moved[name.replace("bias_ih", "bias")] = moved.pop(name) + moved.pop(own)
    return {f"update of {name}": value for name, value in moved.items()}
