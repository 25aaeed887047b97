"""Samples and what is computed from them: seconds of a step, ratios within rounds, doubt."""

import collections
import time

import pytest

from benchmarks import sampling
from benchmarks.sampling import Plan, Timed, sample


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


def test_ratios_are_taken_within_rounds() -> None:
    row = Timed("layers", "c", "forward", "torch", {"torch": [2.0, 4.0, 60.0], "x": [1.0, 2.0, 10.0]}, flops=4e9)
    ratio = row.ratio("x")
    assert ratio is not None
    assert ratio.median == row.best_ratio("x") == row.gflops("x") == 2.0
    assert row.ratio("y") is row.best_ratio("y") is row.interval("y") is None


def test_doubt() -> None:
    seconds = {
        "torch": [2.0, 2.0, 2.02, 2.0, 2.01],
        "twice": [1.0, 1.01, 0.99, 1.0, 1.0],
        "even": [2.1, 1.9, 2.0, 2.1, 1.9],
        "wild": [0.2, 1.0, 0.5, 1.5, 0.1],
    }
    row = Timed("frameworks", "c", "forward", "torch", seconds)
    assert row.interval("even") == pytest.approx((0.95, 2 / 1.9), rel=0.02)
    assert [row.doubt(name) for name in seconds] == ["", "", "undecided", "unsteady"]
