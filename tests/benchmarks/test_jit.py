"""`python -m benchmarks jit`: variants agree, what fails is not timed, findings can fail. No times."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from benchmarks.__main__ import main
from benchmarks.core import hlo
from benchmarks.core.cases import Case, Problem
from benchmarks.core.contenders import BASELINE
from benchmarks.core.contenders.base import BACKWARD, FORWARD, TRAINING, Contender, Runner
from benchmarks.core.findings import judged
from benchmarks.core.gate import admit, lineup
from benchmarks.core.record import RECORDS, Record, Row, begin, read
from benchmarks.core.sampling import Plan
from benchmarks.jit import devices, shapes, sweeps
from benchmarks.jit.findings import FINDINGS, pays_after
from benchmarks.jit.measure import NO_REVERSE, Effort, rows
from benchmarks.jit.variants import VARIANTS, Variant, of_sweep

FLAT, DEEP = Case(2, 5, 3, 4), Case(2, 5, 3, 4, num_layers=2)  # five steps: two chunks of two, and one left over
BRIEF = Effort(Plan(budget=0.0, least=2, sample=0.0))
ALIKE = {"fori_loop", "scan, unroll=2", "scan, unroll=4"}  # no gradient; unroll=8 in another number


@pytest.mark.parametrize(
    ("name", "measure"),
    [(name, each.measures[-1]) for name, each in VARIANTS.items() if name not in ALIKE]
    + [(name, BACKWARD) for name in ("scan", "scan kernel", "native")]
    + [(name, FORWARD) for name in (BASELINE, "fori_loop", "fori_loop, static", "scan over layers")],
)
def test_variants_agree(name: str, measure: str) -> None:
    variant = VARIANTS[name]
    case = DEEP if variant.deep or name in (BASELINE, "scan") else FLAT
    if reason := variant.refusal(case, measure):
        pytest.skip(reason)
    works, failed, not_offered = admit(lineup({name: variant.contender}, case), measure)
    assert (list(works), failed, not_offered) == ([name], {}, {})


def test_who_fails_or_is_not_offered_is_shown_and_not_timed() -> None:
    def raises(problem: Problem) -> Runner:
        raise RuntimeError("out of order\nand more")

    entries = {"raises": Variant(Contender(raises, "")), "deep": Variant(Contender(raises, ""), deep=True)}
    entries["fori_loop"] = VARIANTS["fori_loop"]
    found = {row.contender: row for row in rows("base", FLAT, BACKWARD, entries, BRIEF)}
    assert found["raises"].failed == "RuntimeError: out of order"
    assert found["deep"].status == "not offered: one layer"
    assert NO_REVERSE in found["fori_loop"].status
    assert not found["fori_loop"].failed
    assert not any(row.samples for row in found.values())
    long = dataclasses.replace(FLAT, steps=17)
    assert VARIANTS["unrolled"].refusal(long, BACKWARD).startswith("at most 16 steps times layers")
    assert not VARIANTS["unrolled"].refusal(long, FORWARD)


def test_what_is_recorded_of_a_variant() -> None:
    """Samples of two rounds, two compilations, the loops there and back, and what donation reuses."""
    chosen = {name: VARIANTS[name] for name in (BASELINE, "scan", "scan, donated")}
    found = rows("base", FLAT, TRAINING, chosen, dataclasses.replace(BRIEF, compiles=2))
    record = dataclasses.replace(begin("jit", ""), rows=found)

    def figure(who: str, name: str) -> Any:
        return record.row("base", "2,5,3,4,1", f"{TRAINING}: {name}", who)

    assert all(len(record.row("base", "2,5,3,4,1", TRAINING, who).samples) == 2 for who in chosen)  # type: ignore[union-attr]
    assert [len(figure("scan", stage).samples) for stage in ("trace", "lower", "compile", "first call")] == [2] * 4
    assert figure("scan", "trips").samples == [5, 5]
    assert figure("scan", "compilations").value == 1
    assert figure(BASELINE, "first call").samples
    assert figure(BASELINE, "instructions") is None
    assert figure("scan", "aliased").value == 0 < figure("scan, donated", "aliased").value
    assert "scan, donated" not in of_sweep("base", BACKWARD)


@pytest.mark.parametrize(
    ("measure", "compiled"),
    [
        (BACKWARD, {BASELINE: 0, "exact": 3, "longest": 1}),
        (FORWARD, {"buckets": 2, "fori_loop": 1, "jitted cell": 1, "native, exact": 3, "native, longest": 1}),
    ],
)
def test_lengths(measure: str, compiled: dict[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shapes, "WAYS", {way: shapes.WAYS[way] for way in compiled})
    cases = [dataclasses.replace(FLAT, steps=steps) for steps in (3, 4, 5)]
    (found,) = shapes.lengths(cases, BRIEF, [measure])
    assert not any(row.failed for row in found)
    counts = {row.contender: row.value for row in found if row.measure == f"{measure}: compilations"}
    assert counts.items() <= compiled.items()
    assert any(row.samples for row in found if row.contender != BASELINE)
    assert [shapes.bucket(steps) for steps in (1, 2, 3, 4, 5, 64, 65)] == [1, 2, 4, 4, 8, 64, 128]


def test_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    found = devices.on_devices(FLAT, 2, BRIEF, [FORWARD], ["scan"])
    assert not any(row.failed for row in found)
    assert {row.about["devices"] for row in found if row.measure == FORWARD} == {2}
    inside = {row.contender: row.samples for row in found if row.measure.endswith("collectives in a step")}
    assert inside["scan, shard_map"] == [0]
    monkeypatch.setattr(devices.child.sys, "executable", "false")  # a process that ends
    failed = devices.on_devices(FLAT, 2, BRIEF, [FORWARD], ["scan"])
    assert [row.contender for row in failed] == ["scan", "scan, sharded inputs", "scan, shard_map"]
    assert {row.failed for row in failed} == {"the process ended: exit status 1"}


def test_when_compiling_has_paid() -> None:
    def made(who: str, seconds: list[float], **figures: list[float]) -> list[Row]:
        more = [
            Row("base", "c", who, f"{BACKWARD}: {name.replace('_', ' ')}", "s", each) for name, each in figures.items()
        ]
        return [Row("base", "c", who, BACKWARD, "s", seconds, BASELINE), *more]

    stages = {"trace": [1.0], "lower": [2.0], "compile": [3.0, 5.0, 9.0]}
    found = [
        *made(BASELINE, [1.0, 2.0, 4.0]),
        *made("fast", [0.5, 1.0, 1.0], **stages),
        *made("slow", [3.0, 3.0, 3.0], **stages),
        *made("not compiled", [1.0, 1.0, 1.0], first_call=[4.0]),
    ]
    record = dataclasses.replace(begin("jit", ""), rows=found)
    calls = {
        row.contender: pays_after(record, row) for row in record.of("base", "", BACKWARD) if row.contender != BASELINE
    }
    assert calls == {"fast": 8.0, "slow": None, "not compiled": 3.0}


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    setting = sweeps.Setting(BRIEF, BRIEF, FLAT, steps=(2,), also=())
    monkeypatch.setattr("benchmarks.jit.command.QUICK", setting)
    monkeypatch.setattr(sweeps, "of_sweep", lambda *_: {name: VARIANTS[name] for name in (BASELINE, "scan")})
    path, texts = tmp_path / "jit.json", tmp_path / "texts"
    assert main(["jit", "--quick", "--sweep", "steps", "--hlo", str(texts), "--out", str(path)]) == 0
    record = read(path, "jit")
    assert [(row.part, row.case, row.contender) for row in record.rows if row.measure == BACKWARD] == [
        ("steps", "2,2,3,4,1", BASELINE), ("steps", "2,2,3,4,1", "scan")
    ]  # fmt: skip
    instructions = record.value("steps", "2,2,3,4,1", f"{BACKWARD}: instructions", "scan")
    assert hlo.read(next(texts.iterdir()).read_text()).instructions == instructions
    assert "was not measured" in capsys.readouterr().out


def test_findings_can_fail() -> None:
    """Each holds in the committed record of all sweeps, and those on times turn when the times do."""
    record = read(RECORDS / "jit.json", "jit")
    assert {row.part for row in record.rows} == set(sweeps.SWEEPS)
    assert all(holds for _, _, holds in judged(FINDINGS, record))
    slow = ("scan kernel", "native", "scan, shard_map", "scan", "native, bfloat16")

    def turned(change: float) -> dict[str, bool | None]:
        changed: list[Row] = [
            dataclasses.replace(row, samples=[change * value for value in row.samples])
            if row.contender in slow and ": " not in row.measure else row
            for row in record.rows
        ]  # fmt: skip
        other: Record = dataclasses.replace(record, rows=changed)
        return {finding.rule: holds for finding, _, holds in judged(FINDINGS, other)}

    assert sum(holds is False for holds in turned(100.0).values()) >= 4
    empty = dataclasses.replace(record, rows=[])
    assert {(said, holds) for _, said, holds in judged(FINDINGS, empty)} == {("", None)}
