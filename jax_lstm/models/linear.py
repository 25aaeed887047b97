"""The layers around the LSTM: `Linear` and `Embedding`."""

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from jax_lstm.checks import require_size
from jax_lstm.functional import compute_dtype
from jax_lstm.params import Init


class Frozen(nnx.Param):
    """A parameter that is saved and loaded as any other, and that no optimiser changes, not by weight decay either."""


class Linear(nnx.Module):
    """`y = x @ weight.T + bias` with PyTorch's names and shapes, `weight` (O, I) and `bias` (O,).

    Args:
        input_size: I, the size of the input.
        output_size: O, the size of the output.
        weight: whether there is a `weight`; if not, every call passes one.
        kind: type of the parameters; `Frozen` ones are not trained.
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
        kind: type[nnx.Param] = nnx.Param,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        require_size("output_size", output_size)
        self.dtype = dtype
        if weight:
            self.weight = kind(Init().draw("weight", rngs.params(), (output_size, input_size), input_size, param_dtype))
        self.bias = kind(Init().draw("bias", rngs.params(), (output_size,), input_size, param_dtype))

    def __call__(self, x: jax.Array, weight: jax.Array | None = None) -> jax.Array:
        params = {"weight": self.weight[...] if weight is None else weight, "bias": self.bias[...]}
        dtype = compute_dtype(params, x, self.dtype)
        cast = {name: param.astype(dtype) for name, param in params.items()}
        return x.astype(dtype) @ cast["weight"].T + cast["bias"].reshape((1,) * (x.ndim - 1) + (-1,))


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
