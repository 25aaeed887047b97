"""The language model: an embedding, an LSTM, and the logits of the next token."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from jax_lstm.checks import require, require_size
from jax_lstm.functional import compute_dtype
from jax_lstm.layers import LSTM
from jax_lstm.models.linear import Embedding, Linear
from jax_lstm.params import LSTMState, Sizes, state_dtype


class LanguageModel(nnx.Module):
    """Predict the next token at every step: an embedding, an LSTM, and a linear layer on its outputs; batch first.

    Args:
        size: V, the size of the vocabulary.
        hidden_size: H, the number of hidden units of every layer.
        num_layers: L, the number of LSTM layers.
        embedding_size: E, the size of an embedded token; 0 means R, the size of the LSTM's output (`proj_size`, or H).
        tied: whether the output layer shares the weights of the embedding; E must be R then.
        dropout: dropout probability during training, for embedded tokens, outputs between layers and the last outputs.
        dtype: computation type; None takes that of the parameters.
        param_dtype: type of the parameters.
        rngs: source of the initial parameters (`params`) and of the dropout masks (`dropout`).
        **lstm_options: further options of `LSTM`, except `bidirectional`.

    It has the parameters `embedding.weight` (V, E), those of `LSTM` under `lstm.`, `fc.weight` (V, R), which is
    `embedding.weight` if `tied`, and `fc.bias` (V,).

    Raises:
        InputError: an option is wrong; see also `LSTM`.

    Example:
        >>> import jax.numpy as jnp
        >>> from flax import nnx
        >>> import jax_lstm as jl
        >>> model = jl.LanguageModel(size=27, hidden_size=20, rngs=nnx.Rngs(0))
        >>> logits, state = model(jnp.zeros((32, 5), jnp.int32), model.start(32))
        >>> logits.shape, state.h.shape
        ((32, 5, 27), (1, 32, 20))
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
        bidirectional = lstm_options.get("bidirectional", False)
        fix = "a reverse direction would read the tokens that are to be predicted"
        require(not bidirectional, "bidirectional", "be False in a language model", bidirectional, fix)
        output_size = Sizes(size, hidden_size, proj_size=lstm_options.get("proj_size", 0)).output_size
        embedding_size = require_size("embedding_size", embedding_size, least=0) or output_size
        expected = f"equal the size of the LSTM's output, {output_size}, if tied"
        require(not tied or embedding_size == output_size, "embedding_size", expected, embedding_size)
        types: dict[str, Any] = {"param_dtype": param_dtype, "rngs": rngs}
        between = dropout if num_layers > 1 else 0.0
        self.embedding = Embedding(size, embedding_size, **types)
        self.lstm = LSTM(
            embedding_size, hidden_size, num_layers, batch_first=True, dropout=between, dtype=dtype, **types,
            **lstm_options,
        )  # fmt: skip
        self.fc = Linear(output_size, size, weight=not tied, dtype=dtype, **types)
        self.tied = tied
        self.drop = nnx.Dropout(dropout, rngs=rngs) if dropout else None

    @property
    def tied_names(self) -> dict[str, str]:
        """The second name that a tied parameter has in a state dict, and its first.

        Example:
            >>> from flax import nnx
            >>> import jax_lstm as jl
            >>> jl.LanguageModel(size=27, hidden_size=20, tied=True, rngs=nnx.Rngs(0)).tied_names
            {'fc.weight': 'embedding.weight'}
        """
        return {"fc.weight": "embedding.weight"} if self.tied else {}

    def __call__(self, tokens: jax.Array, state: LSTMState | None = None) -> tuple[jax.Array, LSTMState]:
        """Map tokens to the logits of those that follow them.

        Args:
            tokens: (B, T) integers from 0 to V - 1.
            state: the state after the tokens before, h (L, B, R) and c (L, B, H); None for zeros.

        Returns:
            The logits (B, T, V) and the last state.
        """
        embedded = self._dropped(self.embedding(tokens))
        ys, state = self.lstm(embedded, state)
        return self.fc(self._dropped(ys), self.embedding.weight[...] if self.tied else None), state

    def start(self, batch: int) -> LSTMState:
        """The initial state of `batch` rows: zeros, h (L, B, R) and c (L, B, H)."""
        sizes = self.lstm.sizes
        dtype = compute_dtype(self.lstm.params, self.embedding.weight[...], self.lstm.dtype)
        return LSTMState.zeros((sizes.num_layers, batch, sizes.hidden_size), state_dtype(dtype), sizes.output_size)

    def _dropped(self, x: jax.Array) -> jax.Array:
        return x if self.drop is None else self.drop(x)
