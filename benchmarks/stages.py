"""Times of the stages of compilation in JAX."""

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import jax

from benchmarks.contenders.base import Work


def stages(work: Work) -> dict[str, float]:
    """Seconds to trace, lower and compile; later calls of the function use the result."""
    function, arguments = jitted(work)
    jax.clear_caches()  # earlier compilations must not shorten this one
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


@contextlib.contextmanager
def without_caches() -> Iterator[None]:
    """Switch off the caches on disk of JAX and of PyTorch's Inductor, which would shorten compilation."""
    from torch._inductor import config

    kept = getattr(jax.config, "jax_enable_compilation_cache")  # noqa: B009 an attribute that type checkers do not know
    jax.config.update("jax_enable_compilation_cache", False)
    try:
        with config.patch(force_disable_caches=True):
            yield
    finally:
        jax.config.update("jax_enable_compilation_cache", kept)


def jitted(work: Work) -> tuple[Any, tuple[Any, ...]]:
    """The function and its arguments."""
    assert work.compiled is not None, "asked of those that are compiled"
    function, arguments = work.compiled
    return function, arguments()
