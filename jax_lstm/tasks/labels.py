"""Labels: classify sequences of unequal lengths."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jax_lstm.data.sequences import Form, Part, Sequences, load_sequences
from jax_lstm.export import Scaling
from jax_lstm.models import LSTMModel
from jax_lstm.tasks.defaults import with_defaults
from jax_lstm.tasks.models import classifier
from jax_lstm.tasks.run import Run
from jax_lstm.train.batches import shuffled
from jax_lstm.train.config import TrainConfig, arithmetic
from jax_lstm.train.step import entropies
from jax_lstm.train.task import Arrays, Predict, Scores, Table, Task, checksum

BATCH = 256  # sequences classified at once


@dataclass(frozen=True)
class Labelling(Task):
    """Labelled sequences; the model's output at the end of each is a logit per class."""

    config: TrainConfig
    sequences: Sequences

    make_model = classifier

    def __post_init__(self) -> None:
        object.__setattr__(self, "config", with_defaults(self.config))

    @property
    def unit(self) -> str:
        return "sequences"

    @property
    def arrays(self) -> Arrays:
        part = self.sequences.parts["train"]
        return part.x, part.lengths, part.y

    def describe(self) -> dict[str, Any]:
        data = self.sequences
        names = {"classes": list(data.classes), "columns": list(data.columns)}
        statistics = {"mean": data.mean.tolist(), "scale": data.scale.tolist()}
        seen = (getattr(data.parts[part], name) for part in ("train", "val") for name in ("x", "lengths", "y"))
        return names | statistics | {"checksum": checksum(*seen)}

    @property
    def facts(self) -> list[tuple[str, str]]:
        data, parts = self.sequences, self.sequences.parts.values()
        lengths = np.concatenate([part.lengths for part in parts])
        counts = " / ".join(f"{len(part.y):,}" for part in parts)
        return [
            ("data", f"{data.source}: {len(lengths):,} sequences of {lengths.min()} to {lengths.max()} steps"),
            ("", f"features: {listed(data.columns)}"),
            ("", f"{len(data.classes)} classes: {listed(data.classes)}"),
            ("", f"training / validation / test: {counts}"),
        ]

    def batches(self, config: TrainConfig, epoch: int, first: int = 0) -> np.ndarray:
        return shuffled(np.arange(len(self.sequences.parts["train"].y), dtype=np.int32), config, epoch)[first:]

    def gather(self, arrays: Arrays, rows: jax.Array) -> Any:
        return tuple(array[rows] for array in arrays)

    def outputs(self, model: LSTMModel, batch: Any, carry: Any) -> tuple[jax.Array, Any]:
        x, lengths, _ = batch
        return model(x, lengths=lengths), carry

    def cost(self, outputs: jax.Array, batch: Any) -> jax.Array:
        return jnp.mean(entropies(outputs, batch[2]))

    def size(self, part: str) -> int:
        return len(self.sequences.parts[part].y)

    def make_predict(self, model: LSTMModel, part: str) -> Predict:
        """Log-probabilities of the classes, (N, classes)."""
        predict = make_log_probabilities(model)
        x, lengths = self.sequences.parts[part].x, self.sequences.parts[part].lengths
        return lambda params, arrays: predict(params, x, lengths)

    def combine(self, predictions: Sequence[np.ndarray]) -> np.ndarray:
        return mean_probability(predictions)

    def score(self, predictions: np.ndarray, part: str) -> Scores:
        y = self.sequences.parts[part].y
        correct = predictions.argmax(axis=1) == y
        return {
            "cross-entropy": -float(np.mean(predictions[np.arange(len(y)), y])),
            "accuracy": float(np.mean(correct)),
        }

    @property
    def headings(self) -> dict[str, tuple[str, str]]:
        return {"cross-entropy": ("cross-entropy\nnats", ".4f"), "accuracy": ("accuracy", ".4f")}

    def table(self, predictions: np.ndarray, part: str) -> Table:
        """The confusion matrix, with the recall of each class."""
        classes = [*map(str, self.sequences.classes)]
        counts = confusion(predictions, self.sequences.parts[part].y)
        rows = [
            (name, *map(str, row), f"{row[at] / max(row.sum(), 1):.2f}")
            for at, (name, row) in enumerate(zip(classes, counts, strict=True))
        ]
        return Table("confusion matrix", ("true, predicted", *classes, "recall"), rows)

    def baselines(self, part: str) -> dict[str, Scores]:
        """Class frequencies, and the nearest class mean, of sequences averaged over time."""
        train, other = self.sequences.parts["train"], self.sequences.parts[part]
        counts = np.bincount(train.y, minlength=len(self.sequences.classes))
        # One pseudo-count per class: the training part of another file may lack a class, whose centre is then zero.
        frequencies = np.log((counts + 1) / (counts + 1).sum())
        means = _time_means(train)
        centres = np.stack([means[train.y == at].sum(axis=0) / max(count, 1) for at, count in enumerate(counts)])
        variance = np.mean((means - centres[train.y]) ** 2, axis=0) + 1e-6
        distances = ((_time_means(other)[:, None] - centres) ** 2 / variance).sum(axis=-1)
        nearest = -distances / 2 + frequencies
        nearest -= np.logaddexp.reduce(nearest, axis=1, keepdims=True)
        rows = {"class frequencies": np.tile(frequencies, (len(other.y), 1)), "nearest mean": nearest}
        return {name: self.score(values, part) for name, values in rows.items()}


LogProbabilities = Callable[[nnx.State, np.ndarray, np.ndarray], np.ndarray]


def make_log_probabilities(model: LSTMModel) -> LogProbabilities:
    """`(params, x, lengths)` to log-probabilities (N, classes) in float64; all batches share one program."""
    model.eval()
    graph, _, rest = nnx.split(model, nnx.Param, ...)
    run = jax.jit(lambda params, x, lengths: nnx.merge(graph, params, rest)(x, lengths=lengths))

    def predict(params: nnx.State, x: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        count = len(lengths)
        size = min(BATCH, count)
        at = np.resize(np.arange(count), -(-count // size) * size).reshape(-1, size)
        logits = np.concatenate([run(params, x[rows], lengths[rows]) for rows in at])[:count]
        return logits - np.logaddexp.reduce(logits.astype(np.float64), axis=1, keepdims=True)

    return predict


def mean_probability(predictions: Sequence[np.ndarray]) -> np.ndarray:
    """The logarithm of the mean of probabilities, from their logarithms (M, N, classes)."""
    return np.logaddexp.reduce(np.asarray(predictions, np.float64)) - np.log(len(predictions))


def listed(names: Sequence[Any], most: int = 12) -> str:
    """The names, or the first of them if there are many."""
    return ", ".join([*map(str, names[:most]), *([f"... {len(names)} in all"] if len(names) > most else [])])


def _time_means(part: Part) -> np.ndarray:
    """The mean over the steps of each sequence, (N, F)."""
    return part.x.sum(axis=1) / np.maximum(part.lengths, 1)[:, None]


def confusion(predictions: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Counts (classes, classes) of true class, by row, and predicted class, by column."""
    counts = np.zeros((predictions.shape[1],) * 2, int)
    np.add.at(counts, (y, predictions.argmax(axis=1)), 1)
    return counts


def load(config: TrainConfig, about: dict[str, Any] | None = None) -> Labelling:
    form = None if about is None else form_of(about)
    return Labelling(config, load_sequences(config.sequences, config.held_out, config.dtype, form))


def form_of(about: dict[str, Any]) -> Form:
    """The classes, columns and statistics in `Labelling.about`."""
    classes, columns = (tuple(about[name]) for name in ("classes", "columns"))
    return Form(classes, columns, np.array(about["mean"]), np.array(about["scale"]))


class LabelsRun(Run):
    """A run that labels sequences."""

    make_model = classifier

    @property
    def form(self) -> Form:
        return form_of(self.about)

    @cached_property
    def _log_probabilities(self) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
        """Kept, so that the weights are read and the model is compiled once."""
        predict, each = make_log_probabilities(self.build()), self.all_weights()
        return lambda x, lengths: mean_probability([predict(weights, x, lengths) for weights in each])

    def probabilities(self, sequences: Sequence[np.ndarray]) -> np.ndarray:
        """The probability of each class (N, classes) for sequences (T, F), which are not standardised yet."""
        with arithmetic(self.config):
            return np.exp(self._log_probabilities(*self.form.pad(sequences, self.config.dtype)))

    @property
    def export_options(self) -> dict[str, Any]:
        return {"lengths": True, "standardise": Scaling(np.array(self.about["mean"]), np.array(self.about["scale"]))}
