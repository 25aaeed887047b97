"""Labelled sequences of unequal length: parts held out, standardised and padded."""

import importlib.util
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jax_lstm.checks import InputError, MissingExtraError, require
from jax_lstm.data.labelled import Labelled, SequencesConfig, read_sequences

DEFAULT = "JapaneseVowels"  # two vowels by nine speakers: 12 coefficients, 7 to 29 steps
SOURCE = "https://www.timeseriesclassification.com/description.php?Dataset=JapaneseVowels"


@dataclass(frozen=True)
class Part:
    """Padded sequences: `x` (N, T, F), standardised and zero after `lengths` (N,); classes `y` (N,)."""

    x: np.ndarray
    lengths: np.ndarray
    y: np.ndarray


@dataclass(frozen=True)
class Form:
    """Classes, feature columns, and the mean and standard deviation (F,) of these."""

    classes: tuple[Any, ...]  # strings from a file, also integers or booleans from Python
    columns: tuple[str, ...]
    mean: np.ndarray
    scale: np.ndarray

    def pad(self, sequences: Sequence[np.ndarray], dtype: str) -> tuple[np.ndarray, np.ndarray]:
        """Standardise and pad sequences (T, F) to (N, T, F), and their lengths; missing values become the mean."""
        lengths = np.array([len(values) for values in sequences], np.int32)
        x = np.zeros((len(lengths), max([1, *lengths]), len(self.mean)), dtype)
        for row, values in zip(x, sequences, strict=True):
            row[: len(values)] = np.nan_to_num((values - self.mean) / self.scale)
        return x, lengths


@dataclass(frozen=True)
class Sequences(Form):
    """The parts `train`, `val` and `test`."""

    parts: dict[str, Part]
    source: str


def load_sequences(config: SequencesConfig, held_out: float, dtype: str, form: Form | None = None) -> Sequences:
    """Read the files of `config`; a trained model brings its own `form`, else the training part determines it.

    Raises:
        InputError: a file is faulty, or a part has no sequences.
    """
    first, second = files(config)
    train = read_sequences(first, config, form.columns if form else ())
    test = read_sequences(second, config, train.columns) if second else None
    return in_parts(train, test, held_out, dtype, form)


def in_parts(
    train: Labelled, test: Labelled | None, held_out: float, dtype: str, form: Form | None = None
) -> Sequences:
    """Hold out a part of `train` for validation, and another one for testing if there is no `test`.

    The same fraction of each class is held out, at least one sequence if there are enough. The choice does not depend
    on the seed of a run, so that all runs are scored on the same sequences.

    Raises:
        InputError: there is one class only, a class that was not trained on, or a part has no sequences.
    """
    classes = tuple(sorted(set(train.labels), key=_natural)) if form is None else form.classes
    for read in filter(None, (train, test)):
        for label in read.labels:
            if label not in classes:
                raise InputError(
                    f"{read.source}: the label {label!r} is not one of the training labels: "
                    f"{', '.join(map(str, classes))}"
                )
    if len(classes) < 2:
        raise InputError(
            f"{train.source}: all sequences have the label {train.labels[0]!r}; there must be two labels at least"
        )
    chosen = _split(train, classes, held_out, ("val", "test") if test is None else ("val",))
    chosen |= {} if test is None else {"test": test}
    form = form or _fit(chosen["train"], classes)
    parts = {name: padded(part, form, dtype) for name, part in chosen.items()}
    return Sequences(**vars(form), parts=parts, source=train.source)


def _split(read: Labelled, classes: tuple[Any, ...], held_out: float, held: tuple[str, ...]) -> dict[str, Labelled]:
    """Split into the parts `held` out and the training part, which keeps at least one sequence per class."""
    below = "be below 0.5 without --test-sequences, since as many are kept to test on"
    require(held_out * len(held) < 1, "--held-out", below, held_out)
    rng = np.random.default_rng(0)
    order: dict[str, list[int]] = {part: [] for part in ("train", "val", "test")}
    for label in classes:
        at = rng.permutation([at for at, name in enumerate(read.labels) if name == label])
        count = min(max(round(len(at) * held_out), int(held_out > 0)), max(len(at) - 1, 0) // len(held))
        ends = count * np.arange(1, len(held) + 1)
        for part, drawn in zip((*held, "train"), np.split(at, ends), strict=True):
            order[part] += list(drawn)
    for part in held:
        if held_out > 0 and not order[part]:
            raise InputError(
                f"{read.source}: no sequence is left for the {part} part: a label needs {len(held) + 1} of them at "
                f"least; `--held-out` is {held_out}"
            )
    return {part: read.pick(sorted(at)) for part, at in order.items()}


def _fit(train: Labelled, classes: tuple[Any, ...]) -> Form:
    rows = np.concatenate(train.values)
    with np.errstate(all="ignore"):
        mean, scale = np.nanmean(rows, axis=0), np.nanstd(rows, axis=0)
    for at in np.flatnonzero(~np.isfinite(mean)):
        raise InputError(f"{train.source}: {train.columns[at]!r} has no value in the training part")
    return Form(classes, train.columns, mean, np.where(scale > 0, scale, 1.0))


def padded(part: Labelled, form: Form, dtype: str) -> Part:
    return Part(*form.pad(part.values, dtype), np.array([form.classes.index(label) for label in part.labels], np.int32))


def files(config: SequencesConfig) -> tuple[str, str]:
    """The paths of the training and the test file; the second may be ""."""
    if config.sequences:
        return config.sequences, config.test_sequences
    found = importlib.util.find_spec("sktime")
    if found is None or not found.submodule_search_locations:
        raise MissingExtraError(
            f"`train labels` without --sequences takes {DEFAULT} from sktime: pip install sktime, or give a file; "
            f"the data: {SOURCE}"
        )
    folder = Path(found.submodule_search_locations[0]) / "datasets" / "data" / DEFAULT
    return str(folder / f"{DEFAULT}_TRAIN.ts"), str(folder / f"{DEFAULT}_TEST.ts")


def _natural(label: Any) -> tuple[float, Any]:
    try:
        return float(label), label
    except ValueError:
        return math.inf, label
