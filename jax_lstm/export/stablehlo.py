"""StableHLO through `jax.export`: one artifact for several platforms."""

from collections.abc import Sequence
from typing import Any, Unpack

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import export

from jax_lstm.checks import require, require_extra
from jax_lstm.export.program import Options, program

PLATFORMS = ("cpu", "cuda", "tpu")


def to_stablehlo(module: nnx.Module, *, platforms: Sequence[str] = PLATFORMS, **options: Unpack[Options]) -> bytes:
    """Export a module with its weights as an artifact of `jax.export`, for any batch and number of time steps.

    The process that runs it needs JAX and flatbuffers, and `jax_enable_x64` for float64. The artifact computes in the
    module's types. Its inputs and outputs are those of `to_onnx`, by name. See
    https://docs.jax.dev/en/latest/export/export.html.

    Args:
        module: an `LSTM`, `LSTMModel`, `ForecastModel` or `LanguageModel`, exported for inference.
        platforms: any of cpu, cuda, rocm, tpu.
        **options: `lengths`, `state`, `standardise`, `restore`; see `Options`.

    Raises:
        InputError: the module cannot be exported, or does not support an option.
        MissingExtraError: flatbuffers is not installed.

    Example:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> from flax import nnx
        >>> import jax_lstm as jl
        >>> artifact = jl.export.to_stablehlo(jl.LSTM(10, 20, rngs=nnx.Rngs(0)))
        >>> found = jax.export.deserialize(bytearray(artifact)).call({"x": jnp.ones((5, 32, 10))})
        >>> found["y"].shape, found["h_n"].shape
        ((5, 32, 20), (1, 32, 20))
    """
    require_extra("flatbuffers", "interop", "StableHLO")
    known = isinstance(platforms, list | tuple) and set(platforms) <= {"cpu", "cuda", "rocm", "tpu"} and platforms
    require(bool(known), "platforms", "name some of cpu, cuda, rocm, tpu", repr(platforms))
    exportable = program(module, **options)
    wide = any(jnp.dtype(port.dtype) == np.float64 for port in exportable.inputs + exportable.outputs)
    with jax.enable_x64(wide):
        free = sorted({size for port in exportable.inputs for size in port.shape if isinstance(size, str)})
        scope = export.SymbolicScope([f"{name} >= 1" for name in free])
        symbols = {name: export.symbolic_shape(name, scope=scope)[0] for name in free}
        arguments: dict[str, Any] = {
            port.name: jax.ShapeDtypeStruct([symbols.get(size, size) for size in port.shape], port.dtype)  # type: ignore[arg-type]
            for port in exportable.inputs
        }
        return bytes(export.export(jax.jit(exportable.run), platforms=tuple(platforms))(arguments).serialize())
