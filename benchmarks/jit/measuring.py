"""Measure candidates: the gate, the stages of compilation, the figures, and samples in turns."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from benchmarks.gate import fault
from benchmarks.jit.anatomy import clocked, compilations, figures, in_stages
from benchmarks.jit.programs import Program
from benchmarks.jit.rows import Row, compared
from benchmarks.jit.sizes import Size, oracle
from benchmarks.jit.variants import VARIANTS, of_sweep
from benchmarks.sampling import Call, Plan, sample

NO_REVERSE = "Reverse-mode differentiation does not work"  # from JAX's error for a `while` loop


@dataclass(frozen=True)
class Effort:
    """How thoroughly: compile `compiles` times, sample by `plan`, leave out the variants in `without`.

    `texts`: a folder for the HLO, or None.
    """

    plan: Plan = Plan()  # noqa: RUF009 immutable
    compiles: int = 1
    without: tuple[str, ...] = ()
    texts: Path | None = None


class Candidate(NamedTuple):
    """`make` builds the program; `refusal`: why it is not measured, or ""."""

    make: Callable[[], Program]
    about: str
    dtype: str = "float32"
    refusal: str = ""


def candidates(sweep: str, size: Size, measure: str, without: tuple[str, ...] = ()) -> dict[str, Candidate]:
    """The variants of a sweep."""
    return {
        name: Candidate(
            lambda name=name: VARIANTS[name].program(size, measure),
            variant.about,
            variant.dtype,
            variant.refusal(size, measure),
        )
        for name, variant in of_sweep(sweep, without).items()
    }


class Taken(NamedTuple):
    """One candidate before sampling: its program, a call, its value, and the fields of its row so far."""

    program: Program
    call: Call
    value: Any
    known: dict[str, Any]


def measure(
    sweep: str, size: Size, name: str, entries: Mapping[str, Candidate], effort: Effort, devices: int = 1
) -> list[Row]:
    """A row for each candidate, sampled in turns; `name` is the measure."""
    rows, taken = {}, {}
    for entry, candidate in entries.items():
        rows[entry] = unmeasured(sweep, size, name, entry, candidate, devices)
        if candidate.refusal:
            continue
        try:
            texts = effort.texts and effort.texts / (_file_name(sweep, entry, name, size.shape) + ".txt")
            found = _take(candidate.make(), texts)
            if wrong := _fault(found, size, candidate.dtype):
                rows[entry] = replace(rows[entry], failed=wrong)
            else:
                taken[entry] = found
                rows[entry] = replace(rows[entry], jitted=found.program.jitted, **found.known)
        except Exception as error:  # frameworks raise anything
            line = f"{type(error).__name__}: {error}".splitlines()[0]
            which = "not_offered" if NO_REVERSE in line else "failed"
            rows[entry] = replace(rows[entry], **{which: line})
    _compile_again(taken, effort.compiles - 1)
    seconds, calls = sample({entry: found.call for entry, found in taken.items()}, effort.plan)
    for entry in taken:
        rows[entry] = replace(rows[entry], seconds=seconds[entry], calls=calls[entry])
    return compared(rows.values())


def unmeasured(sweep: str, size: Size, name: str, entry: str, candidate: Candidate, devices: int) -> Row:
    """The row of a candidate that has not been measured."""
    return Row(
        sweep, entry, name, f"{sweep} {size.shape} {name} {devices}", size.shape, size.batch, size.steps,
        size.input_size, size.hidden_size, size.layers, candidate.about, candidate.dtype, devices,
        not_offered=candidate.refusal,
    )  # fmt: skip


def _take(program: Program, texts: Path | None) -> Taken:
    """Compile a program and call it for the first time."""
    if not program.jitted:
        jax.clear_caches()
        with compilations() as count:
            value, first = clocked(lambda: program.function(*program.arguments))
        known = {"first": [first], "compilations": count.number, "compilation_seconds": count.seconds}
        return Taken(program, lambda: jax.block_until_ready(program.function(*program.arguments)), value, known)
    with compilations() as count:
        jaxpr, compiled, stages = in_stages(_jitted(program), program.arguments)
    arguments = _fresh(program)
    value, run = clocked(lambda: compiled(*arguments))
    known: dict[str, Any] = {stage: [seconds] for stage, seconds in stages.items()}
    known |= {"first": [sum(stages.values()) + run], "compilations": count.number, "compilation_seconds": count.seconds}
    return Taken(program, _caller(program, compiled), value, known | figures(jaxpr, compiled, texts))


def _compile_again(taken: Mapping[str, Taken], times: int) -> None:
    """Add more samples of the stages, in turns."""
    for _ in range(times):
        for found in taken.values():
            if found.program.jitted:
                _, compiled, stages = in_stages(_jitted(found.program), found.program.arguments)
                arguments = _fresh(found.program)
                _, run = clocked(lambda compiled=compiled, arguments=arguments: compiled(*arguments))
                for stage, seconds in stages.items():
                    found.known[stage].append(seconds)
                found.known["first"].append(sum(stages.values()) + run)


def _jitted(program: Program) -> Any:
    def fresh(*arguments: Any) -> Any:  # a new function, since JAX caches traces by function
        return program.function(*arguments)

    return jax.jit(fresh, donate_argnums=(0,) if program.donated else ())


def _fresh(program: Program) -> tuple[Any, ...]:
    """The arguments, copied if they will be donated."""
    if not program.donated:
        return program.arguments
    return (jax.tree.map(jnp.copy, program.arguments[0]), *program.arguments[1:])


def _caller(program: Program, compiled: Any) -> Call:
    if not program.carried:
        return lambda: jax.block_until_ready(compiled(*program.arguments))
    carried, *rest = _fresh(program)

    def call() -> None:
        nonlocal carried
        carried = jax.block_until_ready(compiled(carried, *rest))[0]

    return call


def _fault(found: Taken, size: Size, dtype: str) -> str:
    results, expected = found.program.results(found.value), oracle(size)
    return fault(results, {name: expected[name] for name in results}, dtype)


def _file_name(*parts: str) -> str:
    return re.sub(r"[^a-z0-9+]+", "-", " ".join(parts).lower()).strip("-")
