"""Gradients of the weights, biases and inputs from those of the gates: products over all steps at once."""

from collections.abc import Iterable
from typing import Any

import jax.numpy as jnp

from jax_lstm.kernels.fused.arrays import Arrays
from jax_lstm.kernels.masking import zero_padding


def gradients(arrays: Arrays, d_gates: Any, wanted: Iterable[str], reverse: bool) -> Arrays:
    """Those `wanted` of d_xs, d_weight_ih, d_weight_hh, d_bias_ih and d_bias_hh.

    `d_gates` (N, T, B, 4H): gradients of the gates before their activations, zero at masked steps. Sums are in float32.
    """
    mask, resets = arrays.get("mask"), arrays.get("resets")

    def product(equation: str, *factors: Any) -> Any:
        return jnp.einsum(equation, *factors, preferred_element_type=jnp.float32)

    def hs_before() -> Any:
        """h before every step, in the type of `xs`."""
        hs, first = arrays["hs"], arrays["h0"][:, None].astype(arrays["hs"].dtype)
        hs = jnp.concatenate([hs[:, 1:], first] if reverse else [first, hs[:, :-1]], axis=1)
        return zero_padding(hs if resets is None else jnp.where(resets[..., None], 0, hs), mask)

    d_gates = d_gates.astype(arrays["xs"].dtype)
    found = {
        "d_xs": lambda: product("ntbg,ngi->ntbi", d_gates, arrays["weight_ih"]),
        "d_weight_ih": lambda: product("ntbg,ntbi->ngi", d_gates, zero_padding(arrays["xs"], mask)),
        "d_weight_hh": lambda: product("ntbg,ntbh->ngh", d_gates, hs_before()),
        "d_bias_ih": lambda: jnp.sum(d_gates, axis=(1, 2), dtype=jnp.float32),
        "d_bias_hh": lambda: jnp.sum(d_gates, axis=(1, 2), dtype=jnp.float32),
    }
    return {name: function() for name, function in found.items() if name in wanted}
