"""`python -m benchmarks frameworks`: the run, its record, the check that repeats it, and the page. No times."""

import contextlib
import dataclasses
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

torch = pytest.importorskip("torch")

from benchmarks import check, memory  # noqa: E402
from benchmarks import record as records  # noqa: E402
from benchmarks import timed as timed_module  # noqa: E402
from benchmarks.__main__ import main  # noqa: E402
from benchmarks.cases import CASES, Case, Problem  # noqa: E402
from benchmarks.check import NO, SAME, WINNER, Verdict, again, judged, print_verdicts  # noqa: E402
from benchmarks.comparison import compare  # noqa: E402
from benchmarks.contenders import BASELINE, CONTENDERS  # noqa: E402
from benchmarks.contenders.base import BACKWARD, FORWARD, STREAMING, TRAINING, Contender, Runner  # noqa: E402
from benchmarks.frameworks import Frameworks  # noqa: E402
from benchmarks.frameworks_report import LATE, details, facts, markdown, print_tables, summary  # noqa: E402
from benchmarks.gate import lineup  # noqa: E402
from benchmarks.measures import COMPILE, MEASURES, MEMORY, SECTION  # noqa: E402
from benchmarks.record import Record  # noqa: E402
from benchmarks.sampling import Plan, Timed, bootstrap, sample  # noqa: E402
from benchmarks.setting import FULL_COMPARISON, QUICK_COMPARISON, Comparison  # noqa: E402
from jax_lstm.checks import InputError  # noqa: E402

ROOT = Path(__file__).parents[2]
RECORD = ROOT / "benchmarks" / "records" / "frameworks.json"
PAGE = ROOT / "docs" / "frameworks.md"
BRIEF = Plan(budget=0.0, least=2, sample=0.0)
TINY = {"tiny": Case(3, 4, 5, 6), "fed": Case(1, 3, 4, 5, streamed=True)}


def _wrong(problem: Problem) -> Runner:
    works = CONTENDERS[BASELINE].build(problem)
    off = {name: 2 * value for name, value in works[FORWARD].results().items()}
    return works | {FORWARD: works[FORWARD]._replace(results=lambda: off)}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Record, Path]:
    """A run of all measures, as small as it can be."""
    path = tmp_path_factory.mktemp("records") / "run" / "frameworks.json"
    names = (BASELINE, "scan", "torch compile", "cudnn", "onnxruntime")
    contenders = {name: CONTENDERS[name] for name in names} | {"wrong": Contender(_wrong, "twice as much")}
    contenders["slow"] = Contender(_wrong, "", slow=99.0)
    setting = Comparison(600.0, BRIEF, {MEMORY: ()}, {}, TINY, contenders)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(timed_module, "PEAK_SIZE", 64)
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("XLA_DUMP", "/some/where")
        return compare(setting, "python -m benchmarks frameworks", path, Console(quiet=True)), path


def row_of(record: Record, case: str, measure: str) -> Timed:
    row = record.row(SECTION, case, measure)
    assert row is not None
    return row


def test_rows(made: tuple[Record, Path]) -> None:
    record, path = made
    assert records.read(path, "frameworks") == record
    assert [(row.case, row.measure) for row in record.of(SECTION)] == [
        ("tiny", FORWARD), ("tiny", BACKWARD), ("tiny", TRAINING), ("tiny", COMPILE), ("fed", STREAMING)
    ]  # fmt: skip
    assert record.peak > 0
    assert record.absent["cudnn"].startswith("it needs a gpu")
    forward = row_of(record, "tiny", FORWARD)
    assert forward.failed.keys() == {"wrong"}
    assert forward.not_offered["slow"].startswith("takes about 99 s to compile")
    assert {"torch", "scan", "torch compile"} <= forward.seconds.keys()
    assert "wrong" in row_of(record, "tiny", BACKWARD).seconds
    compiled = row_of(record, "tiny", COMPILE)
    assert list(compiled.parts["scan"]) == ["trace", "lower", "compile", "first call"]
    assert list(compiled.parts["torch"]) == ["first call"]
    stages = compiled.parts["scan"].values()
    assert compiled.seconds["scan"] == [sum(turn) for turn in zip(*stages, strict=True)]
    fed = row_of(record, "fed", STREAMING)
    assert all(count % 3 == 0 for count in fed.calls.values())
    assert fed.flops == TINY["fed"].flops / 3


@pytest.mark.skipif(bool(CONTENDERS["onnxruntime"].absent()), reason="not installed")
def test_one_that_does_not_train_says_so(made: tuple[Record, Path]) -> None:
    record, _ = made
    assert "onnxruntime" in row_of(record, "tiny", FORWARD).seconds
    assert "onnxruntime" in row_of(record, "fed", STREAMING).seconds
    assert row_of(record, "tiny", TRAINING).not_offered["onnxruntime"] == "it runs models and does not train"


def test_what_was_compiled_is_counted_and_not_believed(made: tuple[Record, Path]) -> None:
    """PyTorch breaks the graph at its LSTM. If this fails, it no longer does: mend docs/frameworks.md."""
    record, _ = made
    assert row_of(record, "tiny", BACKWARD).notes["torch compile"] == "nothing compiled: runs eagerly"


def test_the_record_knows_its_machine(made: tuple[Record, Path]) -> None:
    environment = made[0].environment
    assert environment["variables"]["OMP_NUM_THREADS"] == "1"
    assert "XLA_DUMP" not in environment["variables"]  # a path
    assert isinstance(environment["simd"], list)
    assert environment["packages"]["torch"]


def test_tables(made: tuple[Record, Path]) -> None:
    record, _ = made
    text = markdown(record)
    for part in (
        "failed: outputs: off by",
        "not offered: takes about 99 s",
        "**tiny (3,4,5,6): forward**",
        "| cudnn |",
    ):
        assert (part in text) is (part != "| cudnn |"), part
    assert "nothing compiled: runs eagerly" in text
    assert summary(record).rows
    console = Console(width=120)
    with console.capture() as printed:
        print_tables(console, record)
    assert "geometric mean" in printed.get()
    assert max(map(len, printed.get().splitlines())) <= 120


def test_when_the_time_is_up_the_rest_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timed_module, "PEAK_SIZE", 64)
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
    assert {row for row in quick if row[1] != MEMORY} <= set(full)
    assert [row for row in full if row[0] == "streaming"] == [("streaming", STREAMING)]
    assert ("largest", TRAINING) not in full
    assert "torch compile cell" in FULL_COMPARISON.barred("largest", FORWARD)
    assert not FULL_COMPARISON.barred("tutorial", FORWARD)
    named = Frameworks(case=("largest",), measure=(TRAINING,), contender=("scan",))._setting()
    assert named.rows() == [("largest", TRAINING)]
    assert list(named.contenders) == [BASELINE, "scan"]
    assert not named.barred("largest", TRAINING)


def test_intervals() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(2.0, 0.1, 25).tolist()
    low, high = bootstrap(values)
    assert min(values) < low < np.median(values) < high < max(values)
    assert bootstrap([3.0, 3.0]) == (3.0, 3.0)
    covered = [bootstrap(rng.normal(2.0, 0.1, 15).tolist()) for _ in range(60)]
    assert 50 <= sum(low <= 2.0 <= high for low, high in covered) < 60 + 1


def test_doubt() -> None:
    steady, base = [1.0, 1.01, 0.99, 1.0, 1.0], [2.0, 2.0, 2.02, 2.0, 2.01]
    seconds = {
        "torch": base,
        "twice": steady,
        "even": [2.1, 1.9, 2.0, 2.1, 1.9],
        "wild": [0.2, 1.0, 0.5, 1.5, 0.1],
        "once": [1.0],
    }
    row = Timed("frameworks", "c", FORWARD, "torch", seconds)
    assert [row.doubt(name) for name in ("torch", "twice", "even", "wild")] == ["", "", "undecided", "unsteady"]
    assert row.interval("absent") is None
    assert Timed("frameworks", "c", COMPILE, "", seconds).doubt("twice") == ""
    table = details(row, peak=0.0)
    assert [cells[-1] for cells in table.rows][1:4] == ["", "undecided", "unsteady"]


def test_long_calls_have_no_untimed_one_before_them() -> None:
    counts = {"long": 0, "short": 0}

    def call(name: str) -> Any:
        def run() -> None:
            counts[name] += 1
            if name == "long":
                time.sleep(0.03)

        return run

    seconds, _ = sample({name: call(name) for name in counts}, BRIEF._replace(settled=0.02, sample=0.0))
    assert {name: len(values) for name, values in seconds.items()} == {"long": 2, "short": 2}
    assert counts["long"] == 1 + 3 + 2  # the first, three to see how long it lasts, and the samples


def verdict(then: tuple[float, float], now: tuple[float, float] | None, reason: str = "") -> Verdict:
    middle = lambda pair: (sum(pair) / 2, pair)  # noqa: E731
    return Verdict("c", FORWARD, "x", middle(then), middle(now) if now else None, reason)


@pytest.mark.parametrize(
    ("then", "now", "text"),
    [
        ((1.9, 2.1), (2.0, 2.4), SAME),
        ((1.9, 2.1), (1.2, 1.4), WINNER),
        ((0.4, 0.5), (0.7, 0.8), WINNER),
        ((1.9, 2.1), (0.8, 0.9), NO),
        ((1.9, 2.1), (0.9, 1.1), NO),
        ((0.9, 1.1), (1.2, 1.3), NO),
    ],
)
def test_verdicts(then: tuple[float, float], now: tuple[float, float], text: str) -> None:
    assert verdict(then, now).text == text
    assert verdict(then, now).broken is (text == NO)


def test_what_is_gone_is_not_broken_and_what_fails_is() -> None:
    assert not verdict((1.9, 2.1), None, "absent: not installed").broken
    assert verdict((1.9, 2.1), None, "failed: outputs: off").broken


def _ratios(ratio: float, **failed: str) -> Record:
    """A record of the case "tutorial" in which `scan` is `ratio` times as fast."""
    seconds = {BASELINE: [1.0, 1.01, 0.99], "scan": [1 / ratio, 1.01 / ratio, 1.0 / ratio]}
    seconds = {name: values for name, values in seconds.items() if name not in failed}
    row = Timed(SECTION, "tutorial", FORWARD, BASELINE, seconds, failed=failed, shape=CASES["tutorial"].shape)
    other = Timed(SECTION, "tutorial", MEMORY, "", {}, memory={"scan": 1}, shape=CASES["tutorial"].shape)
    return dataclasses.replace(records.begin("frameworks", "", {}), rows=[row, other])


def test_a_check_repeats_what_was_recorded() -> None:
    setting = again(_ratios(2.0))
    assert setting.rows() == [("tutorial", FORWARD)]
    assert list(setting.contenders) == [BASELINE, "scan"]
    (same,), (slower,), (gone,) = (
        judged(_ratios(2.0), now) for now in (_ratios(2.0), _ratios(0.5), _ratios(2.0, scan="outputs: off"))
    )
    assert (same.text, slower.text, gone.text) == (SAME, NO, "failed: outputs: off")
    console = Console(width=120)
    with console.capture() as printed:
        print_verdicts(console, _ratios(2.0), _ratios(2.0), [same, slower, gone])
    assert "1 of 3 ratios hold" in printed.get()


def test_a_check_of_other_cases_is_refused() -> None:
    record = _ratios(2.0)
    rows = [dataclasses.replace(row, shape="1,2,3,4") for row in record.rows]
    with pytest.raises(InputError, match=r"--check.*tutorial"):
        again(dataclasses.replace(record, rows=rows))
    with pytest.raises(InputError, match=r"--check.*without any"):
        again(dataclasses.replace(record, rows=[]))


@pytest.mark.parametrize(("ratio", "status"), [(1e-9, 1), (None, 0)])
def test_the_command_checks(ratio: float | None, status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against a ratio that no machine has, and against what it has itself just measured."""
    monkeypatch.setattr(timed_module, "PEAK_SIZE", 64)
    monkeypatch.setattr(check, "LIGHTER", 0.0)
    path, out = tmp_path / "recorded.json", ["--out", str(tmp_path / "now.json")]
    recorded = _ratios(ratio or 1.0)
    if ratio is None:  # so wide that it holds wherever it is measured
        wide = dataclasses.replace(recorded.rows[0], seconds={BASELINE: [1e-9, 1.0, 1e9], "scan": [1.0, 1.0, 1.0]})
        recorded = dataclasses.replace(recorded, rows=[wide])
    records.write(recorded, path)
    assert main(["frameworks", "--check", str(path), *out]) == status
    assert json.loads((tmp_path / "now.json").read_text())["study"] == "frameworks"


def test_a_check_says_what_differs_about_the_machine() -> None:
    recorded = _ratios(2.0)
    other = dataclasses.replace(recorded, threads=7, environment=recorded.environment | {"cpu": "another"})
    found = check.differences(other, recorded)
    assert found == [("the CPU", "another", recorded.environment["cpu"]), ("threads", "7", str(recorded.threads))]


@pytest.mark.parametrize(
    ("seconds", "message"),
    [
        ({"torch": [1.0, 2.0], "scan": [1.0]}, "'scan' has other rounds than 'torch'"),
        ({"torch": [1.0], "scan": [0.0]}, "the samples of 'scan' are no seconds above 0"),
        ({"torch": [1.0], "scan": "fast"}, "the samples of 'scan' are no seconds above 0"),
    ],
)
def test_samples_of_a_record_are_seconds(seconds: dict[str, list[float]], message: str, tmp_path: Path) -> None:
    record = _ratios(2.0)
    records.write(
        dataclasses.replace(record, rows=[dataclasses.replace(record.rows[0], seconds=seconds)]), tmp_path / "a"
    )
    with pytest.raises(InputError, match=message):
        records.read(tmp_path / "a", "frameworks")


def test_compile_times_are_taken_without_caches(monkeypatch: pytest.MonkeyPatch) -> None:
    cleared: list[bool] = []

    @contextlib.contextmanager
    def counted() -> Iterator[None]:
        cleared.append(True)
        yield

    monkeypatch.setattr("benchmarks.measures.without_caches", counted)
    case = TINY["tiny"]
    lineup_of = lineup({name: CONTENDERS[name] for name in (BASELINE, "scan")}, case)
    row = MEASURES[COMPILE].row("tiny", lineup_of, BRIEF)
    assert len(cleared) == sum(map(len, row.seconds.values())) > 0


def test_a_mean_of_doubtful_ratios_is_marked() -> None:
    wild = Timed("frameworks", "c", FORWARD, "torch", {"torch": [1.0] * 5, "scan": [0.2, 1.0, 0.5, 1.5, 0.1]})
    record = dataclasses.replace(_ratios(2.0), rows=[wild])
    assert {row[0]: row[1] for row in summary(record).rows}["scan"].startswith("~")


def test_pytorch_is_held_against_itself() -> None:
    twins = Timed("frameworks", "c", FORWARD, "torch", {"torch": [3.0] * 3, "torch compile": [2.0] * 3})
    record = dataclasses.replace(_ratios(2.0), rows=[twins])
    assert "is 1.50 to 1.50 times as fast (1 rows)" in facts(record)["Control"]


def test_memory_is_measured_in_a_process_of_its_own() -> None:
    """More than two of the arrays that gradients keep, and less than sixty; the process alone is larger than those."""
    array = 4 * 64 * 256 * 64
    found, failed = memory.peak_bytes(Case(64, 256, 32, 64), ["scan", BASELINE], TRAINING)
    assert not failed
    assert all(2 * array < found[name] < 60 * array for name in ("scan", BASELINE)), found


def test_a_process_that_fails_is_named() -> None:
    found, failed = memory.peak_bytes(Case(1, 2, 3, 4), ["nobody"], TRAINING)
    assert found == {}
    assert failed == {"nobody": "KeyError: 'nobody'"}


def test_the_readme_shows_the_record() -> None:
    rows = {name: cells for name, *cells in summary(records.read(RECORD, "frameworks")).rows}
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = re.findall(r"^\| ([a-z ]+), \w[^|]* \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", readme, re.MULTILINE)
    assert len(shown) >= 6
    for name, *cells in shown:
        assert cells == [cell.split(" ")[0] for cell in rows[name][:3]]
