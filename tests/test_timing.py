"""Timing: turns are taken as promised, and the summary is one of quantiles."""

from jax_lstm.timing import interleaved, summary


def test_contenders_take_turns_each_warm() -> None:
    calls: list[str] = []
    seconds = interleaved({name: lambda name=name: calls.append(name) for name in "ab"}, samples=3)
    assert calls == ["a", "a", "b", "b", "b", "b", "a", "a", "a", "a", "b", "b"]
    assert {name: len(samples) for name, samples in seconds.items()} == {"a": 3, "b": 3}


def test_those_that_are_settled_run_once() -> None:
    calls: list[str] = []
    interleaved({name: lambda name=name: calls.append(name) for name in "ab"}, samples=2, settled={"a"})
    assert calls == ["a", "b", "b", "b", "b", "a"]


def test_summary() -> None:
    timing = summary([5.0, 1.0, 2.0, 3.0, 4.0])
    assert (timing.low, timing.median, timing.high) == (2, 3, 4)
