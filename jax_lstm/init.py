"""Initial parameters: PyTorch's by default, others by argument."""

import math
import numbers
from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from jax_lstm.checks import require, require_shape

Initializer = Callable[..., jax.Array]  # (key, shape, dtype) -> array, as in jax.nn.initializers


@dataclass(frozen=True)
class Init:
    """How the parameters of an LSTM start. What is left None is PyTorch's: U(-1/sqrt(H), 1/sqrt(H)).

    Initialisers are those of `jax.nn.initializers`, as `Init(weight_hh=jax.nn.initializers.orthogonal())`. Each gate's
    block of a weight is drawn on its own, as the (fan in, fan out) matrix that they expect, and transposed.

    Args:
        weight_ih: initialiser of the input weights, drawn as (I, H) for each gate; Glorot's uniform, say
            (https://proceedings.mlr.press/v9/glorot10a.html).
        weight_hh: of the recurrent weights, drawn as (R, H) for each gate; orthogonal, say
            (https://arxiv.org/abs/1312.6120).
        weight_hr: of the projection, drawn as (H, P).
        bias: of both biases, each drawn as (4H,).
        forget_bias: sum of both biases of the forget gate, usually 1, so that a cell remembers at first (Gers et al.
            2000, https://doi.org/10.1162/089976600300015015; Jozefowicz et al. 2015,
            https://proceedings.mlr.press/v37/jozefowicz15.html).
    """

    weight_ih: Initializer | None = None
    weight_hh: Initializer | None = None
    weight_hr: Initializer | None = None
    bias: Initializer | None = None
    forget_bias: float | None = None

    def check(self, bias: bool) -> None:
        """Raise `InputError` for what an LSTM with or without `bias` cannot take."""
        for name in ("weight_ih", "weight_hh", "weight_hr", "bias"):
            value = getattr(self, name)
            require(value is None or callable(value), f"init.{name}", "be a function (key, shape, dtype)", repr(value))
        number = self.forget_bias is None or isinstance(self.forget_bias, numbers.Real)
        require(number, "init.forget_bias", "be a number", repr(self.forget_bias))
        for name in ("bias", "forget_bias"):
            value = getattr(self, name)
            require(bias or value is None, f"init.{name}", "be left out where bias is False", repr(value))

    def draw(self, name: str, key: jax.Array, shape: tuple[int, ...], hidden_size: int, dtype: DTypeLike) -> jax.Array:
        """The initial value of the parameter `name` (without suffix), in PyTorch's layout."""
        if name.startswith("norm"):
            return jnp.zeros(shape, dtype) if name.endswith("bias") else jnp.ones(shape, dtype)
        initializer = getattr(self, "bias" if name.startswith("bias") else name, None)
        if initializer is None:
            bound = 1 / math.sqrt(hidden_size)
            value = jax.random.uniform(key, shape, dtype, -bound, bound)
        elif len(shape) == 1:
            value = initializer(key, shape, dtype)
        else:
            rows, columns = shape
            gates = 1 if name == "weight_hr" else 4
            blocks = [initializer(k, (columns, rows // gates), dtype).T for k in jax.random.split(key, gates)]
            value = jnp.concatenate(blocks)
        require_shape(f"init.{name}'s result", value, shape)
        if name.startswith("bias") and self.forget_bias is not None:
            forget = self.forget_bias if name == "bias_ih" else 0.0
            value = value.at[hidden_size : 2 * hidden_size].set(jnp.asarray(forget, dtype))
        return value
