"""StableHLO by `jax.export`: a program for several platforms in one artifact, which runs without this package."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import export

from jax_lstm.checks import require, require_extra
from jax_lstm.export.program import Scaling, program

PLATFORMS = ("cpu", "cuda", "tpu")


def to_stablehlo(
    module: nnx.Module,
    *,
    lengths: bool = False,
    state: bool = False,
    standardise: Scaling | None = None,
    restore: Scaling | None = None,
    platforms: Sequence[str] = PLATFORMS,
) -> bytes:
    """A module with its weights as an artifact of `jax.export`, for any batch and any number of time steps.

    `jax.export.deserialize(bytearray(artifact)).call({"x": x})` runs it and returns {name: array}, in a process that
    has JAX and flatbuffers; float64 needs `jax_enable_x64` there. It computes on the kernel `scan`, in the types of the
    module. Inputs and outputs are those of `to_onnx`, as are the arguments but the last. See
    https://docs.jax.dev/en/latest/export/export.html.

    Args:
        module: an `LSTM`, `LSTMModel` or `LanguageModel`; it goes out as for inference.
        lengths: there is an input `lengths`.
        state: there are inputs `h_0` and `c_0`.
        standardise: what the input is standardised with first.
        restore: what the output is brought back to its scale with.
        platforms: where it shall run: cpu, cuda, rocm, tpu.

    Raises:
        InputError: the module is none of these, or has no such input.
        MissingExtraError: flatbuffers, in which JAX serialises, is not installed.
    """
    require_extra("flatbuffers", "interop", "StableHLO")
    known = isinstance(platforms, list | tuple) and set(platforms) <= {"cpu", "cuda", "rocm", "tpu"} and platforms
    require(bool(known), "platforms", "name some of cpu, cuda, rocm, tpu", repr(platforms))
    out = program(module, lengths=lengths, state=state, standardise=standardise, restore=restore)
    wide = any(jnp.dtype(port.dtype) == np.float64 for port in out.inputs + out.outputs)
    with jax.enable_x64(wide):
        scope = export.SymbolicScope(("batch >= 1", "time >= 1"))
        dims = {name: export.symbolic_shape(name, scope=scope)[0] for name in ("batch", "time")}
        given: dict[str, Any] = {
            port.name: jax.ShapeDtypeStruct([dims.get(size, size) for size in port.shape], port.dtype)  # type: ignore[arg-type]
            for port in out.inputs
        }
        exported = export.export(jax.jit(out.run), platforms=tuple(platforms))(given)
        return bytes(exported.serialize())
