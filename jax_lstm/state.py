"""The arrays that an LSTM works on: its state, and the parameters of one layer in one direction."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike


def state_dtype(dtype: DTypeLike) -> Any:
    """The type of state, gates and sums when computing in `dtype`: float32 for the 16-bit types, else `dtype`."""
    dtype = jnp.dtype(dtype)
    return jnp.dtype(jnp.float32) if dtype.itemsize < 4 else dtype


class LSTMState(NamedTuple):
    """Hidden state `h` and cell state `c`; a plain `(h, c)` tuple is taken wherever a state is.

    For one cell they are (B, H); for an `LSTM` (L*D, B, H), as in `torch.nn.LSTM`. With a projection `h` has P in place
    of H. Both have the type `state_dtype` of what is computed in.
    """

    h: jax.Array
    c: jax.Array

    @classmethod
    def zeros(
        cls, shape: tuple[int, ...], dtype: DTypeLike = jnp.float32, output_size: int | None = None
    ) -> "LSTMState":
        """Zeros: `c` of `shape`, and `h` likewise, or with `output_size` in place of the last axis."""
        h_shape = shape if output_size is None else (*shape[:-1], output_size)
        return cls(jnp.zeros(h_shape, dtype), jnp.zeros(shape, dtype))


class LSTMParams(NamedTuple):
    """Parameters of one layer in one direction, in PyTorch's layout: the gates i, f, g, o stacked along 4H.

    `weight_ih` (4H, I), `weight_hh` (4H, R), `bias_ih` (4H,), `bias_hh` (4H,) and `weight_hr` (P, H), where R, the size
    of `h`, is P with a projection and H without. Both biases are None without bias, `weight_hr` without projection.
    """

    weight_ih: jax.Array
    weight_hh: jax.Array
    bias_ih: jax.Array | None = None
    bias_hh: jax.Array | None = None
    weight_hr: jax.Array | None = None
