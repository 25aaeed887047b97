"""The stages of compiling in JAX, timed one by one."""

import time
from typing import Any

import jax

from benchmarks.contenders.base import Work


def stages(work: Work) -> dict[str, float]:
    """Seconds to trace, lower and compile; a call of the function then finds it compiled."""
    function, arguments = jitted(work)
    jax.clear_caches()  # what was compiled before must not shorten it
    seconds, made = {}, function
    for stage, advance in (
        ("trace", lambda function: function.trace(*arguments)),
        ("lower", lambda traced: traced.lower()),
        ("compile", lambda lowered: lowered.compile()),
    ):
        began = time.perf_counter()
        made = advance(made)
        seconds[stage] = time.perf_counter() - began
    return seconds


def jitted(work: Work) -> tuple[Any, tuple[Any, ...]]:
    """The function and its arguments."""
    assert work.compiled is not None, "asked of those that are compiled"
    function, arguments = work.compiled
    return function, arguments()
