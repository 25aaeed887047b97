"""`python -m benchmarks tasks`: text, labels and precision, through the commands of a user."""

import json
import shlex
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from rich.console import Console

from benchmarks import files
from benchmarks import record as records
from benchmarks.command import Command
from benchmarks.facts import facts_of
from benchmarks.page import render
from benchmarks.tables import Table, as_markdown, print_facts, print_table
from jax_lstm import cli
from jax_lstm.checks import InputError, require_one_of
from jax_lstm.files import read_json_lines

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


@dataclass(frozen=True)
class Row:
    """A run: the options of `jax-lstm train`, its time, validation loss by epoch, and scores.

    `seconds` are those of the whole command, including compilation and scoring; `losses` are means over the members of
    an ensemble; `scores`, `chosen` and `further` are those of `scores.json` in a run directory.
    """

    setting: str
    options: str
    seconds: float
    losses: list[float]
    part: str
    scores: dict[str, dict[str, float]]
    chosen: list[str] | None = None
    further: dict[str, Any] | None = None

    @property
    def command(self) -> str:
        """The command in its present form: older records have `--task`, and the tutorial's network by default."""
        options = self.options.replace("--task lm", "text").replace("--task classify", "labels")
        if self.setting.startswith(WEATHER) and "--network" not in options:
            options = f"{TUTORIAL} {options}"
        return f"jax-lstm train {options}"

    @property
    def members(self) -> list[str]:
        return [name for name in self.scores if name.startswith("seed ")]


@dataclass(frozen=True)
class Tasks(Command):
    """Train a language model, a classifier, and forecasters in each precision; takes half an hour on 2 cores."""

    NAME = "tasks"

    setting: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """Setting to run; may be repeated. All if not given."""
    resume: str = ""
    """Continue this record: settings that it has, with the same options, are not run again."""

    def show(self, path: Path) -> int:
        return render(self.NAME, markdown(records.read(path, self.NAME, Row)), self.page)

    def make(self, command: str, path: Path, console: Console) -> int:
        for name in self.setting:
            require_one_of("--setting", name, tuple(SETTINGS))
        record, rows = records.begin(self.NAME, command, {}), []
        if self.resume:
            before = records.read(Path(self.resume), self.NAME, Row)
            commits = ", ".join(dict.fromkeys([*before.commit.split(", "), record.commit]))
            record = replace(record, commit=commits, seconds=before.seconds)
            rows = [row for row in before.rows if row.command == f"jax-lstm train {SETTINGS.get(row.setting)}"]
        for name in self.setting or SETTINGS:
            if any(row.setting == name for row in rows):
                continue
            row = run(name, SETTINGS[name])
            rows = sorted([*rows, row], key=lambda row: [*SETTINGS].index(row.setting))
            record = replace(record, rows=rows, seconds=record.seconds + row.seconds)
            records.write(record, path)
        record = replace(record, rows=rows)
        records.write(record, path)
        for table in tables(record):
            print_table(console, table)
        print_facts(console, facts_of(record))
        return 0


def run(name: str, options: str) -> Row:
    """Run `jax-lstm train OPTIONS` in a temporary run directory."""
    words = shlex.split(options)
    if TEXT in words:
        words[words.index(TEXT)] = str(files.found(TEXT, "TINYSHAKESPEARE", SOURCE))
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
        scored = json.loads((directory / "scores.json").read_text(encoding="utf-8"))
        return Row(name, options, seconds, [float(np.mean(losses)) for losses in by_epoch.values()], **scored)


def tables(record: records.Record) -> list[Table]:
    rows = {row.setting: row for row in record.rows}
    made = [_scores(row) for name, row in rows.items() if name in (SHAKESPEARE, VOWELS)]
    if VOWELS in rows:
        further = rows[VOWELS].further or {}
        made.append(
            Table(
                f"{VOWELS}, all members together: {further['title']}",
                tuple(further["columns"]),
                [tuple(row) for row in further["rows"]],
            )
        )
    precise = [row for name, row in rows.items() if name.startswith(WEATHER)]
    return [*made, *([_precision(precise)] if precise else [])]


def markdown(record: records.Record) -> str:
    """The tables as Markdown, for docs/tasks.md."""
    return as_markdown(facts_of(record), tables(record))


def _scores(row: Row) -> Table:
    names = list(next(iter(row.scores.values())))
    rows = [(by, *(f"{scores[name]:.4f}" for name in names)) for by, scores in row.scores.items()]
    notes = [f"`{row.command}`: {row.seconds:,.0f} s, {len(row.losses)} epochs"]
    if row.setting == SHAKESPEARE:
        lowest = min(row.losses)
        when = row.losses.index(lowest) + 1
        verdict = "reached" if lowest < GOAL else "missed"
        notes.append(f"lowest validation loss {lowest:.4f}, after epoch {when}; aimed at: below {GOAL}, {verdict}")
    else:
        notes += [_spread(row, name) for name in names]
    part = {"val": "held-out text"}.get(row.part, f"{row.part} part")
    return Table(f"{row.setting}, {part}", ("by", *names), rows, notes=tuple(notes))


def _spread(row: Row, name: str) -> str:
    values = [row.scores[member][name] for member in row.members]
    deviation = np.std(values, ddof=1)
    return f"{name} of the {len(values)} seeds: {np.mean(values):.4f} ± {deviation:.4f}, mean and standard deviation"


def _precision(rows: Sequence[Row]) -> Table:
    """The error in each precision, and its difference from float32, seed by seed."""
    first, made = next((row for row in rows if row.options.endswith(" float32")), None), []
    for row in rows:
        cells = []
        for name in ("mse", "mae"):
            values = np.array([row.scores[member][name] for member in row.members])
            cells.append(f"{values.mean():.4f} ± {values.std(ddof=1):.4f}")
        far = "-"
        if first is not None and row is not first:
            apart = [row.scores[member]["mse"] / first.scores[member]["mse"] - 1 for member in row.members]
            far = f"{np.mean(apart):+.2%}, {min(apart):+.2%} to {max(apart):+.2%}"
        made.append((row.options.split()[-1], *cells, far, f"{row.seconds:.0f} s"))
    columns = ("--precision", "MSE", "MAE", "MSE against float32, seed by seed", "whole command")
    title = "New York weather, test part: mean and standard deviation of five seeds, standardised"
    return Table(title, columns, made, notes=(f"`{rows[0].command}`, and so on",))
