"""`python -m benchmarks jit`: variants agree, what fails is not timed, findings can fail."""

import dataclasses
from pathlib import Path
from typing import Any

import jax
import pytest

from benchmarks import record as records
from benchmarks.__main__ import main
from benchmarks.core.gate import fault
from benchmarks.jit import devices, hlo, shapes, training
from benchmarks.jit.findings import judged
from benchmarks.jit.measuring import NO_REVERSE, Candidate, Effort, candidates, measure
from benchmarks.jit.page import drawn
from benchmarks.jit.programs import BOTH, FORWARD, Program
from benchmarks.jit.rows import Row, compared
from benchmarks.jit.sizes import Size, oracle
from benchmarks.jit.sweeps import SWEEPS, Setting
from benchmarks.jit.variants import VARIANTS
from benchmarks.sampling import Plan

DEEP, FLAT = Size(2, 5, 3, 4, 2), Size(2, 5, 3, 4)  # five steps: two chunks of two, and one left over
BRIEF = Effort(Plan(budget=0.0, least=2, sample=0.0))
ALIKE = {"fori_loop", "scan, unroll=2", "scan, unroll=4"}  # no gradient; unroll=8 in another number


@pytest.mark.parametrize(
    ("variant", "name"),
    [(variant, BOTH) for variant in VARIANTS if variant not in ALIKE]
    + [(variant, FORWARD) for variant in ("torch", "fori_loop", "fori_loop, static", "scan over layers")],
)
def test_variants_agree(variant: str, name: str) -> None:
    deep = VARIANTS[variant].deep or variant in ("torch", "scan") or name == FORWARD
    size = DEEP if deep else FLAT
    if reason := VARIANTS[variant].refusal(size, name):
        pytest.skip(reason)
    program = VARIANTS[variant].program(size, name)
    function = jax.jit(program.function) if program.jitted else program.function
    found = program.results(function(*program.arguments))
    assert len(found) == (1 if name == FORWARD else 1 + 3 * size.layers)
    assert not fault(found, {each: oracle(size)[each] for each in found}, VARIANTS[variant].dtype)


def test_who_fails_or_is_not_offered_is_shown_and_not_timed() -> None:
    def off(of: str) -> Program:
        program = VARIANTS["scan"].program(FLAT, BOTH)
        scaled = lambda value: {n: v * (1.001 if n == of else 1) for n, v in program.results(value).items()}  # noqa: E731
        return program._replace(results=scaled)

    def raises() -> Program:
        raise RuntimeError("out of order\nand more")

    wrong = ("gradient of weight_hh_l0", "gradient of inputs")
    entries = {of: Candidate(lambda of=of: off(of), "") for of in wrong}
    entries |= {"raises": Candidate(raises, ""), "no": Candidate(raises, "", "", "why")}
    entries["fori_loop"] = candidates("base", FLAT, BOTH)["fori_loop"]
    rows = {row.variant: row for row in measure("base", FLAT, BOTH, entries, BRIEF)}
    assert rows.keys() == entries.keys()
    assert all(rows[of].failed.startswith(f"{of}: off by 1.0e-03") for of in wrong)
    assert rows["raises"].failed == "RuntimeError: out of order"
    assert rows["no"].not_offered == "why"
    assert NO_REVERSE in rows["fori_loop"].not_offered
    assert not rows["fori_loop"].failed
    assert not any(row.seconds for row in rows.values())
    long = dataclasses.replace(FLAT, steps=17)
    assert VARIANTS["unrolled"].refusal(long, BOTH).startswith("at most 16 steps times layers")
    assert not VARIANTS["unrolled"].refusal(long, FORWARD)
    assert VARIANTS["scan over layers"].refusal(FLAT, BOTH) == "one layer"


def test_training_steps() -> None:
    entries = {name: training.candidates(FLAT)[name] for name in ("torch", "scan, donated")}
    torch, donated = measure("base", FLAT, training.STEP, entries, BRIEF)
    assert not torch.failed
    assert not donated.failed
    assert donated.aliased_bytes
    assert len(donated.seconds) == 2


@pytest.mark.parametrize(
    ("name", "compiled"),
    [
        (BOTH, {"torch": 0, "exact": 3, "longest": 1}),
        (FORWARD, {"buckets": 2, "fori_loop": 1, "jitted cell": 1, "native, exact": 3, "native, longest": 1}),
    ],
)
def test_lengths(name: str, compiled: dict[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shapes, "WAYS", {way: shapes.WAYS[way] for way in compiled})
    sizes = [dataclasses.replace(FLAT, steps=steps) for steps in (3, 4, 5)]
    (rows,) = shapes.rows(sizes, BRIEF, [name])
    assert not any(row.failed for row in rows)
    assert {row.variant: row.compilations for row in rows if row.seconds}.items() <= compiled.items()
    assert any(row.seconds for row in rows if row.variant != "torch")
    assert [shapes.bucket(steps) for steps in (1, 2, 3, 4, 5, 64, 65)] == [1, 2, 4, 4, 8, 64, 128]


def test_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = {row.variant: row for row in devices.rows(FLAT, 2, BRIEF, [FORWARD], ["scan"])}
    assert not any(row.failed for row in rows.values())
    assert {row.devices for row in rows.values()} == {2}
    assert rows["scan, shard_map"].loops
    assert not any("all-reduce" in loop["counts"] for loop in rows["scan, shard_map"].loops)
    monkeypatch.setattr(devices.sys, "executable", "false")  # a process that ends
    failed = devices.rows(FLAT, 2, BRIEF, [FORWARD], ["scan"])
    assert [row.variant for row in failed] == ["torch", "scan", "scan, sharded inputs", "scan, shard_map"]
    assert {row.failed for row in failed} == {"the process ended: no message"}


def test_when_compiling_has_paid() -> None:
    def made(variant: str, seconds: list[float], **known: Any) -> Row:
        return Row("base", variant, BOTH, "g", "2,5,3,4,1", 2, 5, 3, 4, 1, seconds=seconds, **known)

    stages: dict[str, Any] = {"trace": [1.0], "lower": [2.0], "compile": [3.0, 5.0, 9.0]}
    torch, fast, slow, not_compiled, failed = compared(
        [
            made("torch", [1.0, 2.0, 4.0]),
            made("fast", [0.5, 1.0, 1.0], **stages),
            made("slow", [3.0, 3.0, 3.0], **stages),
            made("not compiled", [1.0, 1.0, 1.0], first=[4.0]),
            made("failed", []),
        ]
    )
    assert fast.pays_after == 8.0
    assert fast.speed == [2.0, 2.0, 3.0]
    assert not_compiled.pays_after == 3.0
    assert torch.pays_after is slow.pays_after is None
    assert not failed.speed


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.jit.command.QUICK", Setting(BRIEF, BRIEF, FLAT, steps=(2,), also=()))
    monkeypatch.setattr(
        "benchmarks.jit.measuring.of_sweep", lambda sweep, without: {n: VARIANTS[n] for n in ("torch", "scan")}
    )
    path, texts = tmp_path / "jit.json", tmp_path / "texts"
    assert main(["jit", "--quick", "--sweep", "steps", "--hlo", str(texts), "--out", str(path)]) == 0
    made = records.read(path, "jit", Row)
    assert [(row.sweep, row.variant, row.steps) for row in made.rows] == [("steps", "torch", 2), ("steps", "scan", 2)]
    assert hlo.read(next(texts.iterdir()).read_text()).instructions == made.rows[1].instructions
    assert "not measured" in capsys.readouterr().out
    assert drawn(made) == ["jit-steps.png"]


def test_findings_can_fail() -> None:
    """Each is judged on the committed record of all sweeps, and those on times turn when the times do."""
    record = records.read(records.ROOT / "benchmarks" / "records" / "jit.json", "jit", Row)
    assert {row.sweep for row in record.rows} == set(SWEEPS)
    assert all(found for _, found in judged(record.rows))
    slow = ("scan kernel", "native", "scan, shard_map", "scan", "native, bfloat16")
    slower = [
        dataclasses.replace(row, seconds=[(100 if row.variant in slow else 1) * value for value in row.seconds])
        for row in record.rows
    ]
    turned = {finding.title: found.holds for finding, found in judged(slower) if found}
    assert turned["Compile the whole loop, not its body"] is False
    assert turned["Spread rows with `shard_map`, not by sharding the inputs alone"] is False
    assert not any(found for _, found in judged([]))
    without = {finding.title: each for finding, each in judged([dataclasses.replace(r, loops=[]) for r in record.rows])}
    assert without["`unroll=k` does not pay on CPU"] is None
