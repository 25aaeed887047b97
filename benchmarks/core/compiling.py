"""The time of each stage of compiling a program, and figures of the result."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import jax
from jax.experimental.compilation_cache.compilation_cache import reset_cache

from benchmarks.core import hlo
from benchmarks.core.contenders.base import Work

STAGES = ("trace", "lower", "compile")
COMPILED = "/jax/core/compile/backend_compile_duration"  # the event of JAX for each compilation by XLA
IN_LOOPS = ("dot", "multiply", "dynamic-slice", "dynamic-update-slice")  # what is counted of a step


@dataclass
class Count:
    """The number of compilations by XLA, and their seconds in total."""

    number: int = 0
    seconds: float = 0.0


@contextmanager
def compilations() -> Iterator[Count]:
    """Count compilations in a context."""
    count = Count()

    def listen(event: str, duration_secs: float, **_: Any) -> None:
        if event == COMPILED:
            count.number += 1
            count.seconds += duration_secs

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield count
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)


@contextmanager
def without_caches() -> Iterator[None]:
    """Switch off the caches on disk of JAX and of PyTorch's Inductor, which would shorten compilation."""
    from torch._inductor import config

    kept = getattr(jax.config, "jax_enable_compilation_cache")  # noqa: B009 an attribute that type checkers do not know
    jax.config.update("jax_enable_compilation_cache", False)
    reset_cache()  # JAX asks only once whether there is a cache
    try:
        with config.patch(force_disable_caches=True):
            yield
    finally:
        jax.config.update("jax_enable_compilation_cache", kept)
        reset_cache()


def in_stages(work: Work) -> tuple[Any, Any, dict[str, float]]:
    """The jaxpr, the executable and the seconds of each stage, after clearing the caches."""
    assert work.compiled is not None, "asked of those that are compiled"
    function, arguments = work.compiled[0], work.compiled[1]()
    jax.clear_caches()  # earlier compilations must not shorten this one
    seconds, made = {}, [function]
    for stage, advance in zip(
        STAGES, (lambda f: f.trace(*arguments), lambda f: f.lower(), lambda f: f.compile()), strict=True
    ):
        began = time.perf_counter()
        made.append(advance(made[-1]))
        seconds[stage] = time.perf_counter() - began
    return made[1].jaxpr.jaxpr, made[3], seconds


def stages(work: Work) -> dict[str, float]:
    """Seconds to trace, lower and compile; later calls of the function use the result."""
    return in_stages(work)[2]


def temporary_bytes(work: Work) -> int:
    assert work.compiled is not None
    function, arguments = work.compiled
    return int(function.lower(*arguments()).compile().memory_analysis().temp_size_in_bytes)


def figures(jaxpr: Any, compiled: Any) -> dict[str, tuple[str, list[Any]]]:
    """What the compiler made: unit and values by name; several values are those of the loops of the program."""
    module, cost, memory = hlo.read(compiled.as_text()), compiled.cost_analysis() or {}, compiled.memory_analysis()
    of_loops = {"kernels": [loop.kernels for loop in module.loops]} | {
        name: [loop.counts.get(name, 0) for loop in module.loops] for name in IN_LOOPS
    }
    inside = [sum(loop.counts.get(kind, 0) for kind in hlo.KINDS) for loop in module.loops]
    found: dict[str, tuple[str, list[Any]]] = {
        "equations": ("", [equations(jaxpr)]),
        "products": ("FLOP", [products(jaxpr)]),
        "instructions": ("", [module.instructions]),
        "multiplications": ("", [module.counts.get("multiply", 0)]),
        "conversions": ("", [module.counts.get("convert", 0)]),
        "collectives": ("", [sum(module.counts.get(kind, 0) for kind in hlo.KINDS)]),
        "trips": ("by loop", [-1 if loop.trips is None else loop.trips for loop in module.loops]),  # -1: unknown
        **{f"{name} in a step": ("by loop", values) for name, values in of_loops.items()},
        "collectives in a step": ("by loop", inside),
        "executable": ("B", [len(compiled.runtime_executable().serialize())]),
        "code": ("B", [int(memory.generated_code_size_in_bytes)]),
        "XLA's FLOPs": ("FLOP", [cost.get("flops")]),
        "XLA's bytes": ("B", [cost.get("bytes accessed")]),
        "temporary": ("B", [int(memory.temp_size_in_bytes)]),
        "outputs": ("B", [int(memory.output_size_in_bytes)]),
        "aliased": ("B", [int(memory.alias_size_in_bytes)]),
    }
    return {name: (unit, values) for name, (unit, values) in found.items() if values and None not in values}


def equations(jaxpr: Any) -> int:
    """The number of equations in a jaxpr and those within it."""
    return sum(1 + sum(map(equations, inner(equation))) for equation in jaxpr.eqns)


def products(jaxpr: Any) -> float | None:
    """FLOPs of the matrix products: those in a scan once a step, those of a device on all of them.

    Of the branches of a `cond`, that with the most: our `scan` has one for each form of its products. None where the
    count is unknown: in a loop whose end the device decides, or in the fused kernel's primitives.
    """
    total = 0.0
    for equation in jaxpr.eqns:
        name = equation.primitive.name
        if name == "while" or name.startswith("lstm_"):
            return None
        total += product_flops(equation)
        within = [products(each) for each in inner(equation)]
        known = [count for count in within if count is not None]
        if len(known) < len(within):
            return None
        total += _times(equation) * (max(known) if name == "cond" else sum(known))
    return total


def product_flops(equation: Any) -> float:
    """FLOPs of an equation that is a matrix product; 0 for others."""
    if equation.primitive.name != "dot_general":
        return 0.0
    (contracted, _), _ = equation.params["dimension_numbers"]
    depth = math.prod(equation.invars[0].aval.shape[axis] for axis in contracted)
    return 2.0 * math.prod(equation.outvars[0].aval.shape) * depth


def _times(equation: Any) -> int:
    """How often the jaxpr in an equation runs: at every step, or on every device."""
    if equation.primitive.name == "scan":
        return equation.params["length"]
    return equation.params["mesh"].size if equation.primitive.name == "shard_map" else 1


def inner(equation: Any) -> Iterator[Any]:
    """The jaxprs in the parameters of an equation."""
    for value in equation.params.values():
        for each in value if isinstance(value, tuple | list) else (value,):
            each = getattr(each, "jaxpr", each)
            if hasattr(each, "eqns"):
                yield each


@contextmanager
def clocked() -> Iterator[list[float]]:
    """The seconds of a block, appended to the list."""
    taken: list[float] = []
    began = time.perf_counter()
    yield taken
    taken.append(time.perf_counter() - began)
