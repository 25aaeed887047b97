"""Files of sequences: `.ts` as in the UEA archive, or CSV with a row per time step."""

import shlex
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jax_lstm.checks import InputError, require
from jax_lstm.data.columns import number, numbers, rows_by
from jax_lstm.data.config import FileConfig
from jax_lstm.data.dialect import decoded
from jax_lstm.data.frames import Frame, content_of, read_frame, suffix_of, unreadable


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
    features: tuple[str, ...] = ()
    """CSV columns that the model reads (default: all others)."""
    ignore: tuple[str, ...] = ()
    """CSV columns to leave out, as one of timestamps."""

    def __post_init__(self) -> None:
        alone = bool(self.test_sequences and not self.sequences)
        require(not alone, "--test-sequences", "come with --sequences", self.test_sequences)
        for name in ("features", "ignore"):
            columns = getattr(self, name)
            require(len(set(columns)) == len(columns), f"--{name}", "name each column once", " ".join(columns))
        both = " ".join(set(self.features) & {*self.ignore, self.sequence, self.label})
        require(not both, "--features", "name no column of --ignore, --sequence or --label", both)


@dataclass(frozen=True)
class Labelled:
    """Sequences with a name each: `values` (T, F), NaN where missing, and `labels`, if they were read."""

    source: str
    columns: tuple[str, ...]
    names: list[str]
    values: list[np.ndarray]
    labels: list[Any]

    def pick(self, at: Sequence[int]) -> "Labelled":
        chosen = ([self.names[i] for i in at], [self.values[i] for i in at], [self.labels[i] for i in at])
        return Labelled(self.source, self.columns, *chosen)


def read_sequences(path: str, config: SequencesConfig, columns: Sequence[str] = (), labelled: bool = True) -> Labelled:
    """Read the sequences of a file, with `labelled` also their labels.

    `columns` are those of a trained model; they are read in its order, and all others are left out.

    Raises:
        InputError: the file is missing, empty or not in its format, or lacks a column.
    """
    if suffix_of(path, (".ts", ".ts.gz")):
        chosen = "" if columns else " ".join((*config.features, *config.ignore))
        require(not chosen, "--features and --ignore", f"be left out with {path}, which names no columns", chosen)
        read = _read_ts(path, labelled)
    else:
        read = _read_csv(path, config, columns, labelled)
    if not read.values:
        raise InputError(f"{path}: no sequences in the file")
    if columns and read.columns != tuple(columns):
        raise InputError(f"{path}: must have the columns {', '.join(columns)}; got {', '.join(read.columns)}")
    return read


def _read_ts(path: str, labelled: bool) -> Labelled:
    """Metadata, `@data`, then a sequence per line: dimensions separated by `:`, steps by `,`, the label last.

    Format: https://www.sktime.net/en/stable/api_reference/file_specifications/ts.html.
    """
    try:
        content = content_of(path)
    except (OSError, EOFError, zlib.error) as error:
        raise unreadable(path, error) from None
    lines = decoded(content, "", path)[0].splitlines()
    values, labels, data, with_label = [], [], False, True
    for line, text in enumerate(lines, 1):
        text, where = text.strip(), f"{path}, line {line}"
        if not text or text.startswith("#"):
            continue
        if not data:
            words = text.lower().split()
            if words[:2] == ["@classlabel", "false"]:
                with_label = False
            if words[:2] in (["@timestamps", "true"], ["@targetlabel", "true"]) or (labelled and not with_label):
                raise InputError(f"{where}: expected values alone and a label of each sequence; got {text!r}")
            data = words[0] == "@data"
            continue
        *dimensions, label = text.split(":") if with_label else [*text.split(":"), ""]
        rows = [[number(item, where) for item in one.split(",")] for one in dimensions]
        if not rows or len({len(row) for row in rows}) != 1:
            expected = "dimensions of one length" + (", and a label" if with_label else "")
            raise InputError(f"{where}: expected {expected}; got {[*map(len, rows)]}")
        if values and values[0].shape[1] != len(rows):
            raise InputError(
                f"{where}: expected {values[0].shape[1]} dimensions, as in the line before; got {len(rows)}"
            )
        values.append(_trimmed(np.array(rows).T))
        labels.append(label.strip())
    columns = tuple(f"dimension {at + 1}" for at in range(values[0].shape[1])) if values else ()
    return Labelled(path, columns, [str(at) for at in range(len(values))], values, labels)


def _read_csv(path: str, config: SequencesConfig, columns: Sequence[str], labelled: bool) -> Labelled:
    """A row per time step; the columns of `config`, and all others are features."""
    frame = read_frame(path, FileConfig())
    needed = [(config.sequence, "see --sequence"), *((name, "which the model reads") for name in columns)]
    if labelled:
        needed.append((config.label, "see --label"))
    if not columns:
        left = [name for name in frame.names if name not in (config.sequence, config.label, *config.ignore)]
        columns = config.features or left
        needed += [*((name, "see --features") for name in columns), *((name, "see --ignore") for name in config.ignore)]
    for name, why in needed:
        if name not in frame.names:
            raise InputError(f"{path}: no column {name!r}, {why}; the columns are {', '.join(frame.names)}")
    if not columns:
        raise InputError(f"{path}: no column is left to read; the columns are {', '.join(frame.names)}")
    values = np.stack([numbers(frame, name, hint=_hint) for name in columns], axis=1)
    rows = len(values)
    labels = [str(each).strip() for each in frame.data[config.label]] if labelled else [""] * rows
    found = rows_by([str(each).strip() for each in frame.data[config.sequence]])
    for name, at in found.items():
        for row in at:
            if labels[row] != labels[at[0]]:
                both = f"{labels[at[0]]!r} and {labels[row]!r}"
                raise InputError(f"{frame.place(row)}: the sequence {name!r} has two labels, {both}")
    at_first = [labels[at[0]] for at in found.values()]
    return Labelled(path, tuple(columns), list(found), [values[at] for at in found.values()], at_first)


def _hint(frame: Frame, column: str) -> str:
    return f" (to leave the column out: --ignore {shlex.quote(column)})"


def _trimmed(values: np.ndarray) -> np.ndarray:
    """Drop the steps at the end that have no values; some files are padded with them."""
    known = np.flatnonzero(~np.isnan(values).all(axis=1))
    return values[: known[-1] + 1] if len(known) else values[:1]
