"""`python -m benchmarks frameworks`: the run, its record, the check that repeats it, and the page. No times."""

import contextlib
import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from benchmarks import check, memory
from benchmarks import record as records
from benchmarks import timed as timed_module
from benchmarks.__main__ import main
from benchmarks.core.cases import CASES, Case, Problem
from benchmarks.check import NO, SAME, WINNER, Verdict, again, judged, print_verdicts
from benchmarks.comparison import compare
from benchmarks.core.contenders import BASELINE, CONTENDERS
from benchmarks.core.contenders.base import BACKWARD, FORWARD, STREAMING, TRAINING, Contender, Runner
from benchmarks.frameworks import Frameworks
from benchmarks.frameworks_report import LATE, facts, markdown, summary
from benchmarks.measures import COMPILE, MEASURES, MEMORY, SECTION
from benchmarks.record import ROOT, Record
from benchmarks.sampling import Plan, Timed
from benchmarks.setting import FULL_COMPARISON, QUICK_COMPARISON, Comparison
from jax_lstm.checks import InputError

BRIEF = Plan(budget=0.0, least=2, sample=0.0)
TINY = {"tiny": Case(3, 4, 5, 6), "fed": Case(1, 3, 4, 5, streamed=True)}


@pytest.fixture(scope="module", autouse=True)
def small_peak() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(timed_module, "PEAK_SIZE", 64)
        yield


def wrong(problem: Problem) -> Runner:
    """PyTorch's, with outputs twice as large."""
    works = CONTENDERS[BASELINE].build(problem)
    off = {name: 2 * value for name, value in works[FORWARD].results().items()}
    return works | {FORWARD: works[FORWARD]._replace(results=lambda: off)}


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """All measures, as small as they can be; who is wrong is shown and not timed."""
    cleared: list[bool] = []

    @contextlib.contextmanager
    def counted() -> Iterator[None]:
        cleared.append(True)
        yield

    names = (BASELINE, "scan", "torch compile", "cudnn", "onnxruntime")
    contenders = {name: CONTENDERS[name] for name in names} | {"wrong": Contender(wrong, "twice as much")}
    contenders["slow"] = Contender(wrong, "", slow=99.0)
    setting = Comparison(600.0, BRIEF, {MEMORY: ()}, {}, TINY, contenders)
    monkeypatch.setattr("benchmarks.frameworks.QUICK_COMPARISON", setting)
    monkeypatch.setattr("benchmarks.measures.without_caches", counted)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("XLA_DUMP", "/some/where")
    path = tmp_path / "run" / "frameworks.json"
    assert main(["frameworks", "--quick", "--out", str(path)]) == 1
    record = records.read(path, "frameworks")

    rows = {(row.case, row.measure): row for row in record.of(SECTION)}
    forward, backward, training, compiled, fed = rows.values()
    assert list(rows) == [
        ("tiny", FORWARD), ("tiny", BACKWARD), ("tiny", TRAINING), ("tiny", COMPILE), ("fed", STREAMING)
    ]  # fmt: skip
    assert record.peak > 0
    assert record.absent["cudnn"].startswith("it needs a gpu: pip install")
    assert forward.failed.keys() == {"wrong"}
    assert forward.not_offered["slow"].startswith("takes about 99 s to compile")
    assert {"torch", "scan", "torch compile"} <= forward.seconds.keys()
    assert "wrong" not in forward.seconds
    assert "wrong" in backward.seconds
    assert list(compiled.parts["scan"]) == ["trace", "lower", "compile", "first call"]
    assert list(compiled.parts["torch"]) == ["first call"]
    stages = compiled.parts["scan"].values()
    assert compiled.seconds["scan"] == [sum(turn) for turn in zip(*stages, strict=True)]
    assert len(cleared) == sum(map(len, compiled.seconds.values())) > 0
    assert all(count % 3 == 0 for count in fed.calls.values())
    assert fed.flops == TINY["fed"].flops / 3
    if "onnxruntime" not in record.absent:
        assert "onnxruntime" in forward.seconds.keys() & fed.seconds.keys()
        assert training.not_offered["onnxruntime"] == "it runs models and does not train"

    assert record.environment["variables"]["OMP_NUM_THREADS"] == "1"
    assert "XLA_DUMP" not in record.environment["variables"]  # a path
    assert record.environment["packages"]["torch"]
    printed, text = capsys.readouterr().out, markdown(record)
    assert "geometric mean" in printed
    assert max(len(line) for line in printed.splitlines() if "record:" not in line) <= 120
    for part in (
        "failed: outputs: off by", "not offered: takes about 99 s", "**tiny (3,4,5,6): forward**",
        "nothing compiled: runs eagerly",
    ):  # fmt: skip
        assert part in text, part
    assert "| cudnn |" not in text


def test_when_the_time_is_up_the_rest_is_left_out(tmp_path: Path) -> None:
    contenders = {name: CONTENDERS[name] for name in (BASELINE, "scan")}
    setting = Comparison(0.0, BRIEF, {}, {}, TINY, contenders)
    record = compare(setting, "", tmp_path / "a.json", Console(quiet=True))
    assert len(record.of(SECTION)) == len(setting.rows())
    assert all(row.not_offered == dict.fromkeys(contenders, LATE) for row in record.of(SECTION))
    assert facts(record)["Left out"].startswith("for want of time: tiny, forward; ")
    assert LATE not in markdown(record)


def test_settings() -> None:
    full, quick = FULL_COMPARISON.rows(), QUICK_COMPARISON.rows()
    assert {measure for _, measure in full} == {measure for _, measure in quick} == set(MEASURES)
    assert {case for case, _ in full} == set(CASES)
    assert [row for row in full if row[0] == "streaming"] == [("streaming", STREAMING)]
    assert "torch compile cell" in FULL_COMPARISON.barred("largest", FORWARD)
    named = Frameworks(case=("largest",), measure=(TRAINING,), contender=("scan",))._setting()
    assert named.rows() == [("largest", TRAINING)]  # which the full setting leaves out
    assert list(named.contenders) == [BASELINE, "scan"]
    assert not named.barred("largest", TRAINING)


# Records made by hand, and the check


def made_by_hand(ratio: float, **failed: str) -> Record:
    """A record of the case "tutorial" in which `scan` is `ratio` times as fast."""
    seconds = {BASELINE: [1.0, 1.01, 0.99], "scan": [1 / ratio, 1.01 / ratio, 1.0 / ratio]}
    seconds = {name: values for name, values in seconds.items() if name not in failed}
    row = Timed(SECTION, "tutorial", FORWARD, BASELINE, seconds, failed=failed, shape=CASES["tutorial"].shape)
    other = Timed(SECTION, "tutorial", MEMORY, "", {}, memory={"scan": 1}, shape=CASES["tutorial"].shape)
    return dataclasses.replace(records.begin("frameworks", "", {}), rows=[row, other])


def test_doubtful_means_are_marked_and_pytorch_is_held_against_itself() -> None:
    seconds = {"torch": [3.0] * 5, "torch compile": [2.0] * 5, "scan": [0.6, 3.0, 1.5, 4.5, 0.3]}
    record = dataclasses.replace(made_by_hand(2.0), rows=[Timed(SECTION, "c", FORWARD, "torch", seconds)])
    means = {row[0]: row[1] for row in summary(record).rows}
    assert means == {"scan": "~2.00 (1)", "torch compile": "1.50 (1)"}
    assert "is 1.50 to 1.50 times as fast (1 rows)" in facts(record)["Control"]
    assert "| undecided |" in markdown(record)


@pytest.mark.parametrize(
    ("then", "now", "text", "broken"),
    [
        ((1.9, 2.1), (2.0, 2.4), SAME, False),
        ((1.9, 2.1), (1.2, 1.4), WINNER, False),
        ((0.4, 0.5), (0.7, 0.8), WINNER, False),
        ((1.9, 2.1), (0.8, 0.9), NO, True),
        ((1.9, 2.1), (0.9, 1.1), NO, True),
        ((0.9, 1.1), (1.2, 1.3), NO, True),
        ((1.9, 2.1), None, "absent: not installed", False),
        ((1.9, 2.1), None, "failed: outputs: off", True),
    ],
)
def test_verdicts(then: tuple[float, float], now: tuple[float, float] | None, text: str, broken: bool) -> None:
    verdict = Verdict("c", FORWARD, "x", (sum(then) / 2, then), now and (sum(now) / 2, now), "" if now else text)
    assert (verdict.text, verdict.broken) == (text, broken)


def test_a_check_repeats_what_was_recorded() -> None:
    recorded = made_by_hand(2.0)
    setting = again(recorded)
    assert setting.rows() == [("tutorial", FORWARD)]
    assert list(setting.contenders) == [BASELINE, "scan"]
    now = (recorded, made_by_hand(0.5), made_by_hand(2.0, scan="outputs: off"))
    verdicts = [verdict for each in now for verdict in judged(recorded, each)]
    assert [verdict.text for verdict in verdicts] == [SAME, NO, "failed: outputs: off"]
    other = dataclasses.replace(recorded, threads=7, environment=recorded.environment | {"cpu": "another"})
    console = Console(width=120)
    with console.capture() as printed:
        print_verdicts(console, other, recorded, verdicts)
    assert "1 of 3 ratios hold" in printed.get()
    assert "recorded with the CPU another; here it is" in printed.get()
    assert "recorded with threads 7; here it is" in printed.get()


def test_a_check_of_other_cases_is_refused() -> None:
    record = made_by_hand(2.0)
    rows = [dataclasses.replace(row, shape="1,2,3,4") for row in record.rows]
    with pytest.raises(InputError, match=r"--check.*tutorial"):
        again(dataclasses.replace(record, rows=rows))
    with pytest.raises(InputError, match=r"--check.*without any"):
        again(dataclasses.replace(record, rows=[]))


@pytest.mark.parametrize(("wide", "status"), [(False, 1), (True, 0)])
def test_the_command_checks(wide: bool, status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against a ratio that no machine has, and against one so wide that it holds on any."""
    monkeypatch.setattr(check, "LIGHTER", 0.0)
    recorded, path = made_by_hand(1e-9), tmp_path / "recorded.json"
    if wide:
        recorded.rows[0].seconds.update({BASELINE: [1e-9, 1.0, 1e9], "scan": [1.0, 1.0, 1.0]})
    records.write(recorded, path)
    assert main(["frameworks", "--check", str(path), "--out", str(tmp_path / "now.json")]) == status
    assert records.read(tmp_path / "now.json", "frameworks").of(SECTION)[0].seconds.keys() == {BASELINE, "scan"}


@pytest.mark.parametrize(
    ("seconds", "message"),
    [
        ({"torch": [1.0, 2.0], "scan": [1.0]}, "'scan' has other rounds than 'torch'"),
        ({"torch": [1.0], "scan": [0.0]}, "the samples of 'scan' are no seconds above 0"),
        ({"torch": [1.0], "scan": "fast"}, "the samples of 'scan' are no seconds above 0"),
    ],
)
def test_samples_of_a_record_are_seconds(seconds: dict[str, Any], message: str, tmp_path: Path) -> None:
    record = made_by_hand(2.0)
    record.rows[0] = dataclasses.replace(record.rows[0], seconds=seconds)
    records.write(record, tmp_path / "a")
    with pytest.raises(InputError, match=message):
        records.read(tmp_path / "a", "frameworks")


def test_memory_is_measured_in_a_process_of_its_own() -> None:
    """More than two of the arrays that gradients keep, and less than sixty; the process alone is larger than those."""
    array = 4 * 64 * 256 * 64
    found, failed = memory.peak_bytes(Case(64, 256, 32, 64), ["scan", BASELINE, "nobody"], TRAINING)
    assert failed == {"nobody": "KeyError: 'nobody'"}
    assert all(2 * array < found[name] < 60 * array for name in ("scan", BASELINE)), found


def test_the_readme_shows_the_record() -> None:
    record = records.read(ROOT / "benchmarks" / "records" / "frameworks.json", "frameworks")
    rows = {name: cells for name, *cells in summary(record).rows}
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = re.findall(r"^\| ([a-z ]+), \w[^|]* \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", readme, re.MULTILINE)
    assert len(shown) >= 6
    for name, *cells in shown:
        assert cells == [cell.split(" ")[0] for cell in rows[name][:3]]
