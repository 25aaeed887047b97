"""`LanguageModel`: embedding, LSTM and output layer; what comes next, at every step."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from jax_lstm.call import compute_dtype
from jax_lstm.checks import require, require_size
from jax_lstm.lstm import LSTM
from jax_lstm.model import Linear
from jax_lstm.state import LSTMState, state_dtype


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
