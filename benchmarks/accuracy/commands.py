"""The study `commands`: text, labels and precision, through the commands of a user."""

import json
import os
import shlex
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.accuracy.series import TEXT, text_file
from benchmarks.core.record import Record, Row
from benchmarks.core.tables import ABSENT, Table
from jax_lstm import cli
from jax_lstm.checks import InputError, require_extra
from jax_lstm.files import read_json_lines
from jax_lstm.tasks import load_task, open_run

PART, CURVE, MEASURE = "commands", "validation loss by epoch", "nats per character"
SHAKESPEARE, VOWELS, WEATHER = "tinyshakespeare", "JapaneseVowels", "weather"
WINDOW, TRANSFORMER = 256, "Transformer"
WINDOWS, DYNAMIC = f"windows of {WINDOW}", "dynamic"  # the ends of names of rows
GOALS = {  # nats per character of the test part
    WINDOWS: (1.4697, "below", "what nanoGPT's README gives for its model of characters"),
    DYNAMIC: (1.40, "at most", "set beforehand"),
}
PRECISIONS = ("float32", "bfloat16", "float16")

# Options of `jax-lstm train`; those of the weather are what were its defaults when the committed record was made.
TUTORIAL = "--network tutorial --hidden-size 32 --window 48 --calendar off --batch-size 64"
SETTINGS = {
    SHAKESPEARE: f"text --text {TEXT} --held-out 0.03 --test 0.1 --hidden-size 512 --embedding-size 128 --dropout 0.5 "
    "--steps 64 --batch-size 32 --epochs 18 --learning-rate 3e-3 --schedule cosine --clip-norm 1 --seeds 0:2",
    VOWELS: "labels --hidden-size 64 --num-layers 2 --dropout 0.3 --batch-size 16 --epochs 60 "
    "--learning-rate 3e-3 --schedule cosine --seeds 0:5",
} | {
    f"{WEATHER}, {precision}": f"{TUTORIAL} --epochs 8 --seeds 0:5 --precision {precision}" for precision in PRECISIONS
}

# Of the Transformer. nanoGPT's own, 6 layers and 384 wide, is far behind after as much processor time on two cores.
SIZE: dict[str, Any] = {"layers": 4, "width": 128, "heads": 4, "block": WINDOW, "batch": 16, "learning_rate": 2e-3}
# Options of `jax-lstm evaluate` after the training, chosen by the validation part.
EVALUATE = {SHAKESPEARE: f"--cold {WINDOW} --dynamic 1e-4"}


def run(name: str, options: str) -> list[Row]:
    """Run `jax-lstm train OPTIONS` in a temporary run directory, then what is made of it."""
    words = shlex.split(options)
    if TEXT in words:
        words[words.index(TEXT)] = str(text_file())
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder) / "run"
        times = _timed(f"jax-lstm train {options}", ["train", *words, "--out", str(directory)])
        rows = rows_of(name, options, directory, times)
        if name == SHAKESPEARE:
            rows.append(beside(directory, times["processor_seconds"], options))
    return rows


def _timed(command: str, arguments: list[str]) -> dict[str, float]:
    """Run a command of `jax-lstm`; its time by the clock, and by the processors, threads and children included."""
    began, before = time.monotonic(), os.times()
    status = cli.main(arguments)
    if status:
        raise InputError(f"{command}: ended with exit status {status}")
    processors = sum(os.times()[:4]) - sum(before[:4])
    return {"seconds": time.monotonic() - began, "processor_seconds": processors}


def rows_of(name: str, options: str, directory: Path, times: dict[str, float]) -> list[Row]:
    """The scores of a run, and of `jax-lstm evaluate` with the options of `EVALUATE`.

    The row of the curve has the times of the commands, and what else `scores.json` says; losses are means over the
    members of an ensemble.
    """
    by_epoch: dict[int, list[float]] = {}
    for row in read_json_lines(directory / "metrics.jsonl"):
        if row.get("val_loss") is not None:  # absent after early stopping
            by_epoch.setdefault(row["epoch"], []).append(row["val_loss"])
    losses = [float(np.mean(each)) for each in by_epoch.values()]
    about: dict[str, Any] = {"options": options, **times}
    path = directory / "scores.json"
    if name in EVALUATE:
        path = directory.parent / "evaluated.json"
        evaluate = EVALUATE[name]
        words = ["evaluate", str(directory), *evaluate.split(), "--out", str(path)]
        about["evaluate"] = {"options": evaluate, **_timed(f"jax-lstm evaluate RUN {evaluate}", words)}
    scored: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    about |= {"part": scored["part"]} | ({"further": scored["further"]} if scored.get("further") else {})
    known = {"options": options}
    return [
        Row(PART, name, who, measure, samples=[value], about=known)
        for who, scores in scored["scores"].items()
        for measure, value in scores.items()
    ] + [Row(PART, name, "jax-lstm", CURVE, samples=losses, about=about)]


def beside(directory: Path, seconds: float, options: str) -> Row:
    """The score of a Transformer that is trained on the text of a run for as much processor time."""
    require_extra("torch", "torch", "the Transformer")
    from benchmarks.accuracy import transformer

    text = load_task(open_run(directory).config).text
    size = transformer.Size(**SIZE)
    model, about = transformer.train(text, size, seconds)
    nats = transformer.cold(model, text.test, size)
    who = f"{TRANSFORMER}, windows of {size.block}"
    return Row(PART, SHAKESPEARE, who, MEASURE, samples=[nats], about={"options": options, **about})


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
        (who, *(_cell(record.value(PART, name, measure, who)) for measure in measures))
        for who in dict.fromkeys(row.contender for row in rows)
    ]
    notes = [f"`jax-lstm train {about['options']}`: {_times(about)}, {len(losses)} epochs"]
    if name == SHAKESPEARE:
        notes += _of_text(record, curve)
    else:
        for measure in measures:
            values = _members(record, name, measure)
            spread = f"{values.mean():.4f} ± {values.std(ddof=1):.4f}, mean and standard deviation"
            notes.append(f"{measure} of the {len(values)} seeds: {spread}")
    return Table(f"{name}, {about['part']} part", ("by", *measures), cells, notes=tuple(notes))


def _cell(value: float | None) -> str:
    return ABSENT if value is None else f"{value:.4f}"


def _times(about: dict[str, Any]) -> str:
    processor = f" ({about['processor_seconds']:,.0f} s of processor time)" if "processor_seconds" in about else ""
    return f"{about['seconds']:,.0f} s{processor}"


def _of_text(record: Record, curve: Row) -> Iterator[str]:
    """How the scores of text were made, and whether they reach the goals."""
    evaluated, lowest = curve.about["evaluate"], min(curve.samples)
    yield f"`jax-lstm evaluate RUN {evaluated['options']}`: {_times(evaluated)}"
    when = curve.samples.index(lowest) + 1
    yield f"lowest validation loss {lowest:.4f}, mean over the seeds, after epoch {when}; the test part chose nothing"
    rows = record.of(PART, curve.case, MEASURE)
    for row in rows:
        if row.contender.startswith(TRANSFORMER):
            about = row.about
            parameters = f"{about['parameters']:,} parameters, {about['steps']:,} steps"
            yield f"{TRANSFORMER} in PyTorch of nanoGPT's kind: {about['size']}, {parameters}, {_times(about)}"
        for end, (goal, relation, source) in GOALS.items():
            if row.contender.endswith(f", {end}") and not row.contender.startswith(TRANSFORMER):
                reached = row.value < goal if relation == "below" else row.value <= goal
                verdict = "reached" if reached else "missed"
                yield f"{end}: {row.value:.4f}; aimed at: {relation} {goal:.4f}, {source}: {verdict}"


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
