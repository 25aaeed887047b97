"""A task: its data, model, loss and scores. Loop, checkpoints and commands are the same for every task."""

import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

import jax
import numpy as np
from flax import nnx

from jax_lstm.train.config import TrainConfig
from jax_lstm.train.step import Loss

Arrays = Any  # a tree of arrays
Scores = Mapping[str, float]
Predict = Callable[[nnx.State, Arrays], np.ndarray]
Validate = Callable[[nnx.State, Arrays], tuple[nnx.State, Scores]]  # to the weights to keep, and their scores
Build = Callable[[TrainConfig, Mapping[str, Any]], Any]  # (config, about) to the model


class Table(NamedTuple):
    """A table to print, and warnings about what it shows."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    warnings: Sequence[str] = ()


def part_name(part: str) -> str:
    """The name of a part, as messages have it."""
    return {"val": "validation", "train": "training"}.get(part, part)


class Task(ABC):
    """Data, read and checked, and what training and evaluation do with it. Its parts are train, val and test."""

    config: TrainConfig
    make_model: ClassVar[Build]

    def build(self, config: TrainConfig) -> Any:
        """The model with the initial weights of `config.seed`."""
        return type(self).make_model(config, self.about)

    @property
    def metric(self) -> str:
        """The score that equals the loss on a part; lower is better. It is the first of `headings`."""
        return next(iter(self.headings))

    @property
    def criterion(self) -> str:
        """The score by which the best epoch is chosen."""
        return self.metric

    @property
    def margin(self) -> float | None:
        """The fraction by which the criterion must be better than with the initial weights to replace them.

        None if these are random, so that the first epoch replaces them anyway.
        """
        return None

    @property
    @abstractmethod
    def unit(self) -> str:
        """What throughput is counted in."""

    @property
    def per_row(self) -> int:
        """Units in one row of a batch."""
        return 1

    @property
    def warnings(self) -> Sequence[str]:
        """Warnings about the data, for the user."""
        return ()

    @property
    @abstractmethod
    def arrays(self) -> Arrays:
        """NumPy arrays that stay on the device throughout."""

    @cached_property
    def about(self) -> dict[str, Any]:
        """What a checkpoint stores about the data."""
        return self.describe()

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """`about`, for JSON: enough to rebuild the model and prepare its inputs."""

    @property
    @abstractmethod
    def facts(self) -> list[tuple[str, str]]:
        """Facts about the data for the user, as (heading, text)."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of an epoch: calls, steps per call, rows per batch."""
        return np.shape(self.batches(self.config, 0))  # type: ignore[return-value]

    @abstractmethod
    def batches(self, config: TrainConfig, epoch: int, first: int = 0) -> Iterable[Any]:
        """The input of `gather` for each call from the `first`: (steps per call, B) int32, or trees of such arrays.

        It depends on `config.seed`, the epoch and the call alone, so that a run resumes at any position.
        """

    def carry(self, model: Any) -> Any:
        """The carry for the first step of an epoch; () if nothing is carried."""
        return ()

    @abstractmethod
    def gather(self, arrays: Arrays, rows: jax.Array) -> Any:
        """The batch at `rows` (B,)."""

    @abstractmethod
    def outputs(self, model: Any, batch: Any, carry: Any) -> tuple[jax.Array, Any]:
        """The model's outputs for a batch, and the carry for the next step."""

    @abstractmethod
    def cost(self, outputs: jax.Array, batch: Any) -> jax.Array:
        """The loss of these outputs."""

    @abstractmethod
    def size(self, part: str) -> int:
        """The number of predictions for a part; 0 if there is no such part."""

    @abstractmethod
    def make_predict(self, model: Any, part: str) -> Predict:
        """`(params, arrays)` to the predictions for a part, as `score` takes them."""

    def make_validate(self, model: Any) -> Validate:
        """`(params, arrays)` to the weights to keep of `params`, and their scores on the validation part."""
        predict = self.make_predict(model, "val")
        return lambda params, arrays: (params, self.score(predict(params, arrays), "val"))

    @abstractmethod
    def combine(self, predictions: Sequence[np.ndarray]) -> np.ndarray:
        """The prediction of an ensemble from those of its members."""

    @abstractmethod
    def score(self, predictions: np.ndarray, part: str) -> Scores:
        """Scores of predictions for a part; `metric` is among them."""

    @property
    @abstractmethod
    def headings(self) -> dict[str, tuple[str, str]]:
        """Column heading and number format of each score, in the order of display."""

    def table(self, predictions: np.ndarray, part: str) -> Table | None:
        """A further table about predictions, beside the scores."""
        return None

    @abstractmethod
    def baselines(self, part: str) -> dict[str, Scores]:
        """Scores of simple methods that a trained model should beat."""


def checksum(*arrays: np.ndarray) -> int:
    """CRC-32 of the values and shapes of `arrays`; `about` keeps it to detect changed data."""
    found = 0
    for array in arrays:
        found = zlib.crc32(np.ascontiguousarray(array).data, zlib.crc32(str(array.shape).encode(), found))
    return found


def loss_of(task: Task) -> Loss:
    """The loss for `make_step`."""

    def loss(model: Any, batch: Any, carry: Any) -> tuple[jax.Array, Any]:
        outputs, carry = task.outputs(model, batch, carry)
        return task.cost(outputs, batch), carry

    return loss
