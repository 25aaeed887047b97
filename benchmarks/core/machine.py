"""Where a record is made: versions, the processor, settings, the commit of the checkout, cores in use."""

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import jax

from jax_lstm.checks import require, require_extra
from jax_lstm.environment import environment, installed

ROOT = Path(__file__).parents[2]
PEERS = ("keras", "equinox", "onnxruntime", "onnx")
SIMD = re.compile(r"sse4_2|f16c|fma|avx\w*|amx\w*|asimd\w*|sve\w*|bf16|i8mm")  # for matrix products
# Environment variables that change speeds.
VARIABLES = re.compile(r"(XLA|OMP|MKL|KMP|OPENBLAS|JAX|TORCH|TORCHINDUCTOR|KERAS|CUDA|NVIDIA|MALLOC|GLIBC)_\w+")


def machine() -> dict[str, Any]:
    """What `jax_lstm.environment` has, packages of contenders, the processor, and settings that are no paths."""
    found = environment()
    found["packages"] |= {name: has for name in PEERS if (has := installed(name))}
    items = sorted(os.environ.items())
    settings = {name: value for name, value in items if VARIABLES.fullmatch(name) and os.sep not in value}
    text = _read("/proc/cpuinfo")
    flags = re.search(r"^(?:flags|Features)\s*:(.*)$", text, re.MULTILINE)
    simd = sorted(flag for flag in flags[1].split() if SIMD.fullmatch(flag)) if flags else []
    return found | {"processor": _processor(text), "simd": simd, "variables": settings}


def _processor(cpuinfo: str) -> list[str]:
    """Family, model and caches of the CPU, since its name alone may say nothing; empty if the system does not tell."""
    lines = (re.search(rf"^(?:cpu )?({name})\s*:\s*(\w+)$", cpuinfo, re.MULTILINE) for name in ("family", "model"))
    found = [f"{line[1]} {line[2]}" for line in lines if line]
    for folder in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        level, kind, size = (_read(folder / name).strip() for name in ("level", "type", "size"))
        found += [f"L{level} {size}"] if kind != "Instruction" else []
    return found


def _read(path: str | Path) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError:
        return ""


def commit() -> str:
    """The commit of the checkout, or "unknown"."""
    try:
        head = _git("rev-parse", "HEAD")
        return head + " and changes" * bool(_git("status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(*arguments: str) -> str:
    ran = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    return ran.stdout.strip()


def use_cores(threads: int, gpu: bool = False) -> None:
    """Restrict this process to its first `threads` cores, 0 for all, with one thread each for XLA and PyTorch.

    All contenders get the same.
    With `gpu` both compute on the GPU; without, on the CPU even if there is a GPU.
    """
    torch = require_extra("torch", "torch", "python -m benchmarks")
    if not gpu:
        jax.config.update("jax_platforms", "cpu")
    own = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))
    require(
        0 <= threads <= len(own), "--threads", f"lie between 0, for all, and the {len(own)} that there are", threads
    )
    if threads and hasattr(os, "sched_setaffinity"):  # XLA counts the cores when its client starts
        os.sched_setaffinity(0, own[:threads])
    torch.set_num_threads(cores())
    if gpu:
        jax.config.update("jax_default_matmul_precision", "highest")  # float32 rather than TF32, for both
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
        fix = "pip install 'jax[cuda12]', and a PyTorch with CUDA"
        for name, there in (("JAX", jax.default_backend() == "gpu"), ("PyTorch", torch.cuda.is_available())):
            require(there, "--gpu", "be given where both frameworks find a GPU", f"{name} without one", fix)


def cores() -> int:
    """The number of cores that this process may use."""
    return environment()["cores"]
