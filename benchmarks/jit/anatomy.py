"""The time of each stage of compiling a program, and figures of the result."""

import dataclasses
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from benchmarks.jit import hlo

COMPILED = "/jax/core/compile/backend_compile_duration"  # the event of JAX for each compilation by XLA


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


def in_stages(jitted: Any, arguments: tuple[Any, ...]) -> tuple[Any, Any, dict[str, float]]:
    """The jaxpr, the executable and the seconds of each stage, after clearing the caches."""
    jax.clear_caches()
    seconds, began = {}, time.perf_counter()

    def lap(stage: str) -> None:
        nonlocal began
        now = time.perf_counter()
        seconds[stage], began = now - began, now

    traced = jitted.trace(*arguments)
    lap("trace")
    lowered = traced.lower()
    lap("lower")
    compiled = lowered.compile()
    lap("compile")
    return traced.jaxpr.jaxpr, compiled, seconds


def clocked(call: Callable[[], Any]) -> tuple[Any, float]:
    """The value of a call, awaited, and its seconds."""
    began = time.perf_counter()
    value = jax.block_until_ready(call())
    return value, time.perf_counter() - began


def figures(jaxpr: Any, compiled: Any, text_to: Path | None = None) -> dict[str, Any]:
    """The fields of a row from the jaxpr and the executable; writes the HLO to `text_to`, if given."""
    text = compiled.as_text()
    if text_to:
        text_to.parent.mkdir(parents=True, exist_ok=True)
        text_to.write_text(text, encoding="utf-8")
    module, cost, memory = hlo.read(text), compiled.cost_analysis() or {}, compiled.memory_analysis()
    return {
        "equations": equations(jaxpr),
        "products": products(jaxpr),
        "instructions": module.instructions,
        "opcodes": module.counts,
        "loops": [dataclasses.asdict(loop) for loop in module.loops],
        "executable_bytes": len(compiled.runtime_executable().serialize()),
        "code_bytes": int(memory.generated_code_size_in_bytes),
        "xla_flops": cost.get("flops"),
        "xla_bytes": cost.get("bytes accessed"),
        "temporary_bytes": int(memory.temp_size_in_bytes),
        "argument_bytes": int(memory.argument_size_in_bytes),
        "output_bytes": int(memory.output_size_in_bytes),
        "aliased_bytes": int(memory.alias_size_in_bytes),
    }


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
        if name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            left = equation.invars[0].aval.shape
            total += 2.0 * np.prod(equation.outvars[0].aval.shape) * np.prod([left[axis] for axis in contracted])
        within = [products(each) for each in inner(equation)]
        known = [count for count in within if count is not None]
        if len(known) < len(within):
            return None
        total += _times(equation) * (max(known) if name == "cond" else sum(known))
    return float(total)


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
