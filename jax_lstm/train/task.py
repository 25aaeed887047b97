"""What a run learns: its data, its model, its loss. The loop, the checkpoints and the commands know no more of it."""

import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import nnx

from jax_lstm.train.config import TrainConfig
from jax_lstm.train.step import Loss

Arrays = Any  # a tree of arrays
Scores = Mapping[str, float]
Predict = Callable[[nnx.State, Arrays], np.ndarray]


class Sheet(NamedTuple):
    """A table to show."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


class Task(ABC):
    """Data, read and checked, and all that training and evaluation do with it. Parts are train, val and test."""

    config: TrainConfig

    @property
    @abstractmethod
    def metric(self) -> str:
        """The score that is the loss on a part, and the less the better."""

    @property
    @abstractmethod
    def unit(self) -> str:
        """What a batch is counted in."""

    @property
    def per_row(self) -> int:
        """Units in a row of a batch."""
        return 1

    @property
    def warnings(self) -> Sequence[str]:
        """What a person should be warned of."""
        return ()

    @property
    @abstractmethod
    def arrays(self) -> Arrays:
        """NumPy arrays that lie on the device throughout."""

    @property
    @abstractmethod
    def about(self) -> dict[str, Any]:
        """What a checkpoint says of the data, for JSON: enough to make the model again, and to feed it."""

    @property
    @abstractmethod
    def facts(self) -> list[tuple[str, str]]:
        """What a person should know of the data, by heading."""

    @abstractmethod
    def build(self, config: TrainConfig) -> Any:
        """The model with the initial weights that `config.seed` draws."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of an epoch: calls, steps a call, rows of a batch."""
        return np.shape(self.batches(self.config, 0))  # type: ignore[return-value]

    @abstractmethod
    def batches(self, config: TrainConfig, epoch: int, first: int = 0) -> Iterable[Any]:
        """What `gather` takes, call by call from the `first`: (steps a call, B) int32, or trees of such arrays.

        A function of `config.seed`, the epoch and the call alone, so that a run goes on from any position.
        """

    def carry(self, model: Any) -> Any:
        """What the first step of an epoch gets, as from a step before it; () if nothing is carried."""
        return ()

    @abstractmethod
    def gather(self, arrays: Arrays, rows: jax.Array) -> Any:
        """The batch that `rows` (B,) name."""

    @abstractmethod
    def outputs(self, model: Any, batch: Any, carry: Any) -> tuple[jax.Array, Any]:
        """The model's outputs for a batch, and what the next step gets."""

    @abstractmethod
    def cost(self, outputs: jax.Array, batch: Any) -> jax.Array:
        """The loss: what a batch makes of these outputs."""

    @abstractmethod
    def size(self, part: str) -> int:
        """How many predictions a part asks for; 0 if it is not there."""

    @abstractmethod
    def make_predict(self, model: Any, part: str) -> Predict:
        """`(params, arrays)` to the predictions for a part, which `score` takes."""

    @abstractmethod
    def combine(self, predictions: Sequence[np.ndarray]) -> np.ndarray:
        """What the members of an ensemble predict together."""

    @abstractmethod
    def score(self, predictions: np.ndarray, part: str) -> Scores:
        """How good predictions are; `metric` is among the scores."""

    @property
    @abstractmethod
    def headings(self) -> dict[str, tuple[str, str]]:
        """The scores in the order in which they are shown: heading and number format of each."""

    def further(self, predictions: np.ndarray, part: str) -> Sheet | None:
        """What is worth a table of its own beside the scores."""
        return None

    @abstractmethod
    def baselines(self, part: str) -> dict[str, Scores]:
        """The scores of what a model must beat to be worth its training."""


def checksum(*arrays: np.ndarray) -> int:
    """Of the numbers in `arrays` and of how many each holds, for `about`, so that other data is found out."""
    found = 0
    for array in arrays:
        found = zlib.crc32(np.ascontiguousarray(array).data, zlib.crc32(str(array.shape).encode(), found))
    return found


def loss_of(task: Task) -> Loss:
    """The loss of a batch, for `make_step`."""

    def loss(model: Any, batch: Any, carry: Any) -> tuple[jax.Array, Any]:
        outputs, carry = task.outputs(model, batch, carry)
        return task.cost(outputs, batch), carry

    return loss
