"""A whole training step, compiled for devices that are not here."""

from benchmarks.speed.scaling import CALLS, Size, Target, step


def assert_gradients_are_reduced_once(devices: str, kernel: str) -> None:
    """In the program of `jax-lstm train text --mesh data=8`, with `kernel` in bfloat16, for eight `devices`."""
    found = step(Size(128, 1, 8, 4), 8, 1, Target(devices, kernel, "bfloat16"))
    assert found.calls_kernel is (kernel == "pallas")
    assert found.devices == 8
    assert found.number() == found.number("all-reduce") == 1
    (reduction,) = found.exchanges
    assert (reduction.group, reduction.times) == (8, CALLS)
    twice = 4 * 4 * 128  # the gradients of the two biases are the same, and cross once
    assert reduction.bytes == found.parameters - twice + 4  # with the loss
    assert found.memory["arguments"] > 3 * found.parameters  # with both moments of Adam
