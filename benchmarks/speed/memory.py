"""The peak memory of a contender, in its own process.

If the device counts its memory, this is the peak of allocated bytes, less those allocated before. Otherwise it is the
process's peak resident memory during two calls, less what was resident before. What a framework loads at first use does
not count, nor does compilation, except for `torch.compile`, which compiles in its first call.
"""

import contextlib
import ctypes
import gc
import re
import resource
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import jax

from benchmarks.core import child
from benchmarks.core.cases import Case, draw
from benchmarks.core.compiling import temporary_bytes
from benchmarks.core.contenders import CONTENDERS
from benchmarks.core.machine import cores, use_cores

SECONDS = 300  # time limit of a child


def peak_bytes(case: Case, names: list[str], measure: str) -> tuple[dict[str, int], dict[str, str]]:
    """Peak bytes by contender, and reasons for those whose process failed.

    As many processes run at once as there are cores, since nothing is timed; on a GPU, one.
    """
    gpu = jax.default_backend() == "gpu"
    env = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}

    def asked(name: str) -> child.Outcome:
        return child.run(measured, case, name, measure, cores(), gpu, seconds=SECONDS, env=env)

    with ThreadPoolExecutor(1 if gpu else cores()) as pool:
        found = dict(zip(names, pool.map(asked, names), strict=True))
    sizes = {name: outcome.value for name, outcome in found.items() if not outcome.failed}
    return sizes, {name: outcome.failed for name, outcome in found.items() if outcome.failed}


def measured(case: Case, contender: str, measure: str, threads: int, gpu: bool) -> int:
    """Measure in this process, which must not have done anything else."""
    use_cores(threads, gpu)
    small = replace(case, batch=1, steps=2, input_size=1, hidden_size=2)
    CONTENDERS[contender].build(draw(small))[measure].run()  # the framework loads libraries at first use
    work = CONTENDERS[contender].build(draw(case))[measure]
    if work.compiled:
        temporary_bytes(work)  # compiles
    _give_back()
    counted = _device_bytes(work.compiled is not None)
    before = counted[0] if counted else _resident()
    for _ in range(2):
        work.run()
    counted = _device_bytes(work.compiled is not None)
    return max(0, (counted[1] if counted else _peak()) - before)


def _device_bytes(in_jax: bool) -> tuple[int, int] | None:
    """Bytes in use and at the peak; None on a CPU, which does not count them."""
    if in_jax:
        stats = jax.devices()[0].memory_stats()
        return (stats["bytes_in_use"], stats["peak_bytes_in_use"]) if stats else None
    import torch

    if jax.default_backend() != "gpu":
        return None
    return torch.cuda.memory_allocated(), torch.cuda.max_memory_allocated()


def _give_back() -> None:
    """Return freed pages to the system if its library can, since reused pages would not be counted."""
    gc.collect()
    with contextlib.suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


def _resident() -> int:
    """Resident bytes; resets the peak if the system allows it."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # see proc_pid_clear_refs(5)
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    except OSError:
        return _peak()


def _peak() -> int:
    """The peak from Linux if it is known, since that of `getrusage` starts from the parent's peak."""
    try:
        return int(re.findall(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())[0]) * 1024
    except (OSError, IndexError):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024  # bytes there, KiB elsewhere
