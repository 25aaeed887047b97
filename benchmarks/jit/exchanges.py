"""Collectives between devices, from the text of an optimised, partitioned HLO module.

XLA for TPU runs some while other things are computed, a loop among them: such a collective stands in several fusions,
which have its channel and its chain in common, and counts once. XLA for GPU writes `all-reduce-start`, whose result
also holds its operands.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from benchmarks.jit.hlo import INSTRUCTION, Instruction, computations

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
    for at, (line, exchange) in enumerate(_within(found, entry, 1, int(devices[1]) if devices else 1)):
        chained = CHAINED.search(line)
        key = chained.groups() if chained else at
        once[key] = min(once.get(key, exchange), exchange, key=lambda each: each.times)
    return list(once.values())


def _within(
    found: dict[str, list[Instruction]], name: str, times: int | None, devices: int
) -> Iterator[tuple[str, Exchange]]:
    for each in found.get(name, ()):
        if each.opcode.removesuffix("-start") in KINDS:
            if times is None:
                raise ValueError(f"{each.opcode} in a loop of unknown length: {each.line.strip()[:120]}")
            if (exchange := _exchange(each, times, devices)).group > 1:
                yield each.line, exchange
        trips = 1 if not each.body else each.trips
        for called in each.calls:
            yield from _within(found, called, None if times is None or trips is None else times * trips, devices)


def _exchange(each: Instruction, times: int, devices: int) -> Exchange:
    instruction = INSTRUCTION.match(each.line)
    assert instruction is not None
    arrays = ARRAY.findall(instruction[1])
    if instruction[1].startswith("(("):  # operands, then results
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
    count = 1
    for size in filter(None, sizes.split(",")):
        count *= int(size)
    return count * (int(bits[0]) if bits else 8) // 8  # pred is one byte
