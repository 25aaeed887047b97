"""The `cudnn` kernel: NVIDIA's own LSTM on GPU, through `jax.experimental.rnn`; whole layers in one call.

It is not one of those that run a direction of a layer: all layers and both directions go in together, so that cuDNN
can overlap them. Its weights are one vector: for each layer and direction `weight_ih` and `weight_hh`, row by row, and
behind all of those `bias_ih` and `bias_hh`; gates in PyTorch's order. See
https://docs.nvidia.com/deeplearning/cudnn/backend/latest/api/cudnn-adv-library.html and `jax.experimental.rnn`.

Products are in TF32, as everywhere in JAX on such a GPU, unless `jax.default_matmul_precision` asks for more, as
"highest" or "float32" do. cuDNN's dropout is not used: where outputs are dropped between layers, each layer is a call
of its own.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jax_lstm.checks import InputError
from jax_lstm.kernels.masking import blank
from jax_lstm.params import LSTMParams, LSTMState

PLATFORM = "gpu"
# Of `jax_default_matmul_precision`: those that ask for no more than TF32 is.
TF32 = (
    None, "default", "fastest", "high", "tensorfloat32", "bfloat16", "bfloat16_3x", "TF32_TF32_F32", "BF16_BF16_F32"
)  # fmt: skip
Layers = Sequence[Sequence[LSTMParams]]  # by layer and direction


def not_on(platform: str) -> str:
    """Why it cannot run on a platform; "" where it can."""
    return "" if platform == PLATFORM else f"it runs on {PLATFORM}; not on {platform}"


def cudnn(
    layers: Layers, xs: jax.Array, state: LSTMState, lengths: jax.Array | None = None
) -> tuple[jax.Array, LSTMState]:
    """Run all `layers` over `xs` (T, B, I) from `state`, h and c (L*D, B, H); `lengths` (B,) int32 lie in 0 to T.

    Returns the outputs of the last layer (T, B, D*H), zero behind the end of a row, and the last states (L*D, B, H).
    All arrays are float32. Differentiable once, in reverse mode.
    """
    from jax.experimental import rnn  # loads what only a GPU needs

    lstm: Any = rnn.lstm
    steps, batch, inputs = xs.shape
    known, within = jnp.full(batch, steps, jnp.int32), None
    if lengths is not None:
        within = jnp.arange(steps, dtype=jnp.int32)[:, None] < lengths[None]
        xs = blank(xs, within)
        known = jnp.maximum(lengths, 1)  # cuDNN takes none below; such a row is put right behind
    sizes = (inputs, layers[0][0].weight_hh.shape[1], len(layers), 0.0, len(layers[0]) == 2)
    asked = jax.config.jax_default_matmul_precision  # type: ignore[attr-defined]
    precision = jax.lax.Precision.HIGH if asked in TF32 else jax.lax.Precision.HIGHEST
    try:
        ys, h, c = lstm(jnp.swapaxes(xs, 0, 1), *state, packed(layers), known, *sizes, precision)
    except NotImplementedError as error:
        if "Batching rule" not in str(error):
            raise
        raise InputError("`backend` 'cudnn' cannot be used under vmap; take 'scan', or add a batch axis") from None
    ys = jnp.swapaxes(ys, 0, 1)
    if lengths is None:
        return ys, LSTMState(h, c)
    some = lengths[None, :, None] > 0
    kept = (jnp.where(some, after, before) for after, before in zip((h, c), state, strict=True))
    return blank(ys, within), LSTMState(*kept)


def packed(layers: Layers) -> jax.Array:
    """The parameters as cuDNN has them; biases that are not there are zeros."""
    every = [params for layer in layers for params in layer]
    weights = [part for params in every for part in (params.weight_ih, params.weight_hh)]
    biases = []
    for params in every:
        zeros = jnp.zeros(len(params.weight_hh), params.weight_hh.dtype)
        biases += [zeros if bias is None else bias for bias in (params.bias_ih, params.bias_hh)]
    return jnp.concatenate([part.ravel() for part in (*weights, *biases)])
