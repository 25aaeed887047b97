"""The lowering for CPUs: C++ behind XLA's foreign function interface, compiled when the package is installed."""

from typing import Any

import jax.numpy as jnp

from jax_lstm.kernels.base import Call
from jax_lstm.kernels.fused.cpu.library import native_status, unavailable

DTYPES = ("float32", "float64", "bfloat16")

__all__ = ["native_status", "refuses", "unavailable"]


def refuses(call: Call) -> str:
    """Why the C++ library does not support `call`; "" if it does."""
    if not all(isinstance(size, int) for size in (call.steps, call.batch)):
        return "it needs fixed sizes; T or B is symbolic"
    name: Any = jnp.dtype(call.dtype).name
    return unavailable() or ("" if name in DTYPES else f"it computes in {', '.join(DTYPES)}; not in {name}")
