"""Compile programs ahead of time for TPUs that are not here, and read the static cycles of their schedules.

libtpu (`pip install "jax[tpu]"`) compiles for a described topology on a machine without one. On request it writes, for
every operation of the final program, how many cycles its schedule takes. The estimate is for comparing programs, not a
measurement: it is optimistic about HBM, and leaves out the overhead of a `while` loop itself.

    from benchmarks.device.compile_for import static_cycles  # before anything else loads libtpu

    found = static_cycles(function, jax.ShapeDtypeStruct((64, 512), jnp.float32), chip="v5e")
    print(found.loop / steps, found.outside, found.operations)
"""

import atexit
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import jax
from jax.experimental import topologies
from jax.sharding import SingleDeviceSharding

from benchmarks.jit.hlo import Instruction, computations
from jax_lstm.checks import MissingExtraError

# The smallest topology of each generation that libtpu describes.
TOPOLOGIES = {"v4": "v4:2x2x1", "v5e": "v5e:2x2", "v5p": "v5p:2x2x1", "v6e": "v6e:2x2", "tpu7x": "tpu7x:2x2x1"}
# libtpu looks for the machine that it is on, and for other processes that use it, unless it is told.
SURROUNDINGS = {
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_ACCELERATOR_TYPE": "v5litepod-4",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
}
KERNEL = 'custom_call_target="tpu_custom_call"'  # of Pallas
NAME = re.compile(r"^\s+(?:ROOT )?%?([\w.\-]+) = ")
LIMIT = re.compile(r"= s32\[\]\S* constant\((\d+)\)")
ESTIMATE = re.compile(r'hlo_op_name: "(.*)"\s+(?:estimated_cycles: (\d+))?')


class Operation(NamedTuple):
    """`cycles` of one run, which is repeated `times` times; `kernel`: a Pallas kernel, whose loops are counted."""

    name: str
    cycles: int
    times: int
    kernel: bool


class Cycles(NamedTuple):
    """Static cycles of a program: in loops and Pallas kernels, and outside of both; `memory` in bytes.

    `memory` has the sizes of "arguments", "outputs", "temporaries" and "code", in HBM.
    """

    loop: int
    outside: int
    operations: list[Operation]
    memory: dict[str, int]
    text: str  # the compiled program

    @property
    def total(self) -> int:
        return self.loop + self.outside


def static_cycles(function: Callable[..., Any], *shapes: Any, chip: str = "v5e") -> Cycles:
    """Compile `function` of `shapes`, trees of `jax.ShapeDtypeStruct`, for one device of `chip`.

    Raises:
        MissingExtraError: libtpu is not installed.
        Exception: of JAX's, if the program does not compile.
    """
    folder = _profiles()
    place = SingleDeviceSharding(topology(TOPOLOGIES[chip]).devices[0])
    placed = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=place), shapes)
    for old in folder.iterdir():
        old.unlink()
    lowered = jax.jit(function, out_shardings=place).trace(*placed).lower(lowering_platforms=("tpu",))
    compiled = lowered.compile()
    text, memory = compiled.as_text(), compiled.memory_analysis()
    known = dict(_estimates(folder))
    found = [each for each in _operations(*computations(text), known) if each.cycles]
    inside = [each.cycles * each.times for each in found if each.times > 1 or each.kernel]
    outside = [each.cycles for each in found if each.times == 1 and not each.kernel]
    sizes = {
        "arguments": memory.argument_size_in_bytes,
        "outputs": memory.output_size_in_bytes,
        "temporaries": memory.temp_size_in_bytes,
        "code": memory.generated_code_size_in_bytes,
    }
    return Cycles(sum(inside), sum(outside), found, sizes, text)


@cache
def topology(name: str) -> Any:
    """The described topology `name`, such as "v5e:2x2"."""
    if find_spec("libtpu") is None:
        raise MissingExtraError('compiling for TPUs needs libtpu: pip install "jax-lstm[tpu-compile]"')
    _profiles()
    return topologies.get_topology_desc(platform="tpu", topology_name=name)


@cache
def _profiles() -> Path:
    """The folder to which libtpu writes; it reads this once, when it is loaded."""
    folder = Path(tempfile.mkdtemp(prefix="libtpu-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    for name, value in SURROUNDINGS.items():
        os.environ.setdefault(name, value)
    given = os.environ.get("LIBTPU_INIT_ARGS", "")
    os.environ["LIBTPU_INIT_ARGS"] = f"{given} --xla_jf_dump_static_llo_profile_to={folder}".strip()
    return folder


def _estimates(folder: Path) -> Iterator[tuple[str, int]]:
    for file in folder.glob("*_static_llo_profile.textproto"):
        if found := ESTIMATE.search(file.read_text(encoding="utf-8")):
            yield found[1], int(found[2] or 0)


def _operations(
    found: dict[str, list[Instruction]], name: str, known: dict[str, int], times: int = 1
) -> Iterator[Operation]:
    """The operations that a computation runs, and those of the loops in it."""
    for each in found.get(name, ()):
        named = NAME.match(each.line)
        assert named is not None
        yield Operation(named[1], known.get(named[1], 0), times, KERNEL in each.line)
        if each.body:
            yield from _operations(found, each.body, known, times * _trips(found, each))


def _trips(found: dict[str, list[Instruction]], loop: Instruction) -> int:
    """The trips of a loop whose condition compares a counter that starts at 0 with a constant, as those of `scan`."""
    condition = next(name for name in loop.calls if name != loop.body)
    limits = [limit[1] for each in found[condition] if (limit := LIMIT.search(each.line))]
    if len(limits) != 1:
        raise ValueError(f"a loop of unknown length: {loop.line.strip()[:120]}")
    return int(limits[0])
