"""Contenders, and the works that they make of a problem.

It turns a problem into a `Work` for each measure that it supports: forward, which returns the outputs of all steps and
the last state; gradients of `loss_scale * mean(outputs ** 2)` with respect to the inputs and all parameters; a training
step with Adam on the mean squared error; and a sequence fed step by step. All get the same weights and inputs, each in
its usual layout.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, NamedTuple

import jax
import numpy as np

from benchmarks.core.cases import Case, Problem
from jax_lstm.kernels import KERNELS, Call
from jax_lstm.kernels.base import this_platform

FORWARD, BACKWARD, TRAINING, STREAMING = "forward", "forward+backward", "training step", "streaming step"
RATE = 1e-3  # of Adam
GATED_STEPS = 3  # training steps that are checked

Results = dict[str, np.ndarray]


class Work(NamedTuple):
    """`run` finishes its work before it returns; `results` starts afresh and returns what the gate checks.

    `compiled` has the jitted function, if there is one, and a function that makes its arguments; `note` is a remark.
    """

    run: Callable[[], Any]
    results: Callable[[], Results]
    compiled: tuple[Any, Callable[[], tuple[Any, ...]]] | None = None
    note: Callable[[], str] = lambda: ""


Runner = dict[str, Work]  # by measure


@dataclass(frozen=True)
class Contender:
    """How to build a contender, and the packages that it needs.

    `refuses` says why it does not support a case, `lacks` why it does not support the measures that it does not build.
    `biases` is the number per layer; PyTorch has two, which Adam moves twice as far as one. `other_jax`: another JAX
    LSTM. `slow`: seconds to compile one case, if that is more than the others take.
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
    dtype: str = "float32"  # in which it computes; sets the tolerances of the gate

    def absent(self) -> str:
        """Why the contender cannot be measured here, and how to get it; empty if it can."""
        missing = [package for package in self.packages if find_spec(package) is None]
        if missing:
            return f"{', '.join(missing)} not installed: {self.install}"
        if self.platform and jax.default_backend() != self.platform:
            return f"it needs a {self.platform}: {self.install}"
        reason = refusal(self.backend) if self.backend else ""
        return f"{reason}; in a checkout: pip install -e ." if "not built" in reason else reason


def refusal(kernel: str) -> str:
    """Why one of our kernels does not run in float32 on this platform; empty if it does."""
    return KERNELS[kernel].refuses(Call(this_platform(), np.dtype("float32"), 1, 1, 1, 1))


def loss_scale(problem: Problem) -> float:
    """A power of two, exact in every type, that brings the gradients of outputs into the normal range of float16."""
    return 2.0 ** (round(math.log2(problem.targets.size)) - 8)


def cells_refuse(case: Case) -> str:
    """Why a loop over cells does not support a case; empty if it does."""
    return "a cell alone has no lengths" if case.unequal else ""


def outputs(ys: Any) -> Results:
    """Outputs (T, B, D*H), under the gate's name."""
    return {"outputs": np.asarray(ys, np.float64)}


def gradients(d_xs: Any, d_params: Mapping[str, Any]) -> Results:
    """Gradients under the gate's names; of two biases, which have equal gradients, only one."""
    named = {name.replace("bias_hh", "bias"): value for name, value in d_params.items() if "bias_ih" not in name}
    return {f"gradient of {name}": np.asarray(value, np.float64) for name, value in {"inputs": d_xs, **named}.items()}


def updates(before: Mapping[str, Any], after: Mapping[str, Any]) -> Results:
    """Changes of the weights in training, under the gate's names; of two biases, their sum."""
    moved = {name: np.asarray(after[name], np.float64) - np.asarray(before[name], np.float64) for name in before}
    for name in [name for name in moved if "bias_ih" in name]:
        own = name.replace("bias_ih", "bias_hh")
        moved[name.replace("bias_ih", "bias")] = moved.pop(name) + moved.pop(own)
    return {f"update of {name}": value for name, value in moved.items()}
