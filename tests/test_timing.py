"""Timing: turns are taken as promised, and the summary is one of quantiles."""

import itertools

import pytest

from jax_lstm import timing
from jax_lstm.timing import interleaved, summary


def test_contenders_take_turns_each_warm() -> None:
    calls: list[str] = []
    seconds = interleaved({name: lambda name=name: calls.append(name) for name in "ab"}, samples=3)
    assert [calls[at] for at in range(0, 12, 2)] == [calls[at] for at in range(1, 12, 2)]
    assert all(set(calls[at : at + 4]) == {"a", "b"} for at in (0, 4, 8))
    assert {name: len(samples) for name, samples in seconds.items()} == {"a": 3, "b": 3}


def test_nobody_always_follows_the_same_one() -> None:
    calls: list[str] = []
    interleaved({name: lambda name=name: calls.append(name) for name in "abcd"}, samples=20, settled="abcd")
    followed = {pair for pair in itertools.pairwise(calls) if pair[0] != pair[1]}
    assert len(followed) == 12


class Clock:
    """In place of the module `time`: a thread spins until `busy_until` seconds, on a machine that nobody else uses."""

    def __init__(self, busy_until: float) -> None:
        self.now, self.busy_until = 0.0, busy_until

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def perf_counter(self) -> float:
        return self.now

    def process_time(self) -> float:
        return min(self.now, self.busy_until)


@pytest.mark.parametrize(("busy_until", "rested"), [(0.0, (0.02, 0.03)), (0.15, (0.15, 0.17)), (60.0, (0.5, 0.6))])
def test_a_sample_waits_until_no_thread_spins(
    busy_until: float, rested: tuple[float, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As ONNX Runtime's do after a call; for at most half a second."""
    clock = Clock(busy_until)
    monkeypatch.setattr(timing, "time", clock)
    timing.rest()
    assert rested[0] <= clock.now <= rested[1]


def test_those_that_are_settled_run_once() -> None:
    calls: list[str] = []
    interleaved({name: lambda name=name: calls.append(name) for name in "ab"}, samples=2, settled={"a"})
    assert (calls.count("a"), calls.count("b")) == (2, 4)


def test_summary() -> None:
    middle = summary([5.0, 1.0, 2.0, 3.0, 4.0])
    assert (middle.low, middle.median, middle.high) == (2, 3, 4)
