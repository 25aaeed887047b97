"""`LSTM`: layers of the recurrence over whole sequences, as `torch.nn.LSTM`."""

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from jax_lstm import kernels
from jax_lstm.cell import layer_shapes, promoted, uniform_param
from jax_lstm.checks import as_state, require, require_shape, require_size
from jax_lstm.state import LSTMState


class LSTM(nnx.Module):
    """A multi-layer LSTM; mirrors https://docs.pytorch.org/docs/stable/generated/torch.nn.LSTM.html.

    Args:
        input_size: I, the number of features of the input.
        hidden_size: H, the number of hidden units of every layer.
        num_layers: L; each layer reads the outputs of the one below.
        bias: whether there are biases; two a layer, as in PyTorch.
        batch_first: input and output are (B, T, ...) instead of (T, B, ...). States are (L, B, H) either way.
        dropout: probability with which an output is dropped between layers; only in training mode (`train()`,
            `eval()`), and never after the last layer.
        dtype: type to compute in; None takes the widest of the parameters and the input.
        param_dtype: type of the parameters.
        rngs: where the initial parameters, U(-1/sqrt(H), 1/sqrt(H)), and the dropout masks come from.

    Parameters, for layer k: `weight_ih_l{k}` (4H, I or H), `weight_hh_l{k}` (4H, H), `bias_ih_l{k}` and
    `bias_hh_l{k}` (4H,); gates i, f, g, o along 4H. These are PyTorch's names and shapes.

    Raises:
        InputError: for a size below 1, a dropout outside 0 to 1, or an input or state of the wrong shape.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        *,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        require_size("input_size", input_size)
        require_size("hidden_size", hidden_size)
        require_size("num_layers", num_layers)
        require(0 <= dropout <= 1, "dropout", "be a probability, 0 to 1", dropout)
        self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, num_layers
        self.bias, self.batch_first = bias, batch_first
        self.dtype, self.param_dtype = dtype, param_dtype
        for layer in range(num_layers):
            for name, shape in self._layer_shapes(layer).items():
                setattr(self, f"{name}_l{layer}", uniform_param(rngs, shape, hidden_size, param_dtype))
        # Without dropout there is no random state to carry, save and restore.
        self.dropout = nnx.Dropout(dropout, rngs=rngs) if dropout > 0 else None

    def _layer_shapes(self, layer: int) -> dict[str, tuple[int, ...]]:
        return layer_shapes(self.input_size if layer == 0 else self.hidden_size, self.hidden_size, self.bias)

    def __call__(
        self, x: jax.Array, state: LSTMState | tuple[jax.Array, jax.Array] | None = None
    ) -> tuple[jax.Array, LSTMState]:
        """Run the sequence `x` from `state` (zeros if None).

        Args:
            x: (T, B, I), or (B, T, I) if `batch_first`, or unbatched (T, I).
            state: `LSTMState` or `(h, c)` of (L, B, H) arrays; (L, H) when `x` is unbatched.

        Returns:
            The last layer's outputs, shaped as `x` with H in place of I, and the last state of every layer.
        """
        batched = ("B", "T", self.input_size) if self.batch_first else ("T", "B", self.input_size)
        require_shape("x", x, batched, ("T", self.input_size))
        unbatched = x.ndim == 2
        xs = x[:, None] if unbatched else jnp.swapaxes(x, 0, 1) if self.batch_first else x
        require(xs.shape[0] > 0, "x", "have at least one time step", f"shape {tuple(x.shape)}")

        if state is None:
            dtype = jnp.result_type(x, self.param_dtype) if self.dtype is None else self.dtype
            state = LSTMState.zeros((self.num_layers, xs.shape[1], self.hidden_size), dtype)
        else:
            batch = () if unbatched else (xs.shape[1],)
            state = as_state(state, (self.num_layers, *batch, self.hidden_size))
            if unbatched:
                state = LSTMState(state.h[:, None], state.c[:, None])

        last: list[LSTMState] = []
        for layer in range(self.num_layers):
            if layer > 0 and self.dropout is not None:
                xs = self.dropout(xs)
            named = {name: getattr(self, f"{name}_l{layer}") for name in self._layer_shapes(layer)}
            params, (xs, h, c) = promoted(named, (xs, state.h[layer], state.c[layer]), self.dtype)
            xs, layer_state = kernels.scan(params, xs, LSTMState(h, c))
            last.append(layer_state)
        state = LSTMState(jnp.stack([s.h for s in last]), jnp.stack([s.c for s in last]))

        if unbatched:
            return xs[:, 0], LSTMState(state.h[:, 0], state.c[:, 0])
        return (jnp.swapaxes(xs, 0, 1) if self.batch_first else xs), state
