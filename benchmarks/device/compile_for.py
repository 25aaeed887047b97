"""Compile programs ahead of time for chips that are not here; for TPUs, read the static cycles of their schedules.

libtpu (`pip install "jax[tpu]"`) compiles for a described topology on a machine without one. On request it writes how
many cycles the schedule of each operation of the final program takes. The estimate serves to compare programs, and no
hardware has confirmed it: it is optimistic about HBM, and leaves out the overhead of a `while` loop itself.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
from jax.sharding import SingleDeviceSharding

from benchmarks.core.hlo import computations, runs
from benchmarks.device.topology import described, platform

# FLOPs a cycle of the matrix units of a device, in bfloat16: four units of 128 x 128 in each core (two cores make a
# device of a v5p), or two of 256 x 256 that do twice as much (`jax.experimental.pallas.tpu.get_tpu_info_for_chip`; the
# published peaks at 1.5, 1.75, 1.75, 1.05 and 2.2 GHz). By its static cycles a product of 4096 x 4096 reaches 97% of
# that on v5e and v5p.
PEAKS = {"v5e": 131072, "v6e": 524288, "v5p": 262144, "v4": 131072, "tpu7x": 524288}
PROFILE = "--xla_jf_dump_static_llo_profile_to"
KERNEL = 'custom_call_target="tpu_custom_call"'  # of Pallas
NAME = re.compile(r"^\s+(?:ROOT )?%?([\w.\-]+) = ")
ESTIMATE = re.compile(r'hlo_op_name: "(.*)"\s+(?:estimated_cycles: (\d+))?')
SCHEDULED = ("fusion", "convolution", "custom-call")  # always estimated; copies only if they are no scalars


class Operation(NamedTuple):
    """An operation that a program repeats `times` times; `kernel`: a Pallas kernel, with its loops inside."""

    name: str
    opcode: str
    times: int
    kernel: bool

    @property
    def inside(self) -> bool:
        return self.times > 1 or self.kernel


def compiled(function: Callable[..., Any], *shapes: Any, chip: str = "v5e") -> Any:
    """The program, as `jax.stages.Compiled`."""
    device = described(chip)[0]
    place = SingleDeviceSharding(device)
    placed = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=place), shapes)
    return jax.jit(function, out_shardings=place).trace(*placed).lower(lowering_platforms=(platform(device),)).compile()


def memory(program: Any) -> dict[str, int]:
    """Bytes of HBM that a compiled program needs, by what they hold."""
    found = program.memory_analysis()
    return {
        "arguments": found.argument_size_in_bytes,
        "outputs": found.output_size_in_bytes,
        "temporaries": found.temp_size_in_bytes,
        "code": found.generated_code_size_in_bytes,
    }


def estimates(folder: Path) -> dict[str, int]:
    """Cycles by operation, from the files that libtpu has written so far."""
    texts = [file.read_text(encoding="utf-8") for file in folder.glob("*_static_llo_profile.textproto")]
    return {found[1]: int(found[2] or 0) for text in texts if (found := ESTIMATE.search(text))}


def operations(text: str) -> list[Operation]:
    """The operations of a compiled program, with those in the bodies of loops.

    Raises:
        ValueError: a loop does not compare a counter with one constant, as those of `scan` do.
    """
    found = []
    for each, times, _ in runs(*computations(text), fused=False):
        if times is None:
            raise ValueError(f"in a loop of unknown length: {each.line.strip()[:120]}")
        named = NAME.match(each.line)
        assert named is not None
        found.append(Operation(named[1], each.opcode, times, KERNEL in each.line))
    return found
