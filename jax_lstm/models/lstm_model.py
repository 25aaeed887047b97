"""The tutorial's model: an LSTM and a linear layer on its last output."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import ArrayLike, DTypeLike

from jax_lstm.functional import Lengths
from jax_lstm.layers import LSTM
from jax_lstm.models.linear import Linear


class LSTMModel(nnx.Module):
    """Map a sequence to a vector: a batch-first LSTM from a zero state, and a linear layer on its last output.

    Args:
        input_size: I, the number of features of the input.
        hidden_size: H, the number of hidden units of every layer.
        output_size: O, the size of the output.
        num_layers: L, the number of LSTM layers.
        dtype: computation type; None takes the widest of the parameters and the input.
        param_dtype: type of the parameters.
        rngs: source of the initial parameters and of the dropout masks.
        **lstm_options: further options of `LSTM`, such as `dropout=0.1` or `bidirectional=True`.

    It has the parameters of `LSTM` under `lstm.`, and `fc.weight` (O, R*D) and `fc.bias` (O,).

    Raises:
        InputError: an option is wrong; see `LSTM`.

    Example:
        >>> import jax.numpy as jnp
        >>> from flax import nnx
        >>> import jax_lstm as jl
        >>> model = jl.LSTMModel(input_size=10, hidden_size=20, output_size=1, num_layers=2, rngs=nnx.Rngs(0))
        >>> model(jnp.ones((32, 5, 10))).shape
        (32, 1)
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
        """Map sequences to vectors.

        Args:
            x: (B, T, I), or unbatched (T, I).
            lengths: (B,) integers: the steps of each row; the last output is that of a row's last step.

        Returns:
            (B, O), or (O,). A bidirectional LSTM gives both directions' outputs at the last step to the linear layer,
            as `out[:, -1]` does in PyTorch.

        Raises:
            InputError: a shape or type does not fit.
        """
        ys, _ = self.lstm(x, lengths=lengths)
        if lengths is None:
            return self.fc(ys[..., -1, :])
        last = jnp.clip(jnp.asarray(lengths).astype(jnp.int32), 1, ys.shape[-2]) - 1
        return self.fc(jnp.take_along_axis(ys, last[..., None, None], axis=-2)[..., 0, :])
