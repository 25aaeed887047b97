"""The figures in README and docs/: each block between two marks is made from one record, and checked by a test."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.accuracy import commands
from benchmarks.accuracy import tables as accuracy
from benchmarks.accuracy.row import from_record
from benchmarks.core import tables as units
from benchmarks.core.charts import Chart, picture, speeds
from benchmarks.core.contenders import CONTENDERS
from benchmarks.core.contenders.base import BACKWARD, FORWARD, TRAINING
from benchmarks.core.findings import as_text, judged
from benchmarks.core.record import RECORDS, Record, read
from benchmarks.core.tables import ABSENT, Table, markdown, pivot
from benchmarks.jit import tables as jit
from benchmarks.jit.findings import FINDINGS, headline
from benchmarks.report.findings import elsewhere
from benchmarks.speed import tables as speed
from benchmarks.speed.comparison import COMPILE, MEMORY
from benchmarks.speed.findings import FINDINGS as SPEED_FINDINGS
from benchmarks.speed.goals import goals
from benchmarks.speed.kernels import AUDIO, BESIDE_TORCH, BFLOAT16, STACKS
from jax_lstm.files import write_whole

MARK = re.compile(r"<!-- ([\w ]+): begin -->\n(.*?)<!-- \1: end -->", re.DOTALL)
README = ("native", "scan", "flax optimized", "keras", "equinox", "torch compile", "onnxruntime")


def facts(record: Record, name: str) -> str:
    """Where and when it was made, in a line."""
    packages = ", ".join(f"{each} {record.environment['packages'].get(each)}" for each in ("jax", "torch"))
    warned = f" {record.facts['Warning'].capitalize()}." if "Warning" in record.facts else ""
    cores = "one core" if record.threads == 1 else f"{record.threads} cores"
    return (
        f"Measured on {record.began[:10]} on {cores} of an {record.environment['cpu']}, {packages}, at "
        f"commit `{record.commit[:9]}`; [the record](../benchmarks/records/{name}.json) has every sample.{warned}"
    )


def _of_speed(record: Record) -> str:
    """The record that all pages quote, beside a column of means from each other machine, `speed-NAME.json`."""
    _, first, _ = next(judged(SPEED_FINDINGS, record))
    control = f"As a control PyTorch was timed against itself: {speed.control(record)}."
    others = {path.stem: read(path, "speed") for path in sorted(RECORDS.glob("speed-*.json"))}
    columns, made = speed.answer(record), ""
    for name, other in others.items():
        columns = speed.beside(columns, other)
        found = [(finding.rule.rstrip("."), holds) for finding, _, holds in judged(SPEED_FINDINGS, other)]
        broken, known = [f"“{rule}”" for rule, holds in found if holds is False], [h for _, h in found if h is not None]
        count = f"{sum(known)} of the {len(known)} rules below that were measured hold"
        less = f"; not {units.listed(broken)}" if broken else ""
        (ranges,) = [row for row in speed.answer(other).rows if row[0] == "native"]
        made += f" On the {other.environment['cpu']}, `native` is by case {ranges[3]} times as fast as PyTorch forward "
        made += f"and {ranges[5]} times with gradients; {count}{less}. {facts(other, name)}"
    table = markdown(columns, titles=False)
    where = f"{record.threads} cores of an {record.environment['cpu']}"
    said = f"**On {where}, `native` is on average the fastest LSTM for whole sequences of all that were compared.**"
    return f"{said} {first}\n\n{table}\n\n{control} {facts(record, 'speed')}{made}"


def _readme(record: Record) -> str:
    """Means, with the number of cases where a contender has fewer than our kernel."""
    measures = (FORWARD, BACKWARD, TRAINING)
    most = {measure: found[1] for measure in measures if (found := speed.mean(record, measure, "native"))}
    names = {f"{name}: {CONTENDERS[name].about}": name for name in README}

    def cell(name: str, measure: str) -> str | None:
        found = speed.mean(record, measure, names[name])
        return found and str(found[0]) + f" ({found[1]} cases)" * (found[1] < most[measure])

    table = pivot("", "speed relative to `torch.nn.LSTM`", names, measures, cell)
    return (
        f"Geometric means over {most[FORWARD]} cases ({most[TRAINING]} of training), with the same weights, on "
        f"{record.threads} cores of an {record.environment['cpu']}:\n\n{markdown(table, titles=False)}"
    )


def _ratios(record: Record, part: str) -> Table:
    """Speed of the ways to run a kernel relative to the first, a row a case."""

    def cell(case: str, name: str) -> str:
        found = [record.row(part, case, measure, name) for measure in (FORWARD, BACKWARD)]
        return " / ".join(str(record.ratio(row) or ABSENT) for row in found if row)

    rows = record.of(part)
    first = {row.baseline for row in rows}
    columns = dict.fromkeys(row.contender for row in rows if row.contender not in first)
    cases = dict.fromkeys(row.case for row in rows)
    failed = tuple(f"{row.contender}, {row.case}, {row.measure}: {row.failed}" for row in rows if row.failed)
    return pivot(f"{speed.VARIED[part]}, forward / with gradients", "case", cases, columns, cell, notes=failed)


def _kernels(record: Record) -> list[Table]:
    compared = [_ratios(record, part) for part in (BFLOAT16, "directions")]
    return compared + [speed.varied(record, part) for part in ("training", "remat")]


def _costs(record: Record) -> str:
    """Compile time and memory, a column a case."""
    rows = {
        (row.contender, f"{row.measure}, {row.case}"): units.figure(row.value, row.unit)
        for measure in (COMPILE, MEMORY)
        for row in record.of("speed", "", measure)
        if row.samples
    }
    names, cases = (dict.fromkeys(key[at] for key in rows) for at in (0, 1))
    return markdown(pivot("", "contender", names, cases, lambda *at: rows.get(at)), titles=False)


def _goals(record: Record) -> str:
    return markdown(goals([record, read(RECORDS / "kernels.json")]), titles=False)


def _jit_headline(record: Record) -> str:
    """What XLA costs beside PyTorch, and what a kernel buys."""
    said = (
        "The gradients of one layer (32 rows, 64 steps, 32 inputs, 128 units) take eager PyTorch {torch.seconds}, a "
        "jitted `lax.scan` {scan.seconds}: **{costs} as long**. With derivatives by hand (this package's `scan`) XLA "
        "takes {own.seconds}, still {behind} as long. Only `native`, one call of C++ outside of XLA's loop, is faster: "
        "{native.seconds}, {wins} as fast as PyTorch."
    )
    return said.format(**headline(record))


def _jit(record: Record) -> str:
    return f"{markdown(jit.answer(record), titles=False)}\n\n{facts(record, 'jit')}"


def _scaling(record: Record) -> str:
    about = "What each device sends in a training step, over the number of devices"
    return f"{facts(record, 'scaling')}\n\n![{about}](scaling.svg)\n\n{markdown(*speed.scaling(record))}"


def _of_accuracy(record: Record, part: str) -> str:
    return f"{markdown(*accuracy.tables(record, part))}\n\n{facts(record, 'accuracy')} {record.note}"


def _plain(name: str, tables: Callable[[Record], list[Table]]) -> tuple[str, Callable[[Record], str]]:
    return name, lambda record: f"{facts(record, name)}\n\n{markdown(*tables(record))}"


BLOCKS: dict[str, tuple[str, Callable[[Record], str]]] = {
    "readme speed": ("speed", _readme),
    "speed": ("speed", _of_speed),
    "speed findings": ("speed", lambda record: as_text(SPEED_FINDINGS, record)),
    "speed cases": ("speed", lambda record: markdown(speed.glance(record, FORWARD, BACKWARD), titles=False)),
    "speed costs": ("speed", _costs),
    "goals": ("speed", _goals),
    "kernels": _plain("kernels", _kernels),
    "bfloat16": _plain("kernels-intel", lambda record: [_ratios(record, part) for part in (BESIDE_TORCH, BFLOAT16)]),
    "training": _plain("training-intel", lambda record: [speed.varied(record, "training")]),
    "audio": _plain("audio-intel", lambda record: [speed.varied(record, AUDIO)]),
    "stacks": _plain("stacks", lambda record: [speed.varied(record, STACKS)]),
    "jit headline": ("jit", _jit_headline),
    "jit": ("jit", _jit),
    "jit findings": ("jit", lambda record: as_text(FINDINGS[:5], record)),
    "jit more findings": ("jit", lambda record: as_text(FINDINGS[5:], record)),
    "jit elsewhere": ("compile-v5e", lambda _: elsewhere()),
    "profile": _plain("profile", lambda record: [speed.profile(record)]),
    "scaling": ("scaling", _scaling),
    "ensemble": _plain("ensemble", lambda record: [speed.varied(record, "ensemble")]),
    "iterations": _plain("iterations", lambda record: [speed.iterations(record)]),
    "text": _plain("text", lambda record: commands.scores(record, commands.SHAKESPEARE)),
    "labels": _plain("tasks", lambda record: commands.scores(record, commands.VOWELS)),
    "confusion": ("tasks", lambda record: markdown(*commands.confusion(record), titles=False)),
    "precision": _plain("tasks", commands.precision),
    "accuracy": ("accuracy", lambda record: f"{accuracy.notes(record)}\n\n{_of_accuracy(record, 'series')}"),
    "larger": _plain("larger", lambda record: accuracy.tables(record, "larger")),
    "peers": _plain("peers", lambda record: accuracy.tables(record, "peers")),
    "etth1": ("accuracy", lambda record: markdown(*accuracy.tables(record, "etth1"))),
    "accuracy goals": ("accuracy", lambda record: markdown(*accuracy.tables(record, "goals"), titles=False)),
    "memory": ("accuracy", lambda record: _of_accuracy(record, "memory")),
}
PICTURES: dict[str, tuple[str, Callable[[Record], Chart]]] = {
    "docs/speed.svg": ("speed", lambda record: speed.mean_chart(record, BACKWARD)),
    "docs/jit.svg": ("jit", lambda record: _first(speeds(record, "base", record.of("base")[0].case, BACKWARD))),
    "docs/scaling.svg": ("scaling", speed.scaling_chart),
    "docs/accuracy-adding.svg": ("accuracy", lambda record: accuracy.curves(from_record(record), "adding", 600)),
    "docs/accuracy-copy.svg": ("accuracy", lambda record: accuracy.curves(from_record(record), "copy", 1000)),
}


def _first(chart: Chart | None) -> Chart:
    assert chart is not None
    return chart


def block(name: str) -> str:
    """What stands between the marks of a block."""
    record, made = BLOCKS[name]
    return made(read(RECORDS / f"{record}.json"))


def filled(page: str) -> str:
    """A page with its blocks as the records have them."""
    return MARK.sub(lambda found: f"<!-- {found[1]}: begin -->\n\n{block(found[1])}\n\n<!-- {found[1]}: end -->", page)


def drawn(name: str) -> str:
    record, made = PICTURES[name]
    return picture(made(read(RECORDS / f"{record}.json")))


def fill(root: Path) -> Iterator[Path]:
    """Write the pages and pictures that have changed."""
    for path in (root / "README.md", *sorted((root / "docs").glob("*.md"))):
        before = path.read_text(encoding="utf-8")
        after = filled(before)
        if after != before:
            write_whole(path, after)
            yield path
    for name in PICTURES:
        path = root / name
        if not path.exists() or path.read_text(encoding="utf-8") != drawn(name):
            write_whole(path, drawn(name))
            yield path
