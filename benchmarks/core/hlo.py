"""Counts from the text of an optimised HLO module: instructions, what a loop runs in each step, and collectives.

The text is what `compiled.as_text()` gives: computations, one `name (...) -> type {` each, with an instruction a line.
"""

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

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
    type: str
    opcode: str
    calls: tuple[str, ...]
    body: str  # of a while
    trips: int | None
    line: str


@dataclass(frozen=True)
class Loop:
    """A `while`: `trips` is None if the compiler does not know it; `kernels` are the launches of a step.

    `counts`: instructions in the body by opcode, with those in fusions.
    """

    trips: int | None
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
    counts, loops = Counter(each.opcode for body in found.values() for each in body), []
    for each, *_ in runs(found, entry):
        if each.body:
            kernels = sum(inner.opcode not in FREE for inner in found[each.body])
            inside = Counter(inner.opcode for inner, _, deeper in runs(found, each.body) if not deeper)
            loops.append(Loop(each.trips, kernels, dict(inside)))
    return Module(counts.total(), dict(counts), loops)


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
            of_loop = body[1] if body and instruction[2] == "while" else ""
            calls, known = tuple(CALLED.findall(line)), int(trips[1]) if trips else None
            current.append(Instruction(instruction[1], instruction[2], calls, of_loop, known, line))
    for body in found.values():
        body[:] = [each._replace(trips=_trips(found, each)) if each.body and not each.trips else each for each in body]
    return found, entry


def _trips(found: dict[str, list[Instruction]], loop: Instruction) -> int | None:
    """The trips of a loop that counts from 0 to a constant, as that of a `scan`, where the compiler does not say so."""
    condition = CONDITION.search(loop.line)
    lines = [each.line for each in found.get(condition[1], ())] if condition else []
    limits = [limit[1] for line in lines if (limit := LIMIT.search(line))]
    return int(limits[0]) if len(limits) == 1 and any("direction=LT" in line for line in lines) else None


class Run(NamedTuple):
    """An instruction that a program runs `times` times, None if unknown, within `depth` loops."""

    instruction: Instruction
    times: int | None
    depth: int


def runs(computations: Mapping[str, Sequence[Instruction]], name: str, fused: bool = True) -> Iterator[Run]:
    """The instructions of a computation and of those that it calls, or only of its loops; outer ones first."""

    def within(name: str, times: int | None, depth: int) -> Iterator[Run]:
        for each in computations.get(name, ()):
            yield Run(each, times, depth)
            trips = each.trips if each.body else 1
            inner = None if times is None or trips is None else times * trips
            for called in each.calls if fused else filter(None, (each.body,)):
                yield from within(called, inner, depth + bool(each.body))

    return within(name, 1, 0)


KINDS = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute")
ARRAY = re.compile(r"([a-z]\w*)\[([\d,]*)\]")  # element type and sizes; a type may be a tuple of such
LISTED = re.compile(r"replica_groups=\{\{([\d,]+)\}")  # {{0,1},{2,3}}: device by device
MESHED = re.compile(r"replica_groups=mesh\[(.*?)\][^{]*\{(.*?)\}")  # mesh['a'=4,'b'=2], perhaps device_ids, {'a'}
COUNTED = re.compile(r"replica_groups=\[\d+,(\d+)\]")  # [2,4]<=[8]: groups, and devices in each
CHAINED = re.compile(r'channel_id=(\d+),.*chain_id="(\d+)"')
DEVICES = re.compile(r"^HloModule .*?num_partitions=(\d+)")


@dataclass(frozen=True)
class Exchange:
    """A collective: `bytes` and `arrays` of its result on one device, devices in a `group`, `times` it runs."""

    kind: str
    bytes: int
    arrays: int
    group: int
    times: int

    @property
    def sent(self) -> float:
        """The least bytes that each device sends, in a ring, over all `times`.

        A reduction of b bytes over n devices is a scatter and a gather, (n - 1) / n of b each
        (https://doi.org/10.1016/j.jpdc.2008.09.002).
        """
        n = self.group
        parts = {
            "all-reduce": 2 * (n - 1) / n,
            "all-gather": (n - 1) / n,
            "reduce-scatter": n - 1.0,  # the result is an n-th of the input
            "all-to-all": (n - 1) / n,
            "collective-permute": 1.0,
        }
        return self.times * self.bytes * parts[self.kind]


def exchanges(text: str) -> list[Exchange]:
    """The collectives in a run of the module; in a loop they run once per trip.

    Raises:
        ValueError: one is in a loop whose trip count the compiler does not know.
    """
    found, entry = computations(text)
    devices = DEVICES.search(text)
    once: dict[Any, Exchange] = {}
    for at, (each, times, _) in enumerate(runs(found, entry)):
        if each.opcode.removesuffix("-start") not in KINDS:
            continue
        if times is None:
            raise ValueError(f"{each.opcode} in a loop of unknown length: {each.line.strip()[:120]}")
        exchange = _exchange(each, times, int(devices[1]) if devices else 1)
        chained = CHAINED.search(each.line)
        key = chained.groups() if chained else at
        if exchange.group > 1:
            once[key] = min(once.get(key, exchange), exchange, key=lambda each: each.times)
    return list(once.values())


def _exchange(each: Instruction, times: int, devices: int) -> Exchange:
    arrays = ARRAY.findall(each.type)
    if each.type.startswith("(("):  # operands, then results
        arrays = arrays[len(arrays) // 2 :]
    size = sum(_bytes(*array) for array in arrays)
    return Exchange(each.opcode.removesuffix("-start"), size, len(arrays), _group(each.line, devices), times)


def _group(line: str, devices: int) -> int:
    """How many devices exchange with each other: all if no groups are named.

    Raises:
        ValueError: the groups are written in a way that is not known here.
    """
    if listed := LISTED.search(line):
        return len(listed[1].split(","))
    if counted := COUNTED.search(line):
        return int(counted[1])
    if meshed := MESHED.search(line):
        sizes = dict(axis.split("=") for axis in meshed[1].split(","))
        if all(axis in sizes for axis in meshed[2].split(",")):
            return math.prod(int(sizes[axis]) for axis in meshed[2].split(","))
    if "replica_groups=" in line and "replica_groups={}" not in line:
        raise ValueError(f"groups of devices in an unknown form: {line.strip()[:200]}")
    return devices


def _bytes(dtype: str, sizes: str) -> int:
    bits = re.search(r"\d+", dtype)
    count = math.prod(int(size) for size in sizes.split(",") if size)
    return count * (int(bits[0]) if bits else 8) // 8  # pred is one byte
