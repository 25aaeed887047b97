"""Rows of variants at one size: the gate, the stages of compilation, what the compiler made, and samples in turns."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax

from benchmarks.core.cases import Case
from benchmarks.core.compiling import clocked, compilations, figures, in_stages
from benchmarks.core.contenders import BASELINE
from benchmarks.core.contenders.base import Work
from benchmarks.core.gate import admit, first_line, lineup
from benchmarks.core.measure import of_case, timed
from benchmarks.core.record import SECONDS, Row
from benchmarks.core.sampling import Plan
from benchmarks.jit.variants import Variant

NO_REVERSE = "Reverse-mode differentiation does not work"  # from JAX's error for a `while` loop
Taken = dict[str, tuple[str, list[Any]]]  # unit and values by figure


@dataclass(frozen=True)
class Effort:
    """How thoroughly: compile `compiles` times, sample by `plan`, leave out the variants in `without`.

    `texts`: a folder for the HLO, or None.
    """

    plan: Plan = Plan()  # noqa: RUF009 immutable
    compiles: int = 1
    without: tuple[str, ...] = ()
    texts: Path | None = None


def named(case: Case) -> str:
    """B,T,I,H,L."""
    return f"{case.batch},{case.steps},{case.input_size},{case.hidden_size},{case.num_layers}"


def rows(
    part: str, case: Case, measure: str, variants: Mapping[str, Variant], effort: Effort, devices: int = 1
) -> list[Row]:
    """A row for the calls of each variant, and one for each further figure."""
    barred = {name: why for name, each in variants.items() if (why := each.refusal(case, measure))}
    built = lineup({name: each.contender for name, each in variants.items()}, case, barred)
    taken: dict[str, Taken] = {}
    for name, runner in built.runners.items():
        texts = effort.texts and effort.texts / f"{_file_name(part, name, measure, named(case))}.txt"
        try:
            taken[name] = _take(runner[measure], texts)
        except Exception as error:  # frameworks raise anything
            line = first_line(error)
            (built.not_offered if NO_REVERSE in line else built.failed)[name] = line
    admitted = admit(built._replace(runners={name: built.runners[name] for name in taken}), measure)
    for _ in range(effort.compiles - 1):
        for name, work in admitted.works.items():
            if work.compiled:
                _stages(work, taken[name])
    for work in admitted.works.values():
        work.run()  # the caches were cleared
    found = []
    for row in timed(part, named(case), measure, admitted, effort.plan, BASELINE, **of_case(case, measure)):
        variant = variants[row.contender]
        about = row.about | {"about": variant.contender.about}
        about |= {"devices": devices} if devices > 1 else {}
        found.append(replace(row, about=about))
        if row.samples:
            found += [
                Row(part, row.case, row.contender, f"{measure}: {name}", unit, values)
                for name, (unit, values) in taken[row.contender].items()
            ]
    return found


def _take(work: Work, texts: Path | None) -> Taken:
    """Compile a work, if it is compiled as a whole, and call it for the first time."""
    found: Taken = {}
    if work.compiled:
        jaxpr, compiled = _stages(work, found)
        if texts:
            texts.parent.mkdir(parents=True, exist_ok=True)
            texts.write_text(compiled.as_text(), encoding="utf-8")
        return found | figures(jaxpr, compiled)
    jax.clear_caches()
    with compilations() as count, clocked() as first:
        work.run()
    return {"first call": (SECONDS, first)} | ({"compilations": ("", [count.number])} if count.number else {})


def _stages(work: Work, found: Taken) -> tuple[Any, Any]:
    """Compile; add a sample of each stage and of the first call."""
    with compilations() as count:
        jaxpr, compiled, seconds = in_stages(work)
    with clocked() as first:
        work.run()
    for stage, value in (seconds | {"first call": sum(seconds.values()) + first[0]}).items():
        found.setdefault(stage, (SECONDS, []))[1].append(value)
    found["compilations"] = ("", [count.number])
    return jaxpr, compiled


def _file_name(*parts: str) -> str:
    return re.sub(r"[^a-z0-9+]+", "-", " ".join(parts).lower()).strip("-")
