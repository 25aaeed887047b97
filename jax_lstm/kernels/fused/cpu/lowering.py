"""Lowering of the fused operations to calls of the C++ library.

Operands and results are passed with their names (see `ffi.cc`), so absent ones are left out and the order is free. A
`call` holds the names of its operands and of the results wanted, and the direction.
"""

from typing import Any

import jax
import numpy as np

from jax_lstm.kernels.fused.arrays import VARIABLES, Signature, results, tangent


def run(call: Signature, *operands: Any) -> list[Any]:
    """The results that `call` names: outputs and last state, with or without residuals, or gradients."""
    names, aliases = call.results, {}
    target = "jax_lstm_forward" if "gates" in names else "jax_lstm_infer"
    if "d_ys" in call.operands:
        target = "jax_lstm_backward"
        # Computed in any case, but for d_xs, which takes a product of its own. Both biases have one gradient. `d_gates`
        # is scratch space and overwrites `gates`.
        computed = [name for name in VARIABLES if name in call.operands and name != "bias_hh"]
        gradients = [tangent(name) for name in computed if name != "xs" or "d_xs" in call.results]
        names, aliases = (*gradients, "d_gates"), {call.operands.index("gates"): len(gradients)}
    types = results(names, dict(zip(call.operands, operands, strict=True)))
    function = jax.ffi.ffi_call(target, list(types.values()), input_output_aliases=aliases)
    found = function(
        *operands, operands=" ".join(call.operands), results=" ".join(names), reverse=np.bool_(call.reverse)
    )
    named = dict(zip(names, found, strict=True))
    return [named["d_bias_ih" if name == "d_bias_hh" else name] for name in call.results]
