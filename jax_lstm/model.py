"""`LSTMModel`: an LSTM whose last output goes through a linear layer."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import ArrayLike, DTypeLike

from jax_lstm.call import Lengths, compute_dtype
from jax_lstm.checks import require_size
from jax_lstm.init import Init
from jax_lstm.lstm import LSTM


class Linear(nnx.Module):
    """`y = x @ weight.T + bias` with PyTorch's names and shapes, `weight` (O, I) and `bias` (O,).

    `flax.nnx.Linear` keeps its kernel transposed, (I, O), and a checkpoint would no longer load as it is. Without a
    `weight` of its own, it is given one at the call.
    """

    def __init__(
        self,
        input_size: int,
        output_size: int,
        *,
        weight: bool = True,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        require_size("output_size", output_size)
        self.dtype = dtype
        if weight:
            self.weight = nnx.Param(
                Init().draw("weight", rngs.params(), (output_size, input_size), input_size, param_dtype)
            )
        self.bias = nnx.Param(Init().draw("bias", rngs.params(), (output_size,), input_size, param_dtype))

    def __call__(self, x: jax.Array, weight: jax.Array | None = None) -> jax.Array:
        params = {"weight": self.weight[...] if weight is None else weight, "bias": self.bias[...]}
        dtype = compute_dtype(params, x, self.dtype)
        weight, bias = (param.astype(dtype) for param in params.values())
        return x.astype(dtype) @ weight.T + bias.reshape((1,) * (x.ndim - 1) + (-1,))


class LSTMModel(nnx.Module):
    """Sequence in, vector out: `fc` applied to the last output of a batch-first `lstm` that starts from zeros.

    Args:
        input_size: I, the number of features of the input.
        hidden_size: H, the number of hidden units of every layer.
        output_size: O, the size of the output.
        num_layers: L, the number of LSTM layers.
        dtype: type to compute in; None takes the widest of the parameters and the input.
        param_dtype: type of the parameters.
        rngs: where the initial parameters and the dropout masks come from.
        lstm_options: further options of `LSTM`, as `dropout=0.1` or `bidirectional=True`.

    Parameters: those of `LSTM` under `lstm.`, and `fc.weight` (O, R*D), `fc.bias` (O,).
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        output_size: int,
        num_layers: int = 1,
        *,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
        **lstm_options: Any,
    ):
        types: dict[str, Any] = {"dtype": dtype, "param_dtype": param_dtype, "rngs": rngs}
        self.lstm = LSTM(input_size, hidden_size, num_layers, batch_first=True, **types, **lstm_options)
        sizes = self.lstm.sizes
        self.fc = Linear(sizes.output_size * sizes.num_directions, output_size, **types)

    def __call__(self, x: ArrayLike, *, lengths: Lengths = None) -> jax.Array:
        """(B, T, I) to (B, O), or (T, I) to (O,); with `lengths` (B,) the last output is that of each row's last step.

        Both directions of a bidirectional LSTM are taken at that step, as `out[:, -1]` does in PyTorch.
        """
        ys, _ = self.lstm(x, lengths=lengths)
        if lengths is None:
            return self.fc(ys[..., -1, :])
        last = jnp.clip(jnp.asarray(lengths).astype(jnp.int32), 1, ys.shape[-2]) - 1
        return self.fc(jnp.take_along_axis(ys, last[..., None, None], axis=-2)[..., 0, :])
