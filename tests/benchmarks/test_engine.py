"""`python -m benchmarks engine`: a run of all sections, its record, its tables and its goals. No times."""

import dataclasses
from pathlib import Path

import pytest

from benchmarks import record as records
from benchmarks import streaming, timed, training
from benchmarks.__main__ import main
from benchmarks.core.cases import ENGINE_CASES, Case, Problem
from benchmarks.core.contenders import BASELINE, CONTENDERS
from benchmarks.core.contenders.base import FORWARD, Contender, Runner
from benchmarks.engine_tables import markdown
from benchmarks.goals import GOALS, judged
from benchmarks.sampling import Plan, Timed
from benchmarks.sections import SECTIONS
from benchmarks.setting import Setting


def wrong(problem: Problem) -> Runner:
    """PyTorch's, with outputs twice as large."""
    works = CONTENDERS[BASELINE].build(problem)
    off = {name: 2 * value for name, value in works[FORWARD].results().items()}
    return works | {FORWARD: works[FORWARD]._replace(results=lambda: off)}


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """All sections, as small as they can be; who is wrong is shown and not timed."""
    contenders = {name: CONTENDERS[name] for name in (BASELINE, "scan", "native")} | {"wrong": Contender(wrong, "")}
    plan, large = Plan(budget=0.0, least=2, sample=0.0), Case(1, 2, 3, 256)
    setting = Setting(plan, {"large": large}, contenders, long=Case(2, 25, 3, 4), lengths=(2, 4), sides=((1, 4),))
    monkeypatch.setattr("benchmarks.engine.QUICK", setting)
    monkeypatch.setattr(training, "STEPS", 3)
    monkeypatch.setattr(streaming, "CASE", Case(1, 3, 4, 5, streamed=True))
    monkeypatch.setattr(timed, "PEAK_SIZE", 64)
    assert main(["engine", "--quick", "--out", str(tmp_path / "run" / "engine.json")]) == 1
    record = records.read(tmp_path / "run" / "engine.json")
    assert {row.section for row in record.rows} == set(SECTIONS)
    assert record.goals == judged(record)
    assert record.peak > 0
    remat = record.of("remat")[0]
    assert remat.seconds.keys() == remat.memory.keys() == {"keep all", "gates", "chunks"}
    assert not any(row.failed.keys() - {"wrong"} for row in record.rows)
    forward, backward = record.of("layers")
    assert forward.seconds.keys() == {BASELINE, "scan", "native"}
    assert backward.seconds.keys() == {BASELINE, "scan", "native", "wrong"}
    assert "geometric mean" in capsys.readouterr().out
    text = markdown(record)
    assert "wrong (large, forward): outputs: off by 1.0e+00, more than 5e-06" in text
    assert "| failed |" in text
    assert all(goal.text in text for goal in GOALS)


@pytest.mark.parametrize(("native", "met"), [(1.0, True), (1.2, False)])
def test_goals_are_judged_when_all_cases_are_there(native: float, met: bool) -> None:
    seconds = {BASELINE: [2.0], "native": [native], "keras": [3.0]}
    row = Timed("layers", "", "", BASELINE, seconds, flops=1e9)
    for cases, judgement in ((list(ENGINE_CASES), met), (["tutorial"], None)):
        measures = ("forward", "forward+backward")
        rows = [dataclasses.replace(row, case=case, measure=measure) for case in cases for measure in measures]
        record = dataclasses.replace(records.begin("engine", "", {}), rows=rows)
        found = {goal["goal"]: goal for goal in judged(record) if goal["kernel"] == "native"}
        assert found["speed over PyTorch in forward+backward, mean"]["reached"] == pytest.approx(2.0 / native)
        assert found["speed over PyTorch in forward+backward, mean"]["met"] is judgement
        assert found["speed over the best other JAX LSTM, mean"]["reached"] == pytest.approx(3.0 / native)
        assert found["streaming step over that of nn.LSTM"]["met"] is None
