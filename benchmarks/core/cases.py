"""The measured shapes, a row each, and the weights and inputs that all contenders get."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from jax_lstm import interop
from jax_lstm.params import LSTMParams, Sizes


@dataclass(frozen=True)
class Case:
    """An LSTM and its input: B rows, T steps, I inputs, H hidden units.

    `unequal`: rows have different lengths, from a quarter of T on. `streamed`: each call makes one step.
    """

    batch: int
    steps: int
    input_size: int
    hidden_size: int
    num_layers: int = 1
    bidirectional: bool = False
    unequal: bool = False
    streamed: bool = False

    @property
    def shape(self) -> str:
        """B,T,I,H, then what differs from one layer in one direction."""
        beyond = {
            f"{self.num_layers} layers": self.num_layers > 1,
            "bidirectional": self.bidirectional,
            "unequal lengths": self.unequal,
            "a step a call": self.streamed,
        }
        sizes = f"{self.batch},{self.steps},{self.input_size},{self.hidden_size}"
        return ", ".join([sizes, *(text for text, so in beyond.items() if so)])

    @property
    def sizes(self) -> Sizes:
        return Sizes(self.input_size, self.hidden_size, self.num_layers, bidirectional=self.bidirectional)

    @property
    def lengths(self) -> np.ndarray | None:
        """Lengths (B,) int32, unsorted; None if every row has T steps."""
        if not self.unequal:
            return None
        spread = np.linspace(max(1, self.steps // 4), self.steps, self.batch).round().astype(np.int32)
        return np.random.default_rng(0).permutation(spread)

    @property
    def flops(self) -> float:
        """FLOPs of the forward matrix products without padding; with the backward pass, three times that."""
        return self._products("weight")

    @property
    def input_flops(self) -> float:
        """FLOPs of the products with the first inputs, or of their gradients, which training does not need."""
        return self._products("weight_ih_l0")

    def _products(self, start: str) -> float:
        lengths = self.lengths
        steps = self.steps * self.batch if lengths is None else int(lengths.sum())
        shapes = self.sizes.shapes()
        return 2.0 * steps * sum(math.prod(shape) for name, shape in shapes.items() if name.startswith(start))


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
    "streaming": Case(1, 256, 64, 256, streamed=True),
    "long": Case(8, 4096, 64, 128),
    "two layers": Case(32, 64, 32, 128, num_layers=2),
    "bidirectional": Case(32, 64, 32, 128, bidirectional=True),
    "unequal lengths": Case(32, 64, 32, 128, unequal=True),
}


class Problem(NamedTuple):
    """Weights and inputs in float32.

    `params` have PyTorch's names and initialisation. `xs` (T, B, I). `targets` (T, B, D*H) are for training; zero in
    the padding. `lengths` (B,) or None.
    """

    case: Case
    params: dict[str, np.ndarray]
    xs: np.ndarray
    targets: np.ndarray
    lengths: np.ndarray | None

    @property
    def layers(self) -> list[list[LSTMParams]]:
        """The parameters by layer and direction."""
        found: list[list[LSTMParams]] = [[] for _ in range(self.case.num_layers)]
        for layer, suffix in self.case.sizes.suffixes():
            mine = {name: value for name, value in self.params.items() if name.endswith(suffix)}
            found[layer].append(interop.from_state_dict(mine, "{}" + suffix))
        return found

    @property
    def valid(self) -> np.ndarray | None:
        """The steps that are not padding, (T, B); None for all."""
        return None if self.lengths is None else np.arange(self.case.steps)[:, None] < self.lengths


def draw(case: Case, seed: int = 0) -> Problem:
    rng = np.random.default_rng(seed)
    bound = case.hidden_size**-0.5
    shapes = case.sizes.shapes()
    params = {name: rng.uniform(-bound, bound, shape).astype(np.float32) for name, shape in shapes.items()}
    xs = rng.standard_normal((case.steps, case.batch, case.input_size), np.float32)
    outputs = case.sizes.num_directions * case.hidden_size
    targets = rng.standard_normal((case.steps, case.batch, outputs), np.float32)
    problem = Problem(case, params, xs, targets, case.lengths)
    if problem.valid is not None:
        targets *= problem.valid[:, :, None]
    return problem
