"""Give all contenders the same cores and number of threads."""

import os

import jax

from jax_lstm.checks import require, require_extra
from jax_lstm.environment import environment


def use_cores(threads: int, gpu: bool = False) -> None:
    """Restrict this process to its first `threads` cores, 0 for all, with one thread each for XLA and PyTorch.

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
