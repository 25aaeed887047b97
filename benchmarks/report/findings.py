"""What records show of devices that were not there and of the kernel `parallel`; the texts are in findings.md."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.core.contenders.base import BACKWARD, FORWARD
from benchmarks.core.findings import Figure, as_text, load, measured
from benchmarks.core.record import RECORDS, Record, Row, read
from benchmarks.core.tables import count, flop
from benchmarks.device.compiled import FROZEN, LOOPS, OUTSIDE, PALLAS, SCAN
from benchmarks.device.compiled import PART as COMPILED
from benchmarks.speed.iterations import FORGET
from benchmarks.speed.iterations import PART as ITERATIONS

CASE = "H=512, B=64, bfloat16"
BREAK_EVEN = {"scan": 180, "cudnn": 22}  # iterations on an H100, one sequence: the lower estimates of docs/parallel.md
Figures = Mapping[str, Any]


def _row(record: Record, part: str, case: str, measure: str, name: str) -> Row:
    return measured(record.row(part, case, measure, name), case, measure, name)


def lowering(record: Record) -> Figures:
    row = _row(record, COMPILED, CASE, f"{FORWARD}: {OUTSIDE}", SCAN)
    steps, batch, hidden_size = (row.about[name] for name in ("steps", "batch", "hidden_size"))
    inputs = 2.0 * steps * batch * 4 * hidden_size * hidden_size
    traced = {device.partition(":")[0] for device in record.environment["devices"]}
    return row.about | {"outside": Figure(row.value, flop), "inputs": inputs, "elsewhere": traced == {"cpu"}}


def schedule(record: Record) -> Figures:
    """Cycles a step, in loops and kernels."""
    found: dict[str, Any] = {"case": CASE}
    for end, measure in (("", FORWARD), ("_gradients", BACKWARD)):
        for key, name in (("pallas", PALLAS), ("scan", SCAN), ("plain", FROZEN)):
            row = _row(record, COMPILED, CASE, f"{measure}: {LOOPS}", name)
            found |= {key + end: Figure(row.value / row.about["steps"], count), "chip": row.about["chip"]}
    return found


def parallel(record: Record) -> Figures:
    cases = {
        "initial": "initial weights", "adding": "adding problem, trained", "text": "characters, after 1,200 steps",
        "bias": f"initial weights, {FORGET} +3", "weather": "weather, trained, 2,048 hours as one sequence",
    }  # fmt: skip
    rows = {key: _row(record, ITERATIONS, case, FORWARD, "parallel") for key, case in cases.items()}
    return {key: Figure(row.value, count) for key, row in rows.items()} | BREAK_EVEN


LOWERING, SCHEDULE, PARALLEL = load(
    Path(__file__).with_suffix(".md"),
    {
        lowering: lambda f: f["outside"] == f["inputs"] and f["elsewhere"],
        schedule: lambda f: all(f[f"pallas{end}"] < f[f"scan{end}"] < f[f"plain{end}"] for end in ("", "_gradients")),
        parallel: lambda f: (
            f["initial"] < f["cudnn"] < f["scan"] < min(f["bias"], f["weather"]) and f["text"] < f["scan"]
        ),
    },
)
RECORD_OF = {LOWERING: "compile-v5e", SCHEDULE: "compile-v5e", PARALLEL: "iterations"}


def elsewhere() -> str:
    """The findings for a page, each from its own record."""
    return "\n\n".join(as_text([finding], read(RECORDS / f"{name}.json")) for finding, name in RECORD_OF.items())
