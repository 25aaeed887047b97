"""What a record of `speed` shows: a rule, its reason, and a sentence whose figures come from the record."""

from collections.abc import Mapping
from typing import Any

from benchmarks.core.contenders import BASELINE
from benchmarks.core.contenders.base import BACKWARD, FORWARD, STREAMING, TRAINING
from benchmarks.core.findings import Figure, Finding, NotMeasuredError
from benchmarks.core.record import Record
from benchmarks.core.sampling import Ratio
from benchmarks.core.tables import seconds
from benchmarks.speed.comparison import COMPILE, MEMORY, PART
from benchmarks.speed.goals import OTHERS
from benchmarks.speed.tables import interval, mean

Figures = Mapping[str, Any]


def _mean(record: Record, measure: str, name: str) -> Ratio:
    found = mean(record, measure, name)
    if found is None:
        raise NotMeasuredError(f"{measure}, {name}")
    return found[0]


def _speed(record: Record, case: str, measure: str, name: str, baseline: str = BASELINE) -> Figure:
    row = record.row(PART, case, measure, name)
    found = record.ratio(row, baseline) if row else None
    if found is None:
        raise NotMeasuredError(f"{case}, {measure}, {name}")
    return Figure(found.median, lambda value: f"{'~' * bool(found.doubt)}{value:.2f}")


def _value(record: Record, case: str, measure: str, name: str) -> float:
    found = record.value(PART, case, measure, name)
    if found is None:
        raise NotMeasuredError(f"{case}, {measure}, {name}")
    return found


def fastest(record: Record) -> Figures:
    native = {
        name: _mean(record, measure, "native") for name, measure in (("f", FORWARD), ("b", BACKWARD), ("t", TRAINING))
    }
    each = [found.median for row in record.of(PART, "", BACKWARD, "native") if (found := record.ratio(row))]
    return {name: interval(found) for name, found in native.items()} | {
        "low": f"{min(each):.2f}", "high": f"{max(each):.2f}", "least": min(each), "cases": len(each)
    }  # fmt: skip


def large(record: Record) -> Figures:
    rows = [record.row(PART, case, BACKWARD, "native") for case in ("large", "largest")]
    parts = [row.rate / record.peak for row in rows if row and record.peak]
    if len(parts) < 2:
        raise NotMeasuredError("large")
    return {"large": _speed(record, "large", BACKWARD, "native"), "largest": _speed(record, "largest", BACKWARD, "native"),
            "part": f"{min(parts):.0%}", "tutorial": _speed(record, "tutorial", BACKWARD, "native")}  # fmt: skip


def plain_jax(record: Record) -> Figures:
    means = {name: _mean(record, BACKWARD, name) for name in (*OTHERS, "scan")}
    best = max(OTHERS, key=lambda name: means[name].median)
    return {"best": best, "best_mean": str(means[best]), "scan": str(means["scan"]), "ahead": means["scan"].median > means[best].median,
            "behind": all(found.high < 1 for found in means.values())}  # fmt: skip


def streaming(record: Record) -> Figures:
    names = {"native": "native", "scan": "scan", "cell": "torch cell", "onnx": "onnxruntime"}
    return {key: _speed(record, "streaming", STREAMING, name) for key, name in names.items()}


def onnx(record: Record) -> Figures:
    return {"onnx": interval(_mean(record, FORWARD, "onnxruntime")), "native": interval(_mean(record, FORWARD, "native")),
            "behind": _mean(record, FORWARD, "onnxruntime").median < _mean(record, FORWARD, "native").median}  # fmt: skip


def compiling(record: Record) -> Figures:
    names = {"native": "native", "scan": "scan", "compiled": "torch compile cell"}
    found = {key: Figure(_value(record, "tutorial", COMPILE, name), seconds) for key, name in names.items()}
    control = _mean(record, BACKWARD, "torch compile")
    return found | {"control": interval(control), "same": abs(control.median - 1) < 0.1}


def memory(record: Record) -> Figures:
    form = lambda value: f"{value / 2**20:,.0f} MiB"  # noqa: E731
    names = (("torch", BASELINE), ("native", "native"), ("flax", "flax optimized"))
    return {key: Figure(_value(record, "long", MEMORY, name), form) for key, name in names}


def cells(record: Record) -> Figures:
    return {
        "cell": interval(_mean(record, BACKWARD, "torch cell")),
        "slow": _mean(record, BACKWARD, "torch cell").high < 1,
    }


FINDINGS = (
    Finding(
        "On a CPU use `native`, which `backend=\"auto\"` takes by itself.",
        "One call of C++ runs the whole sequence: no dispatch at each step, gates computed while the sums are in registers.",
        "Relative to PyTorch: forward {f}, with gradients {b}, a training step {t}; over the {cases} cases with gradients {low} to "
        "{high}.",
        fastest, lambda f: f["least"] > 1,
    ),
    Finding(
        "Expect much at small sizes and little at large ones.",
        "At small sizes the others pay for dispatch and for threads; large ones are limited by matrix products, which PyTorch "
        "computes near the peak of the machine too.",
        "With gradients {tutorial} times PyTorch at the tutorial's size, {large} at `large`, {largest} at `largest`, where `native` "
        "reaches at least {part} of the matrix peak.",
        large, lambda f: f["tutorial"] > f["large"] >= f["largest"] * 0.95,
    ),
    Finding(
        "Do not expect XLA's loops to reach PyTorch on a CPU; among them, derivatives by hand are ahead.",
        "At every step XLA calls a small product on one thread and some element-wise loops. `scan` sums the gradients of the weights "
        "once, after the loop.",
        "With gradients the best of the other LSTMs for JAX ({best}) is {best_mean} times as fast as PyTorch, `scan` {scan}.",
        plain_jax, lambda f: f["behind"] and f["ahead"],
    ),
    Finding(
        "For one time step a call, use `native` or export to ONNX Runtime.",
        "A step of one row is a few matrix-vector products, so what a call costs decides.",
        "B=1, H=256, relative to a call of `nn.LSTM`: `native` {native}, `scan` {scan}, `nn.LSTMCell` {cell}, ONNX Runtime {onnx}.",
        streaming, lambda f: f["native"] > 1 and f["onnx"] > f["native"],
    ),
    Finding(
        "For whole sequences ONNX Runtime is ahead of PyTorch, and behind `native`.",
        "It runs models and does not train.",
        "Forward: ONNX Runtime {onnx}, `native` {native}.",
        onnx, lambda f: f["behind"],
    ),
    Finding(
        "Never loop over `nn.LSTMCell` in Python for whole sequences.",
        "Every step is several calls from Python, each with its own gradient.",
        "With gradients it is {cell} times as fast as `nn.LSTM`.",
        cells, lambda f: f["slow"],
    ),
    Finding(
        "`torch.compile` does nothing for `nn.LSTM`.",
        "Dynamo breaks the graph there and calls the module as it is. A compiled cell in a loop is unrolled, and takes long to compile.",
        "It is {control} times as fast; a compiled cell takes {compiled} until its first result at the tutorial's size, `scan` {scan}, "
        "`native` {native}.",
        compiling, lambda f: f["same"] and f["compiled"] > 5 * f["scan"] > 5 * f["native"],
    ),
    Finding(
        "Over long sequences, memory differs more than speed.",
        "What is kept for the backward pass grows with T, and frameworks keep different things.",
        "A training step at `long` needs {torch} in PyTorch, {native} with `native`, {flax} with Flax's optimised cell.",
        memory, lambda f: f["native"] < f["flax"],
    ),
)  # fmt: skip
