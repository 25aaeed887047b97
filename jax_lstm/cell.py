"""`LSTMCell`: one step, as `torch.nn.LSTMCell`, under Flax's RNN cell protocol."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from jax_lstm import kernels
from jax_lstm.call import compute_dtype
from jax_lstm.checks import as_array, as_state, require_floating, require_shape
from jax_lstm.init import Init
from jax_lstm.sizes import Sizes
from jax_lstm.state import LSTMParams, LSTMState, state_dtype


class LSTMCell(nnx.RNNCellBase):
    """One step of an LSTM; mirrors https://docs.pytorch.org/docs/stable/generated/torch.nn.LSTMCell.html.

    It keeps Flax's cell protocol, `cell(state, x) -> (state, h)`, and so works inside `flax.nnx.RNN`.

    Args:
        input_size: I, the number of features of `x`.
        hidden_size: H, the number of hidden units.
        bias: whether there are biases; two, `bias_ih` and `bias_hh`, as in PyTorch.
        dtype: type to compute in; None takes the widest of the parameters and the input. State and sums are kept in
            float32 where it is a 16-bit type.
        param_dtype: type of the parameters.
        init: initial parameters other than U(-1/sqrt(H), 1/sqrt(H)).
        rngs: where the initial parameters come from.

    Parameters: `weight_ih` (4H, I), `weight_hh` (4H, H), `bias_ih` (4H,), `bias_hh` (4H,), gates i, f, g, o along 4H.

    Raises:
        InputError: for a size below 1, or an input or state of the wrong shape or type.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        *,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = jnp.float32,
        init: Init = Init(),  # noqa: B008 frozen
        rngs: nnx.Rngs,
    ):
        self.sizes = Sizes(input_size, hidden_size, bias=bias)
        init.check(bias)
        self.dtype, self.param_dtype = dtype, param_dtype
        for name, shape in self.sizes.of_layer().items():
            setattr(self, name, nnx.Param(init.draw(name, rngs.params(), shape, hidden_size, param_dtype)))

    input_size = property(lambda self: self.sizes.input_size)
    hidden_size = property(lambda self: self.sizes.hidden_size)
    bias = property(lambda self: self.sizes.bias)

    def __call__(
        self, carry: LSTMState | tuple[jax.Array, jax.Array] | None, inputs: jax.Array
    ) -> tuple[LSTMState, jax.Array]:
        """Take one step: `carry` of (B, H) arrays, None for zeros, and `inputs` (B, I) give the state and `h` (B, H).

        Unbatched input, (I,) with a state of (H,) arrays, works too, and so do more batch axes.
        """
        inputs = as_array("inputs", inputs)
        batch = inputs.shape[:-1]
        require_shape(
            "inputs", inputs, (*batch, self.sizes.input_size) if inputs.ndim else ("B", self.sizes.input_size)
        )
        require_floating("inputs", inputs)
        params = {name: getattr(self, name)[...] for name in self.sizes.of_layer()}
        dtype, shape = compute_dtype(params, inputs, self.dtype), (*batch, self.sizes.hidden_size)
        if carry is None:
            carry = LSTMState.zeros(shape, state_dtype(dtype))
        state = as_state(carry, shape, shape, state_dtype(dtype))
        cast = LSTMParams(**{name: param.astype(dtype) for name, param in params.items()})
        state = kernels.step(cast, state, inputs.astype(dtype))
        return state, state.h.astype(dtype)

    def initialize_carry(self, input_shape: tuple[int, ...], rngs: Any = None, carry_init: Any = None) -> LSTMState:
        """The state to start from for inputs of shape (..., I): zeros, or what `carry_init` draws from `rngs`."""
        shape, dtype = (*input_shape[:-1], self.sizes.hidden_size), state_dtype(self.dtype or self.param_dtype)
        if carry_init is None:
            return LSTMState.zeros(shape, dtype)
        stream = rngs.carry if isinstance(rngs, nnx.Rngs) else rngs
        return LSTMState(carry_init(stream(), shape, dtype), carry_init(stream(), shape, dtype))

    @property
    def num_feature_axes(self) -> int:
        return 1
