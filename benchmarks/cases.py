"""The shapes that are measured, one row each, and the weights and inputs that every contender gets."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from jax_lstm.state import LSTMParams


@dataclass(frozen=True)
class Case:
    """One layer, one direction: B rows, T steps, I inputs, H hidden units."""

    batch: int
    steps: int
    input_size: int
    hidden_size: int

    @property
    def shape(self) -> str:
        return f"{self.batch},{self.steps},{self.input_size},{self.hidden_size}"

    @property
    def flops(self) -> float:
        """Of the matrix products of the forward pass; with the backward pass it is three times as much."""
        gates = 4 * self.hidden_size
        return 2.0 * self.steps * self.batch * gates * (self.input_size + self.hidden_size)


CASES = {
    "tutorial": Case(32, 5, 10, 20),
    "small": Case(32, 64, 32, 128),
    "medium": Case(64, 100, 128, 256),
    "large": Case(32, 128, 512, 512),
    "one row": Case(1, 256, 64, 256),
    "few rows": Case(8, 256, 64, 64),
    "forecast": Case(64, 96, 7, 64),
    "many rows": Case(256, 24, 32, 64),
    "largest": Case(128, 50, 1024, 1024),
}


class Problem(NamedTuple):
    """Weights and inputs in float32: `xs` (T, B, I), and the parameters of PyTorch's layout and initialisation."""

    params: LSTMParams
    xs: np.ndarray

    @property
    def sizes(self) -> tuple[int, int]:
        """I and H."""
        return self.xs.shape[2], len(self.params.weight_hh) // 4


def draw(case: Case, seed: int = 0) -> Problem:
    rng = np.random.default_rng(seed)
    bound = case.hidden_size**-0.5
    gates = 4 * case.hidden_size

    def uniform(*shape: int) -> np.ndarray:
        return rng.uniform(-bound, bound, shape).astype(np.float32)

    weights = (uniform(gates, case.input_size), uniform(gates, case.hidden_size), uniform(gates), uniform(gates))
    xs = rng.standard_normal((case.steps, case.batch, case.input_size), np.float32)
    return Problem(LSTMParams(*weights), xs)  # type: ignore[arg-type]
