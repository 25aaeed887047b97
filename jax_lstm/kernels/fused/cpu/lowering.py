"""The calls of the C++ library. What is absent is passed with size 0."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jax_lstm.kernels.fused.arrays import OUTPUTS, RESIDUALS, VARIABLES, Arrays, axes, results, tangent


def forward(call: Any, *operands: Any) -> list[Any]:
    """`infer`, and `forward` where the residuals are among the results."""
    arrays = dict(zip(call.operands, operands, strict=True))
    kept = "gates" in call.results
    names = (*OUTPUTS, *RESIDUALS, "hs") if kept else OUTPUTS
    return _ffi_call(
        "jax_lstm_forward" if kept else "jax_lstm_infer",
        arrays,
        ("xs", "weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr", "h0", "c0", "mask", "resets"),
        call,
        names,
    )


def backward(call: Any, *operands: Any) -> list[Any]:
    """The gradients; `gates` are overwritten by theirs."""
    arrays = dict(zip(call.operands, operands, strict=True))
    names = (
        *("d_ys", "d_h", "d_c", "xs", "weight_ih", "weight_hh", "weight_hr", "h0", "c0", "mask", "resets", "hs", "cs"),
    )
    return _ffi_call(
        "jax_lstm_backward",
        arrays,
        (*names, "gates"),
        call,
        # Both biases have one gradient. The last result is scratch, in the memory of `gates`.
        (*(tangent(name) for name in VARIABLES if name != "bias_hh"), "d_gates"),
        {len(names): len(VARIABLES) - 1},
        need_d_xs=np.bool_("d_xs" in call.results),
    )


def _absent(name: str, arrays: Arrays) -> Any:
    members, compute = arrays["xs"].shape[0], arrays["xs"].dtype
    return jnp.zeros((members, *(0,) * (len(axes(name)) - 1)), bool if name in ("mask", "resets") else compute)


def _ffi_call(
    target: str,
    arrays: Arrays,
    operands: Sequence[str],
    call: Any,
    names: Sequence[str],
    aliases: dict[int, int] | None = None,
    **attributes: Any,
) -> list[Any]:
    passed = [arrays[name] if name in arrays else _absent(name, arrays) for name in operands]
    optional = {"d_xs": "d_xs" in call.results, "d_weight_hr": "weight_hr" in arrays, "hs": "mask" in arrays}
    shapes = results([name for name in names if optional.get(name, True)], arrays)
    types = [shapes[name] if name in shapes else jax.typeof(_absent(name, arrays)) for name in names]
    function = jax.ffi.ffi_call(target, types, input_output_aliases=aliases)
    found = dict(zip(names, function(*passed, reverse=np.bool_(call.reverse), **attributes), strict=True))
    if "d_bias_ih" in found:
        found["d_bias_hh"] = found["d_bias_ih"]
    return [found[name] for name in call.results]
