"""The `native` kernel: one call runs the whole sequence, in C++ on the CPU."""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from jax_lstm.kernels.fused.arrays import OUTPUTS, dtype
from jax_lstm.kernels.fused.cpu.library import unavailable
from jax_lstm.kernels.fused.primitive import infer
from jax_lstm.params import LSTMParams, LSTMState

DTYPES = ("float32", "float64", "bfloat16")


def cannot_serve(dtype: Any) -> str:
    """Why the native kernel cannot compute in `dtype`; empty if it can."""
    name = jnp.dtype(dtype).name
    return "" if name in DTYPES else f"it computes in {', '.join(DTYPES)}; not in {name}"


def native(
    params: LSTMParams,
    xs: jax.Array,
    state: LSTMState,
    *,
    reverse: bool = False,
    mask: jax.Array | None = None,
    resets: jax.Array | None = None,
) -> tuple[jax.Array, LSTMState]:
    """Run a sequence; the contract is that of `jax_lstm.kernels`.

    A RuntimeError says why where the kernel cannot serve the call, as `unavailable` and `cannot_serve` do.
    """
    if reason := unavailable() or cannot_serve(xs.dtype):
        raise RuntimeError(f"the native kernel cannot serve this call: {reason}")
    return _run(params, xs, LSTMState(*state), mask, resets, reverse)


@functools.partial(jax.jit, static_argnames="reverse")
def _run(params: LSTMParams, xs: Any, state: LSTMState, mask: Any, resets: Any, reverse: bool) -> Any:
    arrays = {"xs": xs, **params._asdict()} | {
        "h0": state.h,
        "c0": state.c,
        "mask": mask,
        "resets": resets,
    }
    one = {name: array[None] for name, array in arrays.items() if array is not None}
    one |= {name: one[name].astype(dtype(name, xs.dtype)) for name in ("bias_ih", "bias_hh") if name in one}
    found = infer(one, OUTPUTS, reverse)
    return found["ys"][0], LSTMState(found["h"][0], found["c"][0])
