"""Columns of a frame as numbers and as categories; errors name file, line and column."""

import contextlib
import math
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jax_lstm.checks import InputError, listed
from jax_lstm.data.dialect import MISSING, SPACES
from jax_lstm.data.frames import Frame
from jax_lstm.data.stamps import UnreadableError, read_stamps

BOOLEANS = {"true": 1.0, "false": 0.0}
Hint = Callable[[Frame, str], str]
REPEATS = 3  # times that a value far outside the rest occurs before it is taken for a missing marker


def numbers(frame: Frame, name: str, hint: Hint | None = None) -> np.ndarray:
    """A column (N,) float64, NaN where missing; true and false are 1 and 0.

    `hint` says what to do about a column that has no numbers.

    Raises:
        InputError: a value is not a finite number.
    """
    column, hint = frame.data[name], hint or _hint
    if column.dtype.kind in "fiub" or column.dtype.name.lower().startswith(("int", "uint", "float", "boolean")):
        values = column.to_numpy(np.float64, na_value=np.nan)
    elif column.dtype.kind in "Mm":
        raise InputError(f"{frame.path}, column {name!r}: expected numbers; got {column.dtype}{hint(frame, name)}")
    else:
        values = _from_texts(frame, name, hint)
    for marker in frame.missing:
        with contextlib.suppress(ValueError):  # a word, which `_from_texts` knows
            values = np.where(values == float(marker), np.nan, values)
    for row in np.flatnonzero(np.isinf(values))[:1]:
        raise InputError(f"{frame.place(row)}, column {name!r}: expected a finite number; got {column.iloc[row]!r}")
    return values


def _from_texts(frame: Frame, name: str, hint: Hint) -> np.ndarray:
    column = frame.data[name].to_numpy(object)
    with contextlib.suppress(ValueError, TypeError):  # most columns are plain numbers
        return _plain(column, frame.decimal)
    texts = _labels(frame, name)
    with contextlib.suppress(ValueError):
        return _plain(np.array([text or "nan" for text in texts], object), frame.decimal)
    values = np.full(len(texts), np.nan)
    faulty = []
    for row, text in enumerate(texts):
        try:
            values[row] = _value(text, frame.decimal, frame.thousands)
        except ValueError:
            faulty.append(row)
    for row in faulty[:1]:
        known = len(texts) - texts.count("")
        fix = hint(frame, name) if len(faulty) > known / 2 else ""
        if not fix and frame.decimal != ".":
            fix = f" (the file was read with {frame.decimal!r} as decimal sign)"
        raise InputError(f"{frame.place(row)}, column {name!r}: expected a number; got {column[row]!r}{fix}")
    return values


def _plain(texts: np.ndarray, decimal: str) -> np.ndarray:
    """Texts as numbers, quickly.

    Raises:
        ValueError: one is written in another way than Python does.
    """
    joined = "".join(map(str, texts))
    if "_" in joined or (decimal != "." and "." in joined):  # Python accepts 1_000, a file should not
        raise ValueError
    if decimal != ".":
        texts = np.array([text.replace(decimal, ".") for text in texts], object)
    return texts.astype(np.float64)


def _value(text: str, decimal: str = ".", thousands: str = "") -> float:
    """The number that a stripped text stands for, NaN if it is missing.

    Raises:
        ValueError: it is not a number.
    """
    low = text.lower()
    if low in MISSING:
        return math.nan
    if low in BOOLEANS:
        return BOOLEANS[low]
    whole, point, rest = text.partition(decimal)
    for between in filter(None, (*SPACES, thousands)):
        if between in whole and re.fullmatch(rf"[+-]?\d{{1,3}}({re.escape(between)}\d{{3}})+", whole):
            whole = whole.replace(between, "")
    if "_" in text or "." in whole + rest:
        raise ValueError
    return float(f"{whole}.{rest}" if point else whole)


def number(text: str, where: str, hint: str = "") -> float:
    """Parse one value, NaN if missing.

    Raises:
        InputError: it is not a finite number.
    """
    text = text.strip()
    try:
        value = _value(text)
    except ValueError:
        raise InputError(f"{where}: expected a number; got {text!r}{hint}") from None
    if math.isinf(value):
        raise InputError(f"{where}: expected a finite number; got {text!r}")
    return value


def _hint(frame: Frame, name: str) -> str:
    """What to do about a column without numbers."""
    try:
        read_stamps(frame.data[name].iloc[:3])
        return f" (if {name!r} has timestamps, say --time {name}; else leave it out with --ignore {name})"
    except UnreadableError:
        return f" (leave the column out with --ignore {name}, or encode its classes with --categories {name})"


def classes_of(frame: Frame, name: str) -> tuple[str, ...]:
    """The sorted classes of a column, without missing values."""
    return tuple(sorted(set(_labels(frame, name)) - {""}))


def encoded(frame: Frame, name: str, classes: Sequence[str], unknown: str) -> dict[str, np.ndarray]:
    """A column of zeros and ones for each class; a missing value is zero in all, and with `unknown` "other" a new one.

    Raises:
        InputError: a value is not one of `classes`.
    """
    labels = _labels(frame, name)
    new = [row for row, label in enumerate(labels) if label and label not in classes]
    if new and unknown == "error":
        raise InputError(
            f"{frame.place(new[0])}, column {name!r}: {labels[new[0]]!r} is not one of the classes in training: "
            f"{listed(classes, 10)} (train with --unknown-class other to encode new ones as none of these)"
        )
    array = np.array(labels, object)
    return {f"{name}={label}": (array == label).astype(np.float64) for label in classes}


def _labels(frame: Frame, name: str) -> list[str]:
    """The stripped texts of a column, "" where missing."""
    missing = MISSING | {marker.lower() for marker in frame.missing}
    texts = [str(value).strip() for value in frame.data[name].tolist()]
    return ["" if text.lower() in missing else text for text in texts]


def suspect(values: np.ndarray) -> float | None:
    """A value of a column that repeats far outside all others, such as -999; None if there is none."""
    known, counts = np.unique(values[~np.isnan(values)], return_counts=True)
    if len(known) < 4:
        return None
    for at, rest in ((0, known[1:]), (-1, known[:-1])):
        gap, width = abs(known[at] - rest[at]), rest[-1] - rest[0]
        if counts[at] >= REPEATS and gap > 3 * width and known[at] != 0:  # 0 is what a machine measures that is off
            return float(known[at])
    return None


def rows_by(groups: Sequence[Any]) -> dict[str, np.ndarray]:
    """Row numbers by group, in order of first appearance."""
    _, first, inverse = np.unique(np.array(groups), return_index=True, return_inverse=True)
    rows = np.split(np.argsort(inverse, kind="stable"), np.cumsum(np.bincount(inverse))[:-1])
    return {groups[int(first[at])]: rows[at] for at in np.argsort(first)}
