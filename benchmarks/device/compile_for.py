"""Compile programs ahead of time for chips that are not here; for TPUs, read the static cycles of their schedules.

The chips are described to their compilers: libtpu for TPUs, XLA's CUDA plugin for NVIDIA GPUs.

libtpu (`pip install "jax[tpu]"`) compiles for a described topology on a machine without one. On request it writes how
many cycles the schedule of each operation of the final program takes. The estimate serves to compare programs, and no
hardware has confirmed it: it is optimistic about HBM, and leaves out the overhead of a `while` loop itself.
"""

import os
import re
from collections.abc import Callable, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import jax
from jax.errors import JaxRuntimeError
from jax.experimental import topologies
from jax.sharding import SingleDeviceSharding

from benchmarks.core.hlo import computations, runs
from jax_lstm.checks import InputError, MissingExtraError, require
from jax_lstm.kernels.fused import gpu

# The smallest topology of each generation that libtpu describes.
TPUS = {"v5e": "v5e:2x2", "v6e": "v6e:2x2", "v5p": "v5p:2x2x1", "v4": "v4:2x2x1", "tpu7x": "tpu7x:2x2x1"}
H100 = "h100"
# Without these, libtpu looks for the machine that it is on, and for other processes that use it.
SURROUNDINGS = {
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_ACCELERATOR_TYPE": "v5litepod-4",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
}
H100_CONFIG = """
gpu_device_info {
  threads_per_block_limit: 1024 threads_per_warp: 32 threads_per_core_limit: 2048 core_count: 132 fpus_per_core: 128
  shared_memory_per_block: 49152 shared_memory_per_core: 233472 shared_memory_per_block_optin: 232448
  registers_per_core_limit: 65536 registers_per_block_limit: 65536
  block_dim_limit_x: 2147483647 block_dim_limit_y: 65535 block_dim_limit_z: 65535
  memory_bandwidth: 3352320000000 l2_cache_size: 52428800 clock_rate_ghz: 1.98 device_memory_size: 84929347584
  cuda_compute_capability { major: 9 }
}
platform_name: "CUDA" dnn_version_info { major: 9 minor: 8 } runtime_version { major: 12 minor: 9 }
device_description_str: "NVIDIA H100 80GB HBM3"
"""


@cache
def described(name: str) -> Sequence[Any]:
    """The devices of a chip, "v5e" or "h100", of a slice, "v5e:2x4", or of a machine with GPUs, "h100:8".

    Raises:
        MissingExtraError: their compiler is not installed.
        InputError: there are no such devices.
    """
    chip, colon, number = name.partition(":")
    known = chip in TPUS or (chip == H100 and (not colon or (number.isdecimal() and int(number) > 0)))
    require(
        known, "--compile-for", f"name devices, such as v5e:2x4 or h100:8 (chips: {', '.join((*TPUS, H100))})", name
    )
    require_compiler(chip)
    try:
        if chip == H100:
            found = topologies.get_topology_desc(
                platform="cuda", topology_name=H100, target_config=H100_CONFIG, topology=f"1x1x{number or 1}"
            )
        else:
            for variable, value in SURROUNDINGS.items():
                os.environ.setdefault(variable, value)
            found = topologies.get_topology_desc(platform="tpu", topology_name=TPUS.get(name, name))
    except JaxRuntimeError as error:
        first = str(error).splitlines()[0]
        raise InputError(f"`--compile-for` must name devices, such as v5e:2x4; got {name}: {first}") from error
    return found.devices


def require_compiler(chip: str) -> None:
    if chip == H100 and not (find_spec("jax_plugins") and find_spec("jax_plugins.xla_cuda12")):
        raise MissingExtraError('compiling for NVIDIA GPUs needs: pip install ".[cuda-compile]"')
    if chip == H100 and jax.__version_info__ < gpu.NEEDS:
        raise InputError(f"compiling for {H100} needs JAX {'.'.join(map(str, gpu.NEEDS))}; this is {jax.__version__}")
    if chip != H100 and find_spec("libtpu") is None:
        raise MissingExtraError('compiling for TPUs needs libtpu: pip install ".[tpu-compile]"')


def platform(device: Any) -> str:
    """The name under which JAX lowers for it."""
    return "cuda" if device.platform == "gpu" else device.platform


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
