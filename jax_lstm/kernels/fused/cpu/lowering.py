"""Lowering of the fused operations to calls of the C++ library.

Operands and results are passed with their names (see `ffi.cc`), so absent ones are left out and the order is free. A
`call` holds the names of its operands and of the results wanted, and the direction.
"""

from typing import Any

import jax
import numpy as np

from jax_lstm.kernels.fused.arrays import VARIABLES, Arrays, Signature, results, tangent


def forward(call: Signature, *operands: Any) -> list[Any]:
    """Outputs and last state; with the residuals of the backward pass if `call.results` names them."""
    found = _run("jax_lstm_forward" if "gates" in call.results else "jax_lstm_infer", call, operands, call.results)
    return [found[name] for name in call.results]


def backward(call: Signature, *operands: Any) -> list[Any]:
    """Gradients of the operands named in `call.results`, from the cotangents of the outputs."""
    # Computed in any case, but for d_xs, which takes a product of its own. Both biases have one gradient. `d_gates` is
    # scratch space and overwrites `gates`.
    computed = [name for name in VARIABLES if name in call.operands and name != "bias_hh"]
    names = [tangent(name) for name in computed if name != "xs" or "d_xs" in call.results]
    aliases = {call.operands.index("gates"): len(names)}
    found = _run("jax_lstm_backward", call, operands, (*names, "d_gates"), aliases)
    return [found["d_bias_ih" if name == "d_bias_hh" else name] for name in call.results]


def _run(
    target: str,
    call: Signature,
    operands: tuple[Any, ...],
    names: tuple[str, ...],
    aliases: dict[int, int] | None = None,
) -> Arrays:
    types = results(names, dict(zip(call.operands, operands, strict=True)))
    function = jax.ffi.ffi_call(target, list(types.values()), input_output_aliases=aliases)
    found = function(
        *operands, operands=" ".join(call.operands), results=" ".join(names), reverse=np.bool_(call.reverse)
    )
    return dict(zip(names, found, strict=True))
