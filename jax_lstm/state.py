"""The arrays that an LSTM works on: its state, and the parameters of one layer in one direction."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike


class LSTMState(NamedTuple):
    """Hidden state `h` and cell state `c`; a plain `(h, c)` tuple is taken wherever a state is.

    For one cell both are (B, H); for an `LSTM` both are (L, B, H), as in `torch.nn.LSTM`.
    """

    h: jax.Array
    c: jax.Array

    @classmethod
    def zeros(cls, shape: tuple[int, ...], dtype: DTypeLike = jnp.float32) -> "LSTMState":
        return cls(jnp.zeros(shape, dtype), jnp.zeros(shape, dtype))


class LSTMParams(NamedTuple):
    """Parameters of one layer, in PyTorch's layout: the gates i, f, g, o stacked along 4H.

    `weight_ih` (4H, I), `weight_hh` (4H, H), `bias_ih` (4H,) and `bias_hh` (4H,); both biases are None without bias.
    """

    weight_ih: jax.Array
    weight_hh: jax.Array
    bias_ih: jax.Array | None = None
    bias_hh: jax.Array | None = None
