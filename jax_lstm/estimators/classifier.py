"""Labels for sequences of unequal length."""

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Self

import numpy as np

from jax_lstm.checks import InputError, require
from jax_lstm.data.labelled import Labelled, read_sequences
from jax_lstm.data.sequences import in_parts
from jax_lstm.estimators.base import Estimator, PathLike
from jax_lstm.estimators.names import python_names
from jax_lstm.tasks import load_task
from jax_lstm.tasks.labels import Labelling
from jax_lstm.train.config import TrainConfig, absolute
from jax_lstm.train.task import Task

GIVEN = "the sequences given to fit"  # instead of a file, which later commands would look for
Arrays = Sequence[Any] | np.ndarray


class SequenceClassifier(Estimator):
    """Classify sequences by an LSTM whose output at the last step a linear layer reads.

    Sequences are arrays (T, F), each with its own T, or (T,) with one feature; or one array (N, T, F) for all; or a
    file as `jax-lstm train labels` reads it. Missing values are NaN.

    Parameters are keywords, the options of `jax-lstm train labels` with `_` for `-`, as
    `hidden_size=64, num_layers=2, epochs=40, learning_rate=3e-3, seeds="0:5"`. The signature lists all with their
    defaults, and `jax-lstm train labels --help` explains them.

    Raises:
        InputError: there is no such parameter, or its value cannot be used.

    Example:
        >>> import numpy as np
        >>> import jax_lstm as jl
        >>> sequences = np.random.default_rng(0).normal(size=(40, 6, 2))  # (N, T, F)
        >>> labels = ["down", "up"] * 20
        >>> classifier = jl.SequenceClassifier(hidden_size=4, epochs=1).fit(sequences, labels)
        >>> classifier.classes_.tolist()
        ['down', 'up']
        >>> classifier.predict(sequences[:3]).shape, classifier.predict_proba(sequences[:3]).shape
        ((3,), (3, 2))
        >>> 0 <= classifier.score(sequences, labels) <= 1
        True
        >>> classifier.read(sequences).values[0].shape
        (6, 2)
    """

    task = "labels"
    left_out = ("sequences", "test_sequences")

    @python_names()
    def fit(self, sequences: Arrays | PathLike, labels: Any = None, *, directory: PathLike | None = None) -> Self:
        """Train on sequences and a label for each, or on a file, which has both.

        The fraction `held_out` of each class is kept for validation, by which the weights are chosen; of a file as many
        are kept to test on, as on the command line.

        Args:
            sequences: arrays (T, F) or (T,), one array (N, T, F), or the path of a file.
            labels: (N,) strings, integers or booleans; None with a file.
            directory: the run directory, new or empty; None for a temporary one.

        Returns:
            The estimator itself.

        Raises:
            InputError: the data cannot be used.
        """
        if isinstance(sequences, str | os.PathLike):
            require(labels is None, "labels", "be left out with a file, which has them", type(labels).__name__)
            return self._fit(lambda config: load_task(absolute(_with(config, os.fspath(sequences)))), directory)
        read = labelled(sequences, labels)

        def load(config: TrainConfig) -> Task:
            return Labelling(_with(config, GIVEN), in_parts(read, read.pick([]), config.held_out, config.dtype))

        return self._fit(load, directory)

    @property
    def classes_(self) -> np.ndarray:
        """The labels, (classes,), in the order of the columns of `predict_proba`."""
        return np.array(self.run.about["classes"])

    def predict(self, sequences: Arrays | PathLike) -> np.ndarray:
        """The most probable label of each sequence, (N,); sequences are as for `fit`.

        Raises:
            InputError: the sequences cannot be used, or have other features than in training.
        """
        return self.classes_[self.predict_proba(sequences).argmax(axis=1)]

    @python_names()
    def predict_proba(self, sequences: Arrays | PathLike) -> np.ndarray:
        """The probability of each class, (N, classes); with several seeds the mean over their models.

        Sequences are as for `fit`, and errors as of `predict`.
        """
        return self.run.probabilities(self.read(sequences).values)

    @python_names()
    def score(self, sequences: Arrays | PathLike, labels: Any = None) -> float:
        """The fraction of sequences that get their label.

        Args:
            sequences: as for `fit`.
            labels: (N,), or None with a file, which has them.
        """
        if isinstance(sequences, str | os.PathLike):
            read = self.read(sequences, labelled=True)
            return float(np.mean(self.predict(read.values).astype(str) == read.labels))
        return float(np.mean(self.predict(sequences) == np.asarray(labels)))

    @python_names()
    def read(self, sequences: Arrays | PathLike, labelled: bool = False) -> Labelled:
        """The sequences of a file or of arrays, checked, with the model's features.

        Args:
            sequences: as for `fit`.
            labelled: whether a file must have labels.

        Returns:
            An object with the `names` of the sequences, which are numbers for arrays, their `values` (T, F), and their
            `labels` if they were read.
        """
        columns = self.run.about["columns"]
        if isinstance(sequences, str | os.PathLike):
            config = self._config(self.get_params()).sequences
            return read_sequences(os.fspath(sequences), config, columns, labelled)
        values = arrays(sequences)
        found = values[0].shape[1]
        require(found == len(columns), "sequences", f"have {len(columns)} features, as in training", found)
        return Labelled(GIVEN, tuple(columns), [str(at) for at in range(len(values))], values, [])

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import ClassifierTags, InputTags, Tags, TargetTags

        tags = InputTags(two_d_array=False, three_d_array=True, allow_nan=True)
        return Tags("classifier", TargetTags(required=True), classifier_tags=ClassifierTags(), input_tags=tags)


def _with(config: TrainConfig, sequences: str) -> TrainConfig:
    return replace(config, sequences=replace(config.sequences, sequences=sequences))


def arrays(sequences: Arrays) -> list[np.ndarray]:
    """Sequences (T, F) in float64.

    Raises:
        InputError: there are none; one is empty, has no numbers or another number of features; a value is infinite.
    """
    found: list[np.ndarray] = []
    for at, sequence in enumerate(sequences):
        name = f"sequences[{at}]"
        try:
            values = np.asarray(sequence, np.float64)
        except (TypeError, ValueError):
            raise InputError(f"`{name}` must be an array of numbers (T, F); got {type(sequence).__name__}") from None
        values = values[:, None] if values.ndim == 1 else values
        fits = values.ndim == 2 and bool(values.size)
        require(fits, name, "have shape (T, F) or (T,), with a step at least", values.shape)
        same = not found or values.shape[1] == found[0].shape[1]
        require(same, name, f"have {found[0].shape[1] if found else 0} features, as those before", values.shape[1])
        require(not np.isinf(values).any(), name, "have finite numbers, or NaN where missing", "infinity")
        found.append(values)
    require(bool(found), "sequences", "have a sequence at least", "none")
    return found


def labelled(sequences: Arrays, labels: Any) -> Labelled:
    """Sequences and their labels, checked; features are named by number.

    Raises:
        InputError: they cannot be used.
    """
    values = arrays(sequences)
    require(labels is not None, "labels", "be given with arrays", "none")
    each = np.asarray(labels)
    require(each.shape == (len(values),), "labels", f"be one for each of the {len(values)} sequences", each.shape)
    plain = each.tolist()
    fits = each.dtype.kind in "iubU" or all(isinstance(one, str) for one in plain)
    require(fits, "labels", "be strings, integers or booleans", each.dtype)
    columns = tuple(f"dimension {at + 1}" for at in range(values[0].shape[1]))
    return Labelled(GIVEN, columns, [str(at) for at in range(len(values))], values, plain)
