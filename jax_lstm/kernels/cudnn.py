"""The `cudnn` kernel: NVIDIA's LSTM on a GPU, through `jax.experimental.rnn`; all layers and directions in one call.

Its weights are one vector: for each layer and direction `weight_ih` and `weight_hh`, row by row, and after all of those
`bias_ih` and `bias_hh`; gates in PyTorch's order. See
https://docs.nvidia.com/deeplearning/cudnn/backend/latest/api/cudnn-adv-library.html and `jax.experimental.rnn`.

Products are in TF32, as everywhere in JAX on such a GPU, unless `jax.default_matmul_precision` asks for more, as
"highest" or "float32" do. cuDNN's dropout is not used: with dropout between layers, each layer is a call of its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from jax_lstm.checks import InputError
from jax_lstm.kernels.base import Call, Direction, Kernel, Stack, precision_asked, this_platform
from jax_lstm.kernels.masking import zero_padding
from jax_lstm.params import LSTMParams, LSTMState

PLATFORM = "cuda"
PLUGIN = "pip install 'jax[cuda12]'"  # or cuda13
# The values of `jax_default_matmul_precision` that ask for no more than TF32.
TF32 = (
    None, "default", "fastest", "high", "tensorfloat32", "bfloat16", "bfloat16_3x", "TF32_TF32_F32", "BF16_BF16_F32"
)  # fmt: skip


@dataclass(frozen=True)
class Cudnn(Kernel):
    """cuDNN's LSTM on an NVIDIA GPU, through `jax.experimental.rnn`: all layers and directions in one call.

    It computes in float32 and is differentiable once, in reverse mode. It has no `vmap`, projection, mask or resets.
    Products are in TF32 unless `jax.default_matmul_precision` asks for more, as "highest" does. See
    https://docs.nvidia.com/deeplearning/cudnn/backend/latest/api/cudnn-adv-library.html.

    Example:
        >>> import jax.numpy as jnp
        >>> from flax import nnx
        >>> import jax_lstm as jl
        >>> lstm = jl.LSTM(10, 20, backend=jl.kernels.Cudnn(), rngs=nnx.Rngs(0))  # a GPU is needed when it is called
        >>> lstm.backend.refuses(jl.kernels.Call("cpu", jnp.float32, 5, 32, 10, 20))
        'it runs on cuda; not on cpu'
    """

    purpose: ClassVar[str] = "cuDNN's LSTM, all layers in one call, on NVIDIA GPUs"

    @property
    def caveat(self) -> str:
        return f"never run on such a device; it needs JAX's CUDA plugin there: {PLUGIN}"

    def refuses(self, call: Call) -> str:
        """Why cuDNN does not support `call`; `""` if it does."""
        others = [name for name in call.given if name != "lengths"]
        if call.platform != PLATFORM:
            return f"it runs on {PLATFORM}; not on {call.platform}"
        if call.dtype != jnp.float32:
            return f"jax.experimental.rnn computes in float32; not in {jnp.dtype(call.dtype).name}"
        if not all(isinstance(size, int) for size in (call.steps, call.batch)):
            return "it needs fixed sizes; T or B is symbolic"
        if call.proj_size:
            return "jax.experimental.rnn has no projection"
        return f"cuDNN takes lengths; not {' and '.join(others)}" if others else ""

    # Not compiled, so that JAX's error under `vmap` can be replaced.
    def run(self, stack: Stack) -> tuple[jax.Array, LSTMState]:  # type: ignore[override]
        """Run a stack; see `Kernel.run`. Without dropout between layers, in one call."""
        if not hasattr(binding().gpu_rnn, "compute_rnn_workspace_reserve_space_sizes"):
            raise InputError(
                f"`backend` 'cudnn' does not support this call: it runs on {PLATFORM}; not on {this_platform()} "
                f"(to lower it for {PLATFORM} here: {PLUGIN})"
            )
        xs, states = stack.xs, []
        whole = all(drop is None for drop in stack.drops)
        for layers, drop in [(stack.layers, None)] if whole else zip(zip(stack.layers), stack.drops, strict=True):
            xs, state = run_layers(layers, xs if drop is None else xs * drop, stack.lengths)
            states.append(state)
        return xs, LSTMState(*(jnp.concatenate(parts) for parts in zip(*states, strict=True)))


def binding() -> Any:
    """`jax.experimental.rnn`, imported where it is needed, since it loads libraries for GPUs."""
    from jax.experimental import rnn

    return rnn


def run_layers(
    layers: Sequence[Sequence[Direction]], xs: jax.Array, lengths: jax.Array | None
) -> tuple[jax.Array, LSTMState]:
    """One call of cuDNN: outputs of the last layer (T, B, D*H), zero after the end of a row, and the last states."""
    lstm = binding().lstm
    steps, batch, inputs = xs.shape
    directions = [own for layer in layers for own in layer]
    before = LSTMState(*(jnp.stack(parts) for parts in zip(*(own.state for own in directions), strict=True)))
    known, within = jnp.full(batch, steps, jnp.int32), None
    if lengths is not None:
        within = jnp.arange(steps, dtype=jnp.int32)[:, None] < lengths[None]
        xs = zero_padding(xs, within)
        known = jnp.maximum(lengths, 1)  # cuDNN takes no row of length 0; such rows are corrected below
    sizes = (inputs, before.h.shape[-1], len(layers), 0.0, len(layers[0]) == 2)
    asked = precision_asked()
    precision = jax.lax.Precision.HIGH if asked in TF32 else jax.lax.Precision.HIGHEST
    try:
        weights = packed([own.params for own in directions])
        ys, h, c = lstm(jnp.swapaxes(xs, 0, 1), *before, weights, known, *sizes, precision)
    except NotImplementedError as error:
        if "Batching rule" not in str(error):
            raise
        raise InputError("`backend` 'cudnn' cannot be used under vmap; take 'scan', or add a batch axis") from None
    ys = jnp.swapaxes(ys, 0, 1)
    if lengths is None:
        return ys, LSTMState(h, c)
    some = lengths[None, :, None] > 0
    kept = (jnp.where(some, after, start) for after, start in zip((h, c), before, strict=True))
    return zero_padding(ys, within), LSTMState(*kept)


def packed(every: Sequence[LSTMParams]) -> jax.Array:
    """The parameters of all layers and directions as cuDNN's vector; absent biases are zeros."""
    weights = [part for params in every for part in (params.weight_ih, params.weight_hh)]
    biases = []
    for params in every:
        zeros = jnp.zeros(len(params.weight_hh), params.weight_hh.dtype)
        biases += [zeros if bias is None else bias for bias in (params.bias_ih, params.bias_hh)]
    return jnp.concatenate([part.ravel() for part in (*weights, *biases)])
