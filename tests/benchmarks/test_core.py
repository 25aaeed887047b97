"""Samples, ratios and records: seconds of a step, ratios within rounds, doubt, and a reader that says what is wrong."""

import collections
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from benchmarks.core import sampling
from benchmarks.core.record import FAILED, RECORDS, ROOT, Recorder, Row, begin, read, write
from benchmarks.core.sampling import Plan, mean_ratio, ratio, sample
from jax_lstm.checks import InputError


def test_short_calls_are_repeated_and_long_ones_have_no_untimed_one_before_them() -> None:
    counts = collections.Counter[str]()

    def long() -> None:
        counts["long"] += 1
        time.sleep(0.03)

    plan = Plan(budget=0.0, least=3, sample=1e-4, settled=0.02)
    seconds, calls = sample({"long": long, "short": lambda: counts.update(["short"])}, plan, steps=5)
    assert {name: len(values) for name, values in seconds.items()} == {"long": 3, "short": 3}
    assert calls["long"] == 5
    assert calls["short"] % 5 == 0
    assert 5 < calls["short"] < counts["short"]
    assert counts["long"] == 1 + 3 + 3  # the first, three to see how long it lasts, and the samples
    assert sample({}, Plan()) == ({}, {})


def test_seconds_are_those_of_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sample is some calls of so many steps each."""
    monkeypatch.setattr(sampling, "_duration", lambda turn: 0.002)
    monkeypatch.setattr(sampling, "interleaved", lambda turns, rounds, settled: dict.fromkeys(turns, [12.0] * rounds))
    seconds, calls = sample({"a": lambda: None}, Plan(budget=0.0, least=2, sample=0.008), steps=256)
    assert calls == {"a": 4 * 256}
    assert seconds == {"a": [12.0 / (4 * 256)] * 2}


def test_ratios_are_taken_within_rounds_and_say_if_they_are_in_doubt() -> None:
    assert ratio((2.0, 4.0, 60.0), (1.0, 2.0, 10.0)).median == 2.0
    torch = (2.0, 2.0, 2.02, 2.0, 2.01)
    twice, even = ratio(torch, (1.0, 1.01, 0.99, 1.0, 1.0)), ratio(torch, (2.1, 1.9, 2.0, 2.1, 1.9))
    wild, slow = ratio(torch, (0.2, 1.0, 0.5, 1.5, 0.1)), ratio(torch, (4.0, 4.1, 4.2, 4.0, 4.0))
    assert [each.doubt for each in (twice, even, wild, slow)] == ["", "undecided", "unsteady", ""]
    assert [each.winner for each in (twice, even, slow)] == [1, 0, -1]
    assert (even.low, even.high) == pytest.approx((0.95, 2 / 1.9), rel=0.02)
    assert (str(twice), str(even)[0]) == ("2.00", "~")
    assert ratio((2.0,), (1.0,)).doubt == "undecided"
    mean = mean_ratio([(torch, [1.0] * 5), ((8.0,) * 3, (1.0, 1.0, 1.0))])
    assert mean.median == pytest.approx(4.0, rel=0.01)
    assert mean.low <= mean.median <= mean.high
    assert mean_ratio([(torch, (0.2, 1.0, 0.5, 1.5, 0.1))]).doubt == "unsteady"


def made(samples: Any = (1.0, 2.0), unit: str = "s") -> list[Row]:
    rows = [Row("speed", "c", "torch", "forward", "s", [1.0, 3.0], "torch")]
    return [*rows, Row("speed", "c", "x", "forward", unit, samples, "torch", about={"shape": "1,2"})]


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    recorder = Recorder(begin("speed", "python -m benchmarks speed"), tmp_path / "new" / "a.json")
    recorder.add(made([1.0, 2.0]))
    recorder.add([Row("speed", "c", "y", "forward", status=f"{FAILED}outputs: off")])
    found = read(tmp_path / "new" / "a.json", "speed")
    assert found == recorder.record
    assert found.ratio(found.rows[1]) == ratio((1.0, 3.0), (1.0, 2.0))
    assert found.row("speed", "c", "forward", "y") is None
    assert "y (c, forward): outputs: off" in found.facts["Failed"]
    assert all(line.startswith('{"part"') for line in (tmp_path / "new" / "a.json").read_text().splitlines()[-4:-1])


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (made([1.0]), "'x' has other rounds than 'torch'"),
        (made([1.0, 0.0]), "the samples of 'x' are no seconds above 0"),
        (made("fast"), "the samples of 'x' are no seconds above 0"),
    ],
)
def test_samples_of_a_record_are_seconds(rows: list[Row], message: str, tmp_path: Path) -> None:
    record = begin("speed", "")
    record.rows.extend(rows)
    write(record, tmp_path / "a")
    with pytest.raises(InputError, match=message):
        read(tmp_path / "a")


@pytest.mark.parametrize("text", [None, "[1]", '{"study": ["a"]}', '{"study": "other"}', '{"study": "jit"}'])
def test_what_is_no_record(text: str | None, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "a").write_text(text)
    with pytest.raises(InputError, match=r"No such file|not a record of `python -m benchmarks speed`"):
        read(tmp_path / "a", "speed")


def test_committed_records_have_samples_and_say_where_they_were_made() -> None:
    for path in RECORDS.glob("*.json"):
        if "agreement" in json.loads(path.read_text()):
            continue  # of `jax-lstm compare`
        record = read(path)
        assert record.rows
        assert all(row.samples or row.status for row in record.rows)
        assert re.fullmatch(r"([0-9a-f]{40}( and changes)?(, )?)+", record.commit)


@pytest.mark.parametrize("checkout", [False, True])
def test_the_installed_package_is_measured_unless_the_checkout_is_named(checkout: bool, tmp_path: Path) -> None:
    (tmp_path / "jax_lstm").mkdir()
    (tmp_path / "jax_lstm" / "__init__.py").write_text("")
    (tmp_path / "jax_lstm-9.dist-info").mkdir()
    (tmp_path / "jax_lstm-9.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: jax-lstm\nVersion: 9\n")
    path = os.pathsep.join([str(tmp_path), *[str(ROOT)] * checkout])
    code = "import benchmarks, importlib.util as u; print(u.find_spec('jax_lstm').origin)"
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True
    )
    assert ran.stdout.strip() == str((ROOT if checkout else tmp_path) / "jax_lstm" / "__init__.py"), ran.stderr
