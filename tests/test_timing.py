"""Timing: turns are taken as promised, and the summary is one of quantiles."""

import itertools
import threading
import time

from jax_lstm.timing import interleaved, rest, summary


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


def test_a_sample_waits_until_no_thread_spins() -> None:
    """As ONNX Runtime's do after a call."""
    ended: list[float] = []

    def spin() -> None:
        until = time.perf_counter() + 0.15
        while time.perf_counter() < until:
            pass
        ended.append(time.perf_counter())

    threading.Thread(target=spin).start()
    rest()
    assert ended, "it did not wait"


def test_those_that_are_settled_run_once() -> None:
    calls: list[str] = []
    interleaved({name: lambda name=name: calls.append(name) for name in "ab"}, samples=2, settled={"a"})
    assert (calls.count("a"), calls.count("b")) == (2, 4)


def test_summary() -> None:
    timing = summary([5.0, 1.0, 2.0, 3.0, 4.0])
    assert (timing.low, timing.median, timing.high) == (2, 3, 4)
