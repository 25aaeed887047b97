"""The `reference` kernel: the textbook recurrence under `jax.lax.scan`, differentiated by JAX.

Every other kernel is tested against it. Its backward pass is slow: it adds to the weights' gradient at every step.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from jax_lstm.kernels.base import Kernel, Outputs
from jax_lstm.kernels.masking import keep_masked, reset_state, zero_masked, zero_padding
from jax_lstm.params import LSTMParams, LSTMState, state_dtype


def product(x: jax.Array, weight: jax.Array) -> jax.Array:
    """`x @ weight`, (..., K) by (K, N); `x` is cast to the type of `weight`, the result has the type of the state."""
    return jnp.matmul(x.astype(weight.dtype), weight, preferred_element_type=state_dtype(weight.dtype))


def sum_of_biases(params: LSTMParams, ndim: int) -> jax.Array | float:
    """Both biases added, (..., 4H) with `ndim` axes, in the type of the state; 0 without bias."""
    if params.bias_ih is None or params.bias_hh is None:
        return 0.0
    dtype = state_dtype(params.bias_ih.dtype)
    return (params.bias_ih.astype(dtype) + params.bias_hh.astype(dtype)).reshape((1,) * (ndim - 1) + (-1,))


@jax.jit
def step(params: LSTMParams, state: LSTMState, x: jax.Array) -> LSTMState:
    """One step: the equations of https://docs.pytorch.org/docs/stable/generated/torch.nn.LSTM.html.

    Args:
        params: the parameters of one layer in one direction.
        state: h (B, R) and c (B, H). In place of B there may be any leading axes, or none.
        x: (B, I).

    Returns:
        The new state; its `h` is the output of the step.

    Example:
        >>> import jax.numpy as jnp
        >>> import jax_lstm as jl
        >>> params = jl.LSTMParams(jnp.zeros((80, 10)), jnp.zeros((80, 20)))
        >>> jl.kernels.step(params, jl.LSTMState.zeros((32, 20)), jnp.ones((32, 10))).h.shape
        (32, 20)
    """
    gates = product(x, params.weight_ih.T) + product(state.h, params.weight_hh.T) + sum_of_biases(params, x.ndim)
    i, f, g, o = jnp.split(gates, 4, axis=-1)
    c = jax.nn.sigmoid(f) * state.c + jax.nn.sigmoid(i) * jnp.tanh(g)
    h = jax.nn.sigmoid(o) * jnp.tanh(c)
    return LSTMState(h if params.weight_hr is None else product(h, params.weight_hr.T), c)


@dataclass(frozen=True)
class Reference(Kernel):
    """The textbook recurrence, to test other kernels against: `step` under `jax.lax.scan`, differentiated by JAX.

    Its backward pass is slow, since it adds to the gradient of the weights at every step.

    Example:
        >>> import jax.numpy as jnp
        >>> from flax import nnx
        >>> import jax_lstm as jl
        >>> lstm = jl.LSTM(10, 20, backend=jl.kernels.Reference(), rngs=nnx.Rngs(0))
        >>> lstm(jnp.ones((5, 32, 10)))[0].shape
        (5, 32, 20)
    """

    purpose: ClassVar[str] = "the textbook recurrence under lax.scan, differentiated by JAX"

    def sequence(
        self, params: Any, state: LSTMState, xs: Any, *, reverse: bool = False, mask: Any = None, resets: Any = None
    ) -> Outputs:
        """Run `step` over the leading axis of `xs`; see `Kernel.sequence`."""

        def body(state: LSTMState, at: tuple) -> tuple[LSTMState, jax.Array]:
            x, valid, reset = at
            before = reset_state(state, reset)
            return keep_masked(valid, step(params, zero_masked(valid, before), x), before)

        state, ys = jax.lax.scan(body, state, (zero_padding(xs, mask), mask, resets), reverse=reverse)
        return ys.astype(xs.dtype), state
