"""Kernels: ways to compute the recurrence, as objects for `jax_lstm.LSTM(backend=...)`.

`Fused` is what "auto" takes: one primitive for a whole sequence, in C++ on a CPU, in plain JAX elsewhere. `Scan` is
`lax.scan` with hand-written derivatives; `Cudnn` is NVIDIA's; `Reference` is the textbook recurrence, against which
the others are tested. `Parallel` computes all steps at once, and `iterations` tells how often it has to for an LSTM.
`named` finds a kernel by name. To write one, subclass `Kernel`.

Example:
    >>> import jax_lstm as jl
    >>> list(jl.kernels.KERNELS)
    ['native', 'pallas', 'plain', 'cudnn', 'scan', 'parallel', 'reference']
"""

from jax_lstm.kernels.auto import KERNELS, Choice, named
from jax_lstm.kernels.base import Call, Direction, Kernel, Stack
from jax_lstm.kernels.counting import Iterations, iterations
from jax_lstm.kernels.cudnn import Cudnn
from jax_lstm.kernels.fused import Fused
from jax_lstm.kernels.parallel import Parallel
from jax_lstm.kernels.reference import Reference, step
from jax_lstm.kernels.scan import Scan

__all__ = [
    "KERNELS",
    "Call",
    "Choice",
    "Cudnn",
    "Direction",
    "Fused",
    "Iterations",
    "Kernel",
    "Parallel",
    "Reference",
    "Scan",
    "Stack",
    "iterations",
    "named",
    "step",
]


def __dir__() -> list[str]:
    return __all__
