"""The study `commands`: text, labels and precision, through the commands of a user."""

import json
import shlex
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.accuracy.files import found
from benchmarks.core.record import Record, Row
from benchmarks.core.tables import ABSENT, Table
from jax_lstm import cli
from jax_lstm.checks import InputError
from jax_lstm.files import read_json_lines

PART, CURVE = "commands", "validation loss by epoch"
SHAKESPEARE, VOWELS, WEATHER = "tinyshakespeare", "JapaneseVowels", "weather"
TEXT, SOURCE = "tinyshakespeare.txt", "https://github.com/karpathy/char-rnn, data/tinyshakespeare/input.txt"
GOAL = 1.47  # nats per character
PRECISIONS = ("float32", "bfloat16", "float16")

# Options of `jax-lstm train`; those of the weather are what were its defaults when the committed record was made.
TUTORIAL = "--network tutorial --hidden-size 32 --window 48 --calendar off --batch-size 64"
SETTINGS = {
    SHAKESPEARE: f"text --text {TEXT} --hidden-size 512 --embedding-size 128 --dropout 0.5 --steps 64 "
    "--batch-size 64 --epochs 40 --learning-rate 4e-3 --schedule cosine --clip-norm 1 --precision bfloat16",
    VOWELS: "labels --hidden-size 64 --num-layers 2 --dropout 0.3 --batch-size 16 --epochs 60 "
    "--learning-rate 3e-3 --schedule cosine --seeds 0:5",
} | {
    f"{WEATHER}, {precision}": f"{TUTORIAL} --epochs 8 --seeds 0:5 --precision {precision}" for precision in PRECISIONS
}


def run(name: str, options: str) -> list[Row]:
    """Run `jax-lstm train OPTIONS` in a temporary run directory.

    The row of the curve has the time of the whole command, and what else its `scores.json` says; losses are means over
    the members of an ensemble.
    """
    words = shlex.split(options)
    if TEXT in words:
        words[words.index(TEXT)] = str(found(TEXT, "TINYSHAKESPEARE", SOURCE))
    with tempfile.TemporaryDirectory() as folder:
        began, directory = time.monotonic(), Path(folder) / "run"
        status = cli.main(["train", *words, "--out", str(directory)])
        seconds = time.monotonic() - began
        if status:
            raise InputError(f"jax-lstm train {options}: ended with exit status {status}")
        by_epoch: dict[int, list[float]] = {}
        for row in read_json_lines(directory / "metrics.jsonl"):
            if row.get("val_loss") is not None:  # absent after early stopping
                by_epoch.setdefault(row["epoch"], []).append(row["val_loss"])
        scored: dict[str, Any] = json.loads((directory / "scores.json").read_text(encoding="utf-8"))
    losses = [float(np.mean(each)) for each in by_epoch.values()]
    about = {"options": options, "seconds": seconds, "part": scored["part"]}
    about |= {"further": scored["further"]} if scored.get("further") else {}
    known = {"options": options}
    return [
        Row(PART, name, who, measure, samples=[value], about=known)
        for who, scores in scored["scores"].items()
        for measure, value in scores.items()
    ] + [Row(PART, name, "jax-lstm", CURVE, samples=losses, about=about)]


def tables(record: Record) -> list[Table]:
    return [*scores(record, SHAKESPEARE), *scores(record, VOWELS), *confusion(record), *precision(record)]


def scores(record: Record, name: str) -> list[Table]:
    return [_scores(record, curve) for curve in record.of(PART, name, CURVE)]


def confusion(record: Record) -> list[Table]:
    found = [curve.about["further"] for curve in record.of(PART, VOWELS, CURVE) if "further" in curve.about]
    title = f"{VOWELS}, all members together: "
    return [
        Table(title + each["title"], tuple(each["columns"]), [tuple(row) for row in each["rows"]]) for each in found
    ]


def precision(record: Record) -> list[Table]:
    names = [row.case for row in record.of(PART, "", CURVE) if row.case.startswith(WEATHER)]
    return [_precision(record, names)] if names else []


def _members(record: Record, name: str, measure: str) -> np.ndarray:
    rows = record.of(PART, name, measure)
    return np.array([row.value for row in rows if row.contender.startswith("seed ")])


def _scores(record: Record, curve: Row) -> Table:
    name, about, losses = curve.case, curve.about, curve.samples
    rows = [row for row in record.of(PART, name) if row.measure != CURVE]
    measures = list(dict.fromkeys(row.measure for row in rows))
    cells = [
        (who, *(f"{record.value(PART, name, measure, who):.4f}" for measure in measures))
        for who in dict.fromkeys(row.contender for row in rows)
    ]
    notes = [f"`jax-lstm train {about['options']}`: {about['seconds']:,.0f} s, {len(losses)} epochs"]
    if name == SHAKESPEARE:
        lowest = min(losses)
        verdict = "reached" if lowest < GOAL else "missed"
        when = losses.index(lowest) + 1
        notes.append(f"lowest validation loss {lowest:.4f}, after epoch {when}; aimed at: below {GOAL}, {verdict}")
    else:
        for measure in measures:
            values = _members(record, name, measure)
            spread = f"{values.mean():.4f} ± {values.std(ddof=1):.4f}, mean and standard deviation"
            notes.append(f"{measure} of the {len(values)} seeds: {spread}")
    part = {"val": "held-out text"}.get(about["part"], f"{about['part']} part")
    return Table(f"{name}, {part}", ("by", *measures), cells, notes=tuple(notes))


def _precision(record: Record, names: Sequence[str]) -> Table:
    """The error in each precision, and its difference from float32, seed by seed."""
    first, made = next((name for name in names if name.endswith(" float32")), None), []
    for name in names:
        mse, mae = (_members(record, name, measure) for measure in ("mse", "mae"))
        far = ABSENT
        if first and name != first:
            apart = mse / _members(record, first, "mse") - 1
            far = f"{apart.mean():+.2%}, {apart.min():+.2%} to {apart.max():+.2%}"
        about = record.of(PART, name, CURVE)[0].about
        cells = (f"{values.mean():.4f} ± {values.std(ddof=1):.4f}" for values in (mse, mae))
        made.append((about["options"].split()[-1], *cells, far, f"{about['seconds']:.0f} s"))
    columns = ("precision", "MSE", "MAE", "MSE against float32, seed by seed", "whole command")
    title = "New York weather, test part: mean and standard deviation of five seeds, standardised"
    note = f"`jax-lstm train {record.of(PART, names[0], CURVE)[0].about['options']}`, and so on"
    return Table(title, columns, made, notes=(note,))
