"""`python -m benchmarks jit`: variants agree, counts are right, findings can fail, the page shows the record."""

import dataclasses
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from rich.console import Console

torch = pytest.importorskip("torch")

from benchmarks import record as records  # noqa: E402
from benchmarks.gate import fault  # noqa: E402
from benchmarks.jit import devices, hlo, shapes, training  # noqa: E402
from benchmarks.jit.anatomy import compilations, equations, in_stages, products  # noqa: E402
from benchmarks.jit.command import study  # noqa: E402
from benchmarks.jit.findings import FINDINGS, judged  # noqa: E402
from benchmarks.jit.measuring import NO_REVERSE, Candidate, Effort, candidates, measure  # noqa: E402
from benchmarks.jit.page import drawn, markdown  # noqa: E402
from benchmarks.jit.pictures import PICTURES, draw  # noqa: E402
from benchmarks.jit.programs import BOTH, FORWARD, Program  # noqa: E402
from benchmarks.jit.rows import Row, compared  # noqa: E402
from benchmarks.jit.sizes import Size, oracle, problem  # noqa: E402
from benchmarks.jit.sweeps import SWEEPS, Setting  # noqa: E402
from benchmarks.jit.tables import print_tables, verdicts  # noqa: E402
from benchmarks.jit.variants import VARIANTS  # noqa: E402
from benchmarks.sampling import Plan  # noqa: E402
from jax_lstm.kernels import Reference  # noqa: E402
from jax_lstm.params import LSTMState  # noqa: E402

ROOT = Path(__file__).parents[2]
RECORD = ROOT / "benchmarks" / "records" / "jit.json"
PAGE = ROOT / "docs" / "jit.md"
DEEP, FLAT = Size(2, 5, 3, 4, 2), Size(2, 5, 3, 4)  # five steps: two chunks of two, and one left over
BRIEF = Effort(Plan(budget=0.0, least=2, sample=0.0))


@pytest.fixture(scope="module")
def record() -> records.Record:
    return records.read(RECORD, "jit", Row)


def run(program: Program) -> Any:
    function = jax.jit(program.function) if program.jitted else program.function
    return program.results(function(*program.arguments))


def check(variant: str, size: Size, name: str) -> None:
    if reason := VARIANTS[variant].refusal(size, name):
        pytest.skip(reason)
    found = run(VARIANTS[variant].program(size, name))
    expected = {each: oracle(size)[each] for each in found}
    assert len(expected) == (1 if name == FORWARD else 1 + 3 * size.layers)
    assert not fault(found, expected, VARIANTS[variant].dtype)


ALIKE = ("fori_loop", "scan, unroll=2", "scan, unroll=4")  # no gradient; unroll=8 in another number


@pytest.mark.parametrize("variant", [name for name in VARIANTS if name not in ALIKE])
def test_gradients_of_variants(variant: str) -> None:
    check(variant, DEEP if VARIANTS[variant].deep or variant in ("torch", "scan") else FLAT, BOTH)


@pytest.mark.parametrize("variant", ["torch", "fori_loop", "fori_loop, static", "scan over layers"])
def test_outputs_of_variants(variant: str) -> None:
    check(variant, DEEP, FORWARD)


def test_fori_loop_has_no_gradient() -> None:
    (row,) = measure("base", FLAT, BOTH, {"fori_loop": candidates("base", FLAT, BOTH)["fori_loop"]}, BRIEF)
    assert NO_REVERSE in row.not_offered
    assert not row.failed
    assert not row.seconds


def test_the_oracle_is_the_recurrence_of_the_library() -> None:
    weights, xs = problem(DEEP)
    for params in weights:
        xs = Reference().sequence(params, LSTMState.zeros((DEEP.batch, DEEP.hidden_size)), jnp.asarray(xs))[0]
    assert not fault({"outputs": xs}, {"outputs": oracle(DEEP)["outputs"]})  # type: ignore[dict-item]


@pytest.mark.parametrize("of", ["gradient of weight_hh_l0", "gradient of inputs"])
def test_who_computes_something_else_is_shown_and_not_timed(of: str) -> None:
    def broken() -> Program:
        program = VARIANTS["scan"].program(FLAT, BOTH)
        scaled = lambda value: {n: v * (1.001 if n == of else 1) for n, v in program.results(value).items()}  # noqa: E731
        return program._replace(results=scaled)

    def raises() -> Program:
        raise RuntimeError("out of order\nand more")

    entries = {"broken": Candidate(broken, ""), "raises": Candidate(raises, ""), "no": Candidate(raises, "", "", "why")}
    first, second, third = measure("base", FLAT, BOTH, entries, BRIEF)
    assert first.failed.startswith(f"{of}: off by 1.0e-03")
    assert second.failed == "RuntimeError: out of order"
    assert third.not_offered == "why"
    assert not any(row.seconds for row in (first, second, third))


def test_caps_are_reasons() -> None:
    long = dataclasses.replace(FLAT, steps=17)
    assert VARIANTS["unrolled"].refusal(long, BOTH).startswith("at most 16 steps times layers")
    assert not VARIANTS["unrolled"].refusal(long, FORWARD)
    assert VARIANTS["scan over layers"].refusal(FLAT, BOTH) == "one layer"


TEXT = """HloModule m, is_scheduled=true

%fused (p: f32[2]) -> f32[2] {
  %p = f32[2]{0} parameter(0)
  %s = f32[1,2]{1,0} dynamic-slice(%p, %p), dynamic_slice_sizes={1,2}
  ROOT %d = f32[2]{0} dot(%s, %p), metadata={op_name="a(b)"}
}

%inner_body (t: (s32[], f32[2])) -> (s32[], f32[2]) {
  %t = (s32[], /*index=1*/f32[2]{0}) parameter(0)
  %c.1 = f32[2]{0} copy(%t)
  ROOT %r = (s32[], f32[2]{0}) tuple(%c.1)
}

%condition (t: (s32[], f32[2])) -> pred[] {
  %t.1 = (s32[], f32[2]{0}) parameter(0)
  ROOT %lt = pred[] compare(%t.1, %t.1), direction=LT
}

%body (t: (s32[], f32[2])) -> (s32[], f32[2]) {
  %t.2 = (s32[], f32[2]{0}) parameter(0)
  %f = f32[2]{0} fusion(%t.2), kind=kLoop, calls=%fused
  %w.2 = (s32[]) while(%t.2), condition=%condition, body=%inner_body, backend_config={"known_trip_count":{"n":"3"}}
  ROOT %r.1 = (s32[], f32[2]{0}) tuple(%f)
}

ENTRY %main (x: f32[2]) -> f32[2] {
  %x = f32[2]{0} parameter(0)
  %w = (s32[], f32[2]{0}) while(%x), condition=%condition, body=%body
  ROOT %g = f32[2]{0} get-tuple-element(%w), index=1
}
"""


def test_counts_of_hlo() -> None:
    module = hlo.read(TEXT)
    assert module.instructions == 15
    assert module.counts["while"] == 2
    outer, inner = module.loops
    assert (outer.trips, outer.depth, outer.kernels) == (None, 0, 2)
    assert outer.counts["dot"] == outer.counts["dynamic-slice"] == 1
    assert "copy" not in outer.counts
    assert (inner.trips, inner.depth, inner.kernels, inner.counts["copy"]) == (3, 1, 1, 1)


def test_counts_of_what_is_compiled() -> None:
    """By hand: the products of the LSTM, and the loops that its text has."""
    forward = 2.0 * FLAT.steps * FLAT.batch * 4 * FLAT.hidden_size * (FLAT.input_size + FLAT.hidden_size)
    wanted = {"scan": 3, "scan kernel": 3, "scan, remat steps": 4}
    for variant, times in wanted.items():
        program = VARIANTS[variant].program(FLAT, BOTH)
        jaxpr = jax.make_jaxpr(program.function)(*program.arguments).jaxpr
        assert products(jaxpr) == times * forward
        assert equations(jaxpr) > len(jaxpr.eqns)
    wide = VARIANTS["scan kernel"].program(dataclasses.replace(FLAT, batch=17), BOTH)  # with a form for each platform
    assert products(jax.make_jaxpr(wide.function)(*wide.arguments).jaxpr) == 3 * forward * 17 / FLAT.batch
    program = VARIANTS["scan"].program(FLAT, BOTH)
    with compilations() as count:
        _, compiled, seconds = in_stages(jax.jit(program.function), program.arguments)
        jax.block_until_ready(compiled(*program.arguments))
    assert count.number == 1
    assert seconds.keys() == {"trace", "lower", "compile"}
    there, back = hlo.read(compiled.as_text()).loops
    assert there.trips == back.trips == FLAT.steps
    loop = VARIANTS["fori_loop"].program(FLAT, FORWARD)
    assert products(jax.make_jaxpr(loop.function)(*loop.arguments).jaxpr) is None


def test_training_steps() -> None:
    entries = training.candidates(FLAT)
    rows = {row.variant: row for row in measure("base", FLAT, training.STEP, {n: entries[n] for n in ("torch", "scan, donated")}, BRIEF)}  # fmt: skip  # noqa: E501
    assert not any(row.failed for row in rows.values())
    assert rows["scan, donated"].aliased_bytes
    assert len(rows["scan, donated"].seconds) == 2


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


def test_buckets_are_powers_of_two() -> None:
    assert [shapes.bucket(steps) for steps in (1, 2, 3, 4, 5, 64, 65)] == [1, 2, 4, 4, 8, 64, 128]
    assert shapes.WAYS["fori_loop"].measures == (FORWARD,)


def test_devices() -> None:
    rows = {row.variant: row for row in devices.rows(FLAT, 2, BRIEF, [FORWARD], ["scan"])}
    assert not any(row.failed for row in rows.values())
    assert {row.devices for row in rows.values()} == {2}
    assert rows["scan, shard_map"].loops
    assert not any("all-reduce" in loop["counts"] for loop in rows["scan, shard_map"].loops)


def test_a_process_that_ends_is_shown_as_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices.sys, "executable", "false")
    rows = devices.rows(FLAT, 2, BRIEF, [FORWARD], ["scan"])
    assert [row.variant for row in rows] == ["torch", "scan", "scan, sharded inputs", "scan, shard_map"]
    assert {row.failed for row in rows} == {"the process ended: no message"}


def made(variant: str, seconds: list[float], **known: Any) -> Row:
    return Row("base", variant, BOTH, "g", "2,5,3,4,1", 2, 5, 3, 4, 1, seconds=seconds, **known)


def test_when_compiling_has_paid() -> None:
    stages: dict[str, Any] = {"trace": [1.0], "lower": [2.0], "compile": [3.0, 5.0, 9.0]}
    rows = compared(
        [
            made("torch", [1.0, 2.0, 4.0]),
            made("fast", [0.5, 1.0, 1.0], **stages),
            made("slow", [3.0, 3.0, 3.0], **stages),
            made("not compiled", [1.0, 1.0, 1.0], first=[4.0]),
            made("failed", []),
        ]
    )
    found = {row.variant: row for row in rows}
    assert found["fast"].pays_after == 8.0
    assert found["fast"].speed == [2.0, 2.0, 3.0]
    assert found["slow"].pays_after is None
    assert found["not compiled"].pays_after == 3.0
    assert found["torch"].pays_after is None
    assert not found["failed"].speed


def test_a_record_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "jit.json"
    setting = Setting(BRIEF, BRIEF, FLAT, steps=(2,), lengths=(2, 3))
    setting = dataclasses.replace(setting, varied=dataclasses.replace(BRIEF, texts=tmp_path / "texts"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("benchmarks.jit.measuring.VARIANTS", {name: VARIANTS[name] for name in ("torch", "scan")})
        patch.setattr(
            "benchmarks.jit.measuring.of_sweep", lambda sweep, without: {n: VARIANTS[n] for n in ("torch", "scan")}
        )
        made = study(setting, ["steps"], "python -m benchmarks jit", path, Console(quiet=True))
    assert records.read(path, "jit", Row) == made
    assert [(row.sweep, row.variant, row.steps) for row in made.rows] == [("steps", "torch", 2), ("steps", "scan", 2)]
    assert hlo.read(next((tmp_path / "texts").iterdir()).read_text()).instructions == made.rows[1].instructions
    assert "not measured" in {found for _, found in verdicts(made).rows}
    assert drawn(made) == ["jit-steps.png"]


def test_findings_can_fail(record: records.Record) -> None:
    """Each is judged on the record, and those on times turn when the times do."""
    found = {finding.title: each for finding, each in judged(record.rows)}
    assert all(found.values())
    slower = [
        dataclasses.replace(row, seconds=[100 * value for value in row.seconds])
        if row.variant in ("scan kernel", "native", "scan, shard_map", "scan", "native, bfloat16")
        else row
        for row in record.rows
    ]
    turned = {finding.title: each for finding, each in judged(slower)}
    for title in (
        "Compile the whole loop, not its body",
        "Spread rows with `shard_map`, not by sharding the inputs alone",
    ):
        after = turned[title]
        assert after is not None
        assert not after.holds
    assert not any(each for _, each in judged([]))
    without = {finding.title: each for finding, each in judged([dataclasses.replace(r, loops=[]) for r in record.rows])}
    assert without["`unroll=k` does not pay on CPU"] is None


def test_tables_and_pictures(record: records.Record) -> None:
    text = markdown(record)
    assert all(finding.title in text for finding in FINDINGS)
    console = Console(width=160)
    with console.capture() as printed:
        print_tables(console, record)
    assert "scan over layers" in printed.get()
    assert drawn(record) == list(PICTURES)
    assert draw("jit-steps.png", record.rows).startswith(b"\x89PNG")
    assert {row.sweep for row in record.rows} == set(SWEEPS)
