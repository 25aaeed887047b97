"""What a record of `speed` shows: a rule, its reason, and a sentence whose figures come from the record."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.core.contenders import BASELINE
from benchmarks.core.contenders.base import BACKWARD, FORWARD, STREAMING, TRAINING
from benchmarks.core.findings import Figure, NotMeasuredError, load, measured
from benchmarks.core.record import Record
from benchmarks.core.sampling import Ratio
from benchmarks.core.tables import ABSENT, seconds, size
from benchmarks.speed.comparison import COMPILE, MEMORY, PART
from benchmarks.speed.goals import OTHERS
from benchmarks.speed.tables import interval, mean

Figures = Mapping[str, Any]


def _mean(record: Record, measure: str, name: str) -> Ratio:
    return measured(mean(record, measure, name), measure, name)[0]


def _speed(record: Record, case: str, measure: str, name: str, baseline: str = BASELINE) -> Figure:
    row = measured(record.row(PART, case, measure, name), case, measure, name)
    found = measured(record.ratio(row, baseline), case, measure, baseline)
    return Figure(found.median, lambda _: _approximately(found))


def _approximately(found: Ratio) -> str:
    return f"{'~' * bool(found.doubt)}{found.median:.2f}"


def _value(record: Record, case: str, measure: str, name: str) -> float:
    return measured(record.value(PART, case, measure, name), case, measure, name)


def fastest(record: Record) -> Figures:
    native = {name: interval(_mean(record, measure, "native")) for name, measure in (("f", FORWARD), ("b", BACKWARD))}
    trained = mean(record, TRAINING, "native")  # without it the rule can still be judged
    each = [found for row in record.of(PART, "", BACKWARD, "native") if (found := record.ratio(row))]
    low, high = (_approximately(end(each, key=lambda found: found.median)) for end in (min, max))
    slower = [found for found in each if found.high < 1]
    more = {"t": interval(trained[0]) if trained else ABSENT, "low": low, "high": high, "cases": len(each)}
    return native | more | {"never_slower": not slower}


def large(record: Record) -> Figures:
    rows = [record.row(PART, case, BACKWARD, "native") for case in ("large", "largest")]
    parts = [row.rate / record.peak for row in rows if row and record.peak]
    if len(parts) < 2:
        raise NotMeasuredError("large")
    speeds = {case: _speed(record, case, BACKWARD, "native") for case in ("large", "largest", "tutorial")}
    return speeds | {"part": f"{min(parts):.0%}"}


def plain_jax(record: Record) -> Figures:
    means = {name: _mean(record, BACKWARD, name) for name in (*OTHERS, "scan")}
    best = max(OTHERS, key=lambda name: means[name].median)
    ahead, behind = means["scan"].median > means[best].median, all(found.high < 1 for found in means.values())
    return {"best": best, "best_mean": means[best], "scan": means["scan"], "ahead": ahead, "behind": behind}


def streaming(record: Record) -> Figures:
    names = {"native": "native", "scan": "scan", "cell": "torch cell", "onnx": "onnxruntime"}
    return {key: _speed(record, "streaming", STREAMING, name) for key, name in names.items()}


def onnx(record: Record) -> Figures:
    theirs, ours = (_mean(record, FORWARD, name) for name in ("onnxruntime", "native"))
    return {"onnx": interval(theirs), "native": interval(ours), "behind": theirs.median < ours.median}


def compiling(record: Record) -> Figures:
    names = {"native": "native", "scan": "scan", "compiled": "torch compile cell"}
    found = {key: Figure(_value(record, "tutorial", COMPILE, name), seconds) for key, name in names.items()}
    control = _mean(record, BACKWARD, "torch compile")
    return found | {"control": interval(control), "same": abs(control.median - 1) < 0.1}


def memory(record: Record) -> Figures:
    names = (("torch", BASELINE), ("native", "native"), ("flax", "flax optimized"))
    return {key: Figure(_value(record, "long", MEMORY, name), size) for key, name in names}


def cells(record: Record) -> Figures:
    found = _mean(record, BACKWARD, "torch cell")
    return {"cell": interval(found), "slow": found.high < 1}


FINDINGS = load(
    Path(__file__).with_suffix(".md"),
    {
        fastest: lambda f: f["never_slower"],
        large: lambda f: f["tutorial"] > f["large"] >= f["largest"] * 0.95,
        plain_jax: lambda f: f["behind"] and f["ahead"],
        streaming: lambda f: f["native"] > 1 and f["onnx"] > f["native"],
        onnx: lambda f: f["behind"],
        cells: lambda f: f["slow"],
        compiling: lambda f: f["same"] and f["compiled"] > 5 * f["scan"] > 5 * f["native"],
        memory: lambda f: f["native"] < f["flax"],
    },
)
