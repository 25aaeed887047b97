"""Lowering of the fused operations to calls of the C++ library, for one layer or a stack.

Operands and results are passed with their names (see `ffi.cc`), so absent ones are left out and the order is free. A
`call` holds the names of its operands and of the results wanted, and the direction.
"""

from typing import Any

import jax
import numpy as np

from jax_lstm.kernels.fused.arrays import OUTPUTS, VARIABLES, Signature, at_layer, depth, results, tangent


def run(call: Signature, *operands: Any) -> list[Any]:
    """The results that `call` names: outputs and last state, with or without residuals, or gradients."""
    layers, given = range(depth(call.operands)), set(call.operands)
    if at_layer("d_ys", layers[-1]) in given:
        # Computed in any case, but for d_xs of the first layer, which takes a product of its own. Both biases have one
        # gradient. `d_gates` is scratch space and overwrites `gates`.
        target = "jax_lstm_backward"
        variables = [at_layer(name, layer) for layer in layers for name in VARIABLES if name != "bias_hh"]
        passed_on = [at_layer("xs", layer) for layer in layers[1:]]
        computed = [name for name in variables if name in given or name in passed_on]
        gradients = [tangent(name) for name in computed if name != "xs" or "d_xs" in call.results]
        gates = [at_layer("gates", layer) for layer in layers]
        names = (*gradients, *map(tangent, gates))
        aliases = {call.operands.index(name): names.index(tangent(name)) for name in gates}
    else:
        target = "jax_lstm_forward" if "gates" in call.results else "jax_lstm_infer"
        outputs = [at_layer(name, layer) for layer in layers for name in OUTPUTS]
        names, aliases = tuple(dict.fromkeys((*call.results, *outputs))), {}
    types = results(names, dict(zip(call.operands, operands, strict=True)))
    function = jax.ffi.ffi_call(target, list(types.values()), input_output_aliases=aliases)
    found = function(
        *operands, operands=" ".join(call.operands), results=" ".join(names), reverse=np.bool_(call.reverse)
    )
    named = dict(zip(names, found, strict=True))
    return [named[name.replace("d_bias_hh", "d_bias_ih")] for name in call.results]
