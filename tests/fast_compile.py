"""Options with which XLA compiles in half the time; what it computes is the same but for its own optimisations.

For tests of many small programs, and for processes that tests of training start. What is tested of whole models, of
training, commands and compiled text in the process of the test itself is compiled as users compile it.
"""

import functools
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


FAST_COMPILE = {name: value for name, value in WANTED.items() if _known(name, value)}

# The same for a process of its own.
FAST_FLAGS = " ".join(f"--{name}={str(value).lower()}" for name, value in FAST_COMPILE.items())

fast_jit = functools.partial(jax.jit, compiler_options=FAST_COMPILE)
