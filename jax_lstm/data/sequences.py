"""Labelled sequences of unequal length, from `.ts` files of the UEA archive or CSV with a row per time step."""

import importlib.util
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jax_lstm.checks import InputError, MissingExtraError, require
from jax_lstm.data.columns import numbers, rows_by
from jax_lstm.data.config import FileConfig
from jax_lstm.data.frames import read_frame

DEFAULT = "JapaneseVowels"  # two vowels by nine speakers: 12 coefficients, 7 to 29 steps
SOURCE = "https://www.timeseriesclassification.com/description.php?Dataset=JapaneseVowels"


@dataclass(frozen=True)
class SequencesConfig:
    """Labelled sequences of a classifier."""

    sequences: str = ""
    """File of labelled sequences, .ts or .csv (default: JapaneseVowels, which comes with sktime)."""
    test_sequences: str = ""
    """File of test sequences (default: another --held-out part of --sequences)."""
    sequence: str = "sequence"
    """CSV column with the name of the sequence that a row belongs to."""
    label: str = "label"
    """CSV column with the label of the sequence."""

    def __post_init__(self) -> None:
        alone = bool(self.test_sequences and not self.sequences)
        require(not alone, "--test-sequences", "come with --sequences", self.test_sequences)


@dataclass(frozen=True)
class Labelled:
    """The sequences of a file: `values` (T, F) of each, NaN where missing, and its label."""

    columns: tuple[str, ...]
    values: list[np.ndarray]
    labels: list[str]


@dataclass(frozen=True)
class Part:
    """Padded sequences: `x` (N, T, F), standardised and zero after `lengths` (N,); classes `y` (N,)."""

    x: np.ndarray
    lengths: np.ndarray
    y: np.ndarray


@dataclass(frozen=True)
class Form:
    """Classes, feature columns, and the mean and standard deviation (F,) of these."""

    classes: tuple[str, ...]
    columns: tuple[str, ...]
    mean: np.ndarray
    scale: np.ndarray


@dataclass(frozen=True)
class Sequences(Form):
    """The parts `train`, `val` and `test`."""

    parts: dict[str, Part]
    source: str


def load_sequences(config: SequencesConfig, held_out: float, dtype: str, form: Form | None = None) -> Sequences:
    """Read the files of `config`; a trained model brings its own `form`, else the training part determines it.

    The same fraction of each class is held out, at least one sequence if there are enough. The choice does not depend
    on the seed of a run, so that all runs are scored on the same sequences.

    Raises:
        InputError: a file is faulty, or a part has no sequences.
    """
    first, second = files(config)
    train, test = read_sequences(first, config), read_sequences(second, config) if second else None
    columns = train.columns if form is None else form.columns
    classes = tuple(sorted(set(train.labels), key=_natural)) if form is None else form.classes
    for path, read in ((first, train), (second, test)):
        if read is not None and read.columns != columns:
            raise InputError(f"{path}: must have the columns {', '.join(columns)}; got {', '.join(read.columns)}")
        for label in read.labels if read is not None else ():
            if label not in classes:
                raise InputError(f"{path}: the label {label!r} is not one of the training labels: {', '.join(classes)}")
    if len(classes) < 2:
        raise InputError(
            f"{first}: all sequences have the label {train.labels[0]!r}; there must be two labels at least"
        )
    chosen = _split(train, classes, held_out, ("val",) if test else ("val", "test"), first)
    chosen |= {"test": test} if test else {}
    form = form or _fit(chosen["train"], classes, first)
    return Sequences(
        **vars(form), parts={name: padded(part, form, dtype) for name, part in chosen.items()}, source=first
    )


def _split(
    read: Labelled, classes: tuple[str, ...], held_out: float, held: tuple[str, ...], source: str
) -> dict[str, Labelled]:
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
                f"{source}: no sequence is left for the {part} part: a label needs {len(held) + 1} of them at "
                f"least; `--held-out` is {held_out}"
            )
    return {part: _pick(read, sorted(at)) for part, at in order.items()}


def _fit(train: Labelled, classes: tuple[str, ...], source: str) -> Form:
    rows = np.concatenate(train.values)
    with np.errstate(all="ignore"):
        mean, scale = np.nanmean(rows, axis=0), np.nanstd(rows, axis=0)
    for at in np.flatnonzero(~np.isfinite(mean)):
        raise InputError(f"{source}: {train.columns[at]!r} has no value in the training part")
    return Form(classes, train.columns, mean, np.where(scale > 0, scale, 1.0))


def padded(part: Labelled, form: Form, dtype: str) -> Part:
    """Standardise and pad sequences; missing values become the mean."""
    lengths = np.array([len(values) for values in part.values], np.int32)
    x = np.zeros((len(lengths), max([1, *lengths]), len(form.mean)), dtype)
    for row, values in zip(x, part.values, strict=True):
        row[: len(values)] = np.nan_to_num((values - form.mean) / form.scale)
    return Part(x, lengths, np.array([form.classes.index(label) for label in part.labels], np.int32))


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


def read_sequences(path: str, config: SequencesConfig) -> Labelled:
    """Read the labelled sequences of a file.

    Raises:
        InputError: the file is missing, empty or not in its format.
    """
    read = _read_ts(path) if path.endswith(".ts") else _read_csv(path, config.sequence, config.label)
    if not read.labels:
        raise InputError(f"{path}: no sequences in the file")
    return read


def _read_ts(path: str) -> Labelled:
    """Metadata, `@data`, then a sequence per line: dimensions separated by `:`, steps by `,`, the label last.

    Format: https://www.sktime.net/en/stable/api_reference/file_specifications/ts.html.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (UnicodeDecodeError, OSError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from None
    values, labels, data = [], [], False
    for line, text in enumerate(lines, 1):
        text, where = text.strip(), f"{path}, line {line}"
        if not text or text.startswith("#"):
            continue
        if not data:
            words = text.lower().split()
            if words[:2] in (["@timestamps", "true"], ["@targetlabel", "true"], ["@classlabel", "false"]):
                raise InputError(f"{where}: expected values alone and a label of each sequence; got {text!r}")
            data = words[0] == "@data"
            continue
        *dimensions, label = text.split(":")
        rows = [[_value(item, where) for item in one.split(",")] for one in dimensions]
        if not rows or len({len(row) for row in rows}) != 1:
            raise InputError(f"{where}: expected dimensions of one length, and a label; got {[*map(len, rows)]}")
        if values and values[0].shape[1] != len(rows):
            raise InputError(
                f"{where}: expected {values[0].shape[1]} dimensions, as in the line before; got {len(rows)}"
            )
        values.append(_trimmed(np.array(rows).T))
        labels.append(label.strip())
    columns = tuple(f"dimension {at + 1}" for at in range(values[0].shape[1])) if values else ()
    return Labelled(columns, values, labels)


def _read_csv(path: str, sequence: str, label: str) -> Labelled:
    """A row per time step; `sequence` and `label` are columns, and all others are features."""
    frame = read_frame(path, FileConfig())
    for option, name in (("--sequence", sequence), ("--label", label)):
        if name not in frame.names:
            raise InputError(f"{path}: no column {name!r}, see {option}; the columns are {', '.join(frame.names)}")
    features = [name for name in frame.names if name not in (sequence, label)]
    values = np.stack([numbers(frame, name) for name in features], axis=1)
    labels = [str(each).strip() for each in frame.data[label]]
    found = rows_by([str(each).strip() for each in frame.data[sequence]])
    for name, at in found.items():
        for row in at:
            if labels[row] != labels[at[0]]:
                both = f"{labels[at[0]]!r} and {labels[row]!r}"
                raise InputError(f"{frame.place(row)}: the sequence {name!r} has two labels, {both}")
    return Labelled(tuple(features), [values[at] for at in found.values()], [labels[at[0]] for at in found.values()])


def _value(text: str, where: str) -> float:
    text = text.strip()
    if text in ("?", "NaN", "nan", ""):
        return math.nan
    try:
        value = float(text)
    except ValueError:
        raise InputError(f"{where}: expected a number; got {text!r}") from None
    if math.isinf(value):
        raise InputError(f"{where}: expected a finite number; got {text!r}")
    return value


def _trimmed(values: np.ndarray) -> np.ndarray:
    """Drop the steps at the end that have no values; some files are padded with them."""
    known = np.flatnonzero(~np.isnan(values).all(axis=1))
    return values[: known[-1] + 1] if len(known) else values[:1]


def _pick(part: Labelled, at: list[int]) -> Labelled:
    return Labelled(part.columns, [part.values[i] for i in at], [part.labels[i] for i in at])


def _natural(label: str) -> tuple[float, str]:
    try:
        return float(label), label
    except ValueError:
        return math.inf, label
