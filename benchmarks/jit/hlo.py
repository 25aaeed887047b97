"""Counts from the text of an optimised HLO module: of instructions, and of what a loop runs in each step.

The text is what `compiled.as_text()` gives: computations, one `name (...) -> type {` each, with an instruction a line.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

COMPUTATION = re.compile(r"^(?:ENTRY )?%?([\w.\-]+) \(.*\{$")
# `%name = type opcode(`: a type may be a tuple of types with layouts and comments, so the opcode is the first word
# between a space and a bracket.
INSTRUCTION = re.compile(r"^\s+(?:ROOT )?%?[\w.\-]+ = (.*?) ([a-z][\w\-]*)\(")
CALLED = re.compile(r"(?:calls|to_apply|body|condition)=%?([\w.\-]+)")
BODY = re.compile(r"body=%?([\w.\-]+)")
CONDITION = re.compile(r"condition=%?([\w.\-]+)")
LIMIT = re.compile(r"= s32\[\]\S* constant\((\d+)\)")
TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"\}')
FREE = frozenset(("parameter", "constant", "tuple", "get-tuple-element", "bitcast", "after-all"))  # no work at run time


class Instruction(NamedTuple):
    opcode: str
    calls: tuple[str, ...]
    body: str  # of a while
    trips: int | None
    line: str


@dataclass(frozen=True)
class Loop:
    """A `while`: `trips` is None if the compiler does not know it; `kernels` are the launches of a step.

    `counts`: instructions in the body by opcode, with those in fusions. `depth`: the number of loops around it.
    """

    trips: int | None
    depth: int
    kernels: int
    counts: dict[str, int]


@dataclass(frozen=True)
class Module:
    instructions: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    loops: list[Loop] = field(default_factory=list)


def read(text: str) -> Module:
    """Count the instructions and loops of a module."""
    found, entry = computations(text)
    counts = Counter(each.opcode for body in found.values() for each in body)
    return Module(counts.total(), dict(counts), list(_loops(found, entry, 0)))


def computations(text: str) -> tuple[dict[str, list[Instruction]], str]:
    """The instructions of each computation by its name, and the name of the entry."""
    found: dict[str, list[Instruction]] = {}
    entry, current = "", None
    for line in text.splitlines():
        if header := COMPUTATION.match(line):
            current = found.setdefault(header[1], [])
            entry = header[1] if line.startswith("ENTRY") else entry
        elif line.startswith("}"):
            current = None
        elif current is not None and (instruction := INSTRUCTION.match(line)):
            body, trips = BODY.search(line), TRIPS.search(line)
            is_loop = instruction[2] == "while" and body is not None
            current.append(
                Instruction(
                    instruction[2],
                    tuple(CALLED.findall(line)),
                    body[1] if is_loop and body else "",
                    int(trips[1]) if trips else None,
                    line,
                )
            )
    counted = {
        name: [each if each.trips or not each.body else each._replace(trips=_trips(found, each)) for each in body]
        for name, body in found.items()
    }
    return counted, entry


def _trips(found: dict[str, list[Instruction]], loop: Instruction) -> int | None:
    """The trips of a loop that counts from 0 to a constant, as that of a `scan`, where the compiler does not say so."""
    condition = CONDITION.search(loop.line)
    lines = [each.line for each in found.get(condition[1], ())] if condition else []
    limits = [limit[1] for line in lines if (limit := LIMIT.search(line))]
    return int(limits[0]) if len(limits) == 1 and any("direction=LT" in line for line in lines) else None


def _loops(computations: dict[str, list[Instruction]], name: str, depth: int) -> Iterator[Loop]:
    """The loops that a computation runs, outer ones first."""
    for each in computations.get(name, ()):
        if each.body:
            kernels = sum(inner.opcode not in FREE for inner in computations[each.body])
            yield Loop(each.trips, depth, kernels, dict(_within(computations, each.body)))
        for called in each.calls:
            yield from _loops(computations, called, depth + bool(each.body))


def _within(computations: dict[str, list[Instruction]], name: str) -> Counter[str]:
    """Count instructions of a computation and of those that it calls, except inner loops."""
    counts: Counter[str] = Counter()
    for each in computations.get(name, ()):
        counts[each.opcode] += 1
        if not each.body:
            for called in each.calls:
                counts += _within(computations, called)
    return counts
