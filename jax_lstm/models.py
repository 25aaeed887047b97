"""Models around the LSTM: `LSTMModel` for forecasts and labels, `LanguageModel` for text."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import ArrayLike, DTypeLike

from jax_lstm.checks import require, require_size
from jax_lstm.functional import Lengths, compute_dtype
from jax_lstm.layers import LSTM
from jax_lstm.params import Init, LSTMState, state_dtype


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


class Embedding(nnx.Module):
    """Rows of `weight` (V, E), as `torch.nn.Embedding` has them, drawn from N(0, 1) / sqrt(E).

    PyTorch draws from N(0, 1); an output layer that shares such weights would begin with logits far too large
    (https://arxiv.org/abs/1608.05859 shares them).
    """

    def __init__(self, size: int, embedding_size: int, *, param_dtype: DTypeLike = jnp.float32, rngs: nnx.Rngs):
        draw = jax.random.normal(rngs.params(), (size, embedding_size), param_dtype)
        self.weight = nnx.Param(draw / jnp.sqrt(embedding_size).astype(param_dtype))

    def __call__(self, tokens: jax.Array) -> jax.Array:
        return self.weight[...][tokens]


class LanguageModel(nnx.Module):
    """Tokens in, logits of the token after each one out; batch first.

    Args:
        size: V, the number of different tokens.
        hidden_size: H, the number of hidden units of every layer.
        num_layers: L, the number of LSTM layers.
        embedding_size: E, the numbers that stand for a token; H if 0.
        tied: the output layer has the weights of the embedding, and a bias of its own; E must be H then.
        dropout: probability with which, in training, an entry of an embedded token, an output between layers and an
            output of the last layer is dropped.
        dtype: type to compute in; None takes that of the parameters.
        param_dtype: type of the parameters.
        rngs: where the initial parameters (`params`) and the masks of dropout (`dropout`) come from.
        lstm_options: further options of `LSTM`.

    Parameters: `embedding.weight` (V, E), those of `LSTM` under `lstm.`, `fc.weight` (V, H) unless `tied`, and
    `fc.bias` (V,).
    """

    def __init__(
        self,
        size: int,
        hidden_size: int,
        num_layers: int = 1,
        *,
        embedding_size: int = 0,
        tied: bool = False,
        dropout: float = 0.0,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
        **lstm_options: Any,
    ):
        require_size("size", size)
        embedding_size = require_size("embedding_size", embedding_size, least=0) or hidden_size
        require(not tied or embedding_size == hidden_size, "embedding_size", f"be hidden_size, {hidden_size}, if tied",
                embedding_size)  # fmt: skip
        types: dict[str, Any] = {"param_dtype": param_dtype, "rngs": rngs}
        between = dropout if num_layers > 1 else 0.0
        self.embedding = Embedding(size, embedding_size, **types)
        self.lstm = LSTM(
            embedding_size, hidden_size, num_layers, batch_first=True, dropout=between, dtype=dtype, **types,
            **lstm_options,
        )  # fmt: skip
        self.fc = Linear(hidden_size, size, weight=not tied, dtype=dtype, **types)
        self.tied = tied
        self.drop = nnx.Dropout(dropout, rngs=rngs) if dropout else None

    def __call__(self, tokens: jax.Array, state: LSTMState | None = None) -> tuple[jax.Array, LSTMState]:
        """Integers (B, T), and the `state` before, to logits (B, T, V) of what follows each, and the last state."""
        embedded = self._dropped(self.embedding(tokens))
        ys, state = self.lstm(embedded, state)
        return self.fc(self._dropped(ys), self.embedding.weight[...] if self.tied else None), state

    def start(self, batch: int) -> LSTMState:
        """The state before the first token of `batch` rows: zeros."""
        sizes = self.lstm.sizes
        dtype = compute_dtype(self.lstm.params, self.embedding.weight[...], self.lstm.dtype)
        return LSTMState.zeros((sizes.num_layers, batch, sizes.hidden_size), state_dtype(dtype))

    def _dropped(self, x: jax.Array) -> jax.Array:
        return x if self.drop is None else self.drop(x)
