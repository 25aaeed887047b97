"""Gradients of the inputs and parameters from those of the gates: what a lowering's loop leaves to large products."""

from typing import Any

import jax
import jax.numpy as jnp

from jax_lstm.kernels import masking
from jax_lstm.kernels.fused.arrays import Arrays, dtype
from jax_lstm.kernels.masking import zero_padding


def before(arrays: Arrays, name: str, first: str, reverse: bool) -> jax.Array:
    """The state before every step, from `name`, (T, B, ...), the one after it; zero at resets and in the padding."""
    return masking.states_before(arrays[name], arrays[first], arrays.get("resets"), arrays.get("mask"), reverse=reverse)


def gradients(
    arrays: Arrays, d_gates: jax.Array, d_hs: jax.Array | None, wanted: tuple[str, ...], reverse: bool
) -> Arrays:
    """The gradients `wanted` of one member's inputs, weights and biases.

    Args:
        arrays: the operands of the operation `backward`, without the axis N.
        d_gates: (T, B, 4H), of the gates before their activations; zero at masked steps.
        d_hs: (T, B, R), of `h` after the projection; zero at masked steps. None without a projection.
        wanted: names of gradients.
        reverse: the direction of the forward pass.
    """
    compute = arrays["xs"].dtype

    def product(equation: str, *factors: Any) -> jax.Array:
        state = dtype("h", compute)
        return jnp.einsum(equation, *(at.astype(compute) for at in factors), preferred_element_type=state)

    xs = zero_padding(arrays["xs"], arrays.get("mask"))
    found = {
        "d_xs": lambda: product("tbg,gi->tbi", d_gates, arrays["weight_ih"]),
        "d_weight_ih": lambda: product("tbg,tbi->gi", d_gates, xs),
        "d_weight_hh": lambda: product("tbg,tbr->gr", d_gates, before(arrays, "hs", "h0", reverse)),
        "d_bias_ih": lambda: d_gates.sum((0, 1), dtype("bias_ih", compute)),
        "d_bias_hh": lambda: d_gates.sum((0, 1), dtype("bias_hh", compute)),
        "d_weight_hr": lambda: product("tbr,tbh->rh", d_hs, _before_projection(arrays)),
    }
    return {name: found[name]().astype(dtype(name, compute)) for name in wanted if name in found}


def _before_projection(arrays: Arrays) -> jax.Array:
    o = jnp.split(arrays["gates"], 4, axis=-1)[3]
    return zero_padding(o * jnp.tanh(arrays["cs"]), arrays.get("mask"))
