"""Options with which XLA compiles in half the time; what it computes is the same but for its own optimisations.

For grids of small programs that are held against PyTorch or an oracle, and for processes that tests start. All else,
and with JAX_LSTM_FULL_COMPILE=1 these too, is compiled as users compile it.
"""

import functools
import os
from typing import Any

import jax

# JAX 0.12 no longer has the second.
WANTED: dict[str, Any] = {"xla_backend_optimization_level": 0, "xla_cpu_use_fusion_emitters": False}


def _known(name: str, value: Any) -> bool:
    try:
        jax.jit(lambda x: x, compiler_options={name: value})(0.0)
    except jax.errors.JaxRuntimeError:
        return False
    return True


FULL = os.environ.get("JAX_LSTM_FULL_COMPILE") == "1"
FAST_COMPILE = {name: value for name, value in WANTED.items() if not FULL and _known(name, value)}

# The same for a process of its own, XLA_FLAGS in its environment.
FAST_FLAGS = " ".join(
    [os.environ.get("XLA_FLAGS", ""), *(f"--{name}={str(value).lower()}" for name, value in FAST_COMPILE.items())]
).strip()

fast_jit = functools.partial(jax.jit, compiler_options=FAST_COMPILE)
