"""`LSTMModel`: an LSTM whose last output goes through a linear layer."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from flax.nnx.nn.dtypes import promote_dtype
from jax.typing import DTypeLike

from jax_lstm.cell import uniform_param
from jax_lstm.checks import require_size
from jax_lstm.lstm import LSTM


class Linear(nnx.Module):
    """`y = x @ weight.T + bias` with PyTorch's names and shapes, `weight` (O, I) and `bias` (O,).

    `flax.nnx.Linear` keeps its kernel transposed, (I, O), and a checkpoint would no longer load as it is.
    """

    def __init__(
        self,
        input_size: int,
        output_size: int,
        *,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        require_size("output_size", output_size)
        self.dtype = dtype
        self.weight = uniform_param(rngs, (output_size, input_size), input_size, param_dtype)
        self.bias = uniform_param(rngs, (output_size,), input_size, param_dtype)

    def __call__(self, x: jax.Array) -> jax.Array:
        x, weight, bias = promote_dtype((x, self.weight[...], self.bias[...]), dtype=self.dtype)
        return x @ weight.T + bias.reshape((1,) * (x.ndim - 1) + (-1,))


class LSTMModel(nnx.Module):
    """Sequence in, vector out: `fc` applied to the last output of a batch-first `lstm` that starts from zeros.

    Args:
        input_size: I, the number of features of the input.
        hidden_size: H, the number of hidden units of every layer.
        output_size: O, the size of the output.
        num_layers: L, the number of LSTM layers.
        bias: whether the LSTM has biases; `fc` always has one.
        dropout: as in `LSTM`, between layers and in training mode only.
        dtype: type to compute in; None takes the widest of the parameters and the input.
        param_dtype: type of the parameters.
        rngs: where the initial parameters and the dropout masks come from.

    Parameters: those of `LSTM` under `lstm.`, and `fc.weight` (O, H), `fc.bias` (O,).
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        output_size: int,
        num_layers: int = 1,
        *,
        bias: bool = True,
        dropout: float = 0.0,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        types: dict[str, Any] = {"dtype": dtype, "param_dtype": param_dtype, "rngs": rngs}
        self.lstm = LSTM(input_size, hidden_size, num_layers, bias, True, dropout, **types)
        self.fc = Linear(hidden_size, output_size, **types)

    def __call__(self, x: jax.Array) -> jax.Array:
        """(B, T, I) to (B, O), or (T, I) to (O,)."""
        ys, _ = self.lstm(x)
        return self.fc(ys[..., -1, :])
