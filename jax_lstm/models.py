"""Models around the LSTM: `LSTMModel` for forecasts and labels, `LanguageModel` for text."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import ArrayLike, DTypeLike

from jax_lstm.checks import require, require_size
from jax_lstm.functional import Lengths, compute_dtype
from jax_lstm.layers import LSTM
from jax_lstm.params import Init, LSTMState, Sizes, state_dtype


class Linear(nnx.Module):
    """`y = x @ weight.T + bias` with PyTorch's names and shapes, `weight` (O, I) and `bias` (O,).

    Args:
        input_size: I, the size of the input.
        output_size: O, the size of the output.
        weight: whether there is a `weight`; if not, every call passes one.
        dtype: computation type; None takes the widest of the parameters and the input.
        param_dtype: type of the parameters.
        rngs: source of the initial parameters.
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
    """Sequence to vector: a batch-first `lstm` with zero initial state, and a linear layer `fc` on its last output.

    Args:
        input_size: I, the number of features of the input.
        hidden_size: H, the number of hidden units of every layer.
        output_size: O, the size of the output.
        num_layers: L, the number of LSTM layers.
        dtype: computation type; None takes the widest of the parameters and the input.
        param_dtype: type of the parameters.
        rngs: source of the initial parameters and of the dropout masks.
        lstm_options: further options of `LSTM`, such as `dropout=0.1` or `bidirectional=True`.

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
        """Map (B, T, I) to (B, O), or (T, I) to (O,). `lengths` (B,) puts the last output at each row's last step.

        A bidirectional LSTM gives both directions' outputs at that step, as `out[:, -1]` does in PyTorch.
        """
        ys, _ = self.lstm(x, lengths=lengths)
        if lengths is None:
            return self.fc(ys[..., -1, :])
        last = jnp.clip(jnp.asarray(lengths).astype(jnp.int32), 1, ys.shape[-2]) - 1
        return self.fc(jnp.take_along_axis(ys, last[..., None, None], axis=-2)[..., 0, :])


class Embedding(nnx.Module):
    """Rows of `weight` (V, E), as in `torch.nn.Embedding`, with initial values from N(0, 1) / sqrt(E).

    PyTorch draws from N(0, 1), which makes the first logits far too large when the output layer shares the weights
    (https://arxiv.org/abs/1608.05859).
    """

    def __init__(self, size: int, embedding_size: int, *, param_dtype: DTypeLike = jnp.float32, rngs: nnx.Rngs):
        draw = jax.random.normal(rngs.params(), (size, embedding_size), param_dtype)
        self.weight = nnx.Param(draw / jnp.sqrt(embedding_size).astype(param_dtype))

    def __call__(self, tokens: jax.Array) -> jax.Array:
        return self.weight[...][tokens]


class LanguageModel(nnx.Module):
    """Predict the next token: token ids to the logits of each following token; batch first.

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
        lstm_options: further options of `LSTM`, except `bidirectional`.

    Parameters: `embedding.weight` (V, E), those of `LSTM` under `lstm.`, `fc.weight` (V, R), which is
    `embedding.weight` if `tied`, and `fc.bias` (V,).

    Raises:
        InputError: an option is wrong; see also `LSTM`.
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
        """The second name that a tied parameter has in a state dict, and its first."""
        return {"fc.weight": "embedding.weight"} if self.tied else {}

    def __call__(self, tokens: jax.Array, state: LSTMState | None = None) -> tuple[jax.Array, LSTMState]:
        """Map token ids (B, T) and the previous `state` to logits (B, T, V) of the next tokens, and the last state."""
        embedded = self._dropped(self.embedding(tokens))
        ys, state = self.lstm(embedded, state)
        return self.fc(self._dropped(ys), self.embedding.weight[...] if self.tied else None), state

    def start(self, batch: int) -> LSTMState:
        """The initial state of `batch` rows: zeros."""
        sizes = self.lstm.sizes
        dtype = compute_dtype(self.lstm.params, self.embedding.weight[...], self.lstm.dtype)
        return LSTMState.zeros((sizes.num_layers, batch, sizes.hidden_size), state_dtype(dtype), sizes.output_size)

    def _dropped(self, x: jax.Array) -> jax.Array:
        return x if self.drop is None else self.drop(x)
