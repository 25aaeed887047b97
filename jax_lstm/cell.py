"""`LSTMCell`: one step, as `torch.nn.LSTMCell`, under Flax's RNN cell protocol."""

import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from flax.nnx.nn.dtypes import promote_dtype
from jax.typing import DTypeLike

from jax_lstm import kernels
from jax_lstm.checks import as_state, require_shape, require_size
from jax_lstm.state import LSTMParams, LSTMState


def uniform_param(rngs: nnx.Rngs, shape: tuple[int, ...], fan: int, dtype: DTypeLike) -> nnx.Param:
    """A parameter drawn from U(-1/sqrt(fan), 1/sqrt(fan)), PyTorch's default for its LSTM and linear layers."""
    bound = 1 / math.sqrt(fan)
    return nnx.Param(jax.random.uniform(rngs.params(), shape, dtype, -bound, bound))


def layer_shapes(input_size: int, hidden_size: int, bias: bool) -> dict[str, tuple[int, ...]]:
    """The names and shapes of one layer's parameters, in PyTorch's order."""
    gates = 4 * hidden_size
    shapes: dict[str, tuple[int, ...]] = {"weight_ih": (gates, input_size), "weight_hh": (gates, hidden_size)}
    return shapes | ({"bias_ih": (gates,), "bias_hh": (gates,)} if bias else {})


def promoted(
    params: Mapping[str, Any], arrays: tuple[Any, ...], dtype: DTypeLike | None
) -> tuple[LSTMParams, tuple[Any, ...]]:
    """Cast one layer's parameters and `arrays` to `dtype`, or, where that is None, to the widest type among them."""
    values = tuple(param[...] for param in params.values())
    cast = promote_dtype((*values, *arrays), dtype=dtype)
    return LSTMParams(**dict(zip(params, cast, strict=False))), cast[len(values) :]


class LSTMCell(nnx.RNNCellBase):
    """One step of an LSTM; mirrors https://docs.pytorch.org/docs/stable/generated/torch.nn.LSTMCell.html.

    It keeps Flax's cell protocol, `cell(state, x) -> (state, h)`, and so works inside `flax.nnx.RNN`.

    Args:
        input_size: I, the number of features of `x`.
        hidden_size: H, the number of hidden units.
        bias: whether there are biases; two, `bias_ih` and `bias_hh`, as in PyTorch.
        dtype: type to compute in; None takes the widest of the parameters and the input.
        param_dtype: type of the parameters.
        rngs: where the initial parameters come from, U(-1/sqrt(H), 1/sqrt(H)).

    Parameters: `weight_ih` (4H, I), `weight_hh` (4H, H), `bias_ih` (4H,), `bias_hh` (4H,), gates i, f, g, o along 4H.

    Raises:
        InputError: for a size below 1, or an input or state of the wrong shape.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        *,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        require_size("input_size", input_size)
        require_size("hidden_size", hidden_size)
        self.input_size, self.hidden_size, self.bias = input_size, hidden_size, bias
        self.dtype, self.param_dtype = dtype, param_dtype
        for name, shape in layer_shapes(input_size, hidden_size, bias).items():
            setattr(self, name, uniform_param(rngs, shape, hidden_size, param_dtype))

    def __call__(
        self, carry: LSTMState | tuple[jax.Array, jax.Array], inputs: jax.Array
    ) -> tuple[LSTMState, jax.Array]:
        """Take one step: `carry` of (B, H) arrays and `inputs` (B, I) give the new state and its `h` (B, H).

        Unbatched input, (I,) with a state of (H,) arrays, works too, and so do more batch axes.
        """
        batch = inputs.shape[:-1]
        require_shape("inputs", inputs, (*batch, self.input_size) if inputs.ndim else ("B", self.input_size))
        state = as_state(carry, (*batch, self.hidden_size))
        named = {name: getattr(self, name) for name in layer_shapes(self.input_size, self.hidden_size, self.bias)}
        params, (x, h, c) = promoted(named, (inputs, *state), self.dtype)
        state = kernels.step(params, LSTMState(h, c), x)
        return state, state.h

    def initialize_carry(self, input_shape: tuple[int, ...], rngs: Any = None, carry_init: Any = None) -> LSTMState:
        """The state to start from for inputs of shape (..., I): zeros, or what `carry_init` draws from `rngs`."""
        shape = (*input_shape[:-1], self.hidden_size)
        dtype = self.dtype or self.param_dtype
        if carry_init is None:
            return LSTMState.zeros(shape, dtype)
        stream = rngs.carry if isinstance(rngs, nnx.Rngs) else rngs
        return LSTMState(carry_init(stream(), shape, dtype), carry_init(stream(), shape, dtype))

    @property
    def num_feature_axes(self) -> int:
        return 1
