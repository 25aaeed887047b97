"""The program that is exported: named inputs and outputs, and the module's inference between them."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypedDict

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jax_lstm.checks import require, require_bool, require_shape
from jax_lstm.layers import LSTM
from jax_lstm.models import LanguageModel, LSTMModel
from jax_lstm.params import LSTMState, state_dtype
from jax_lstm.weights.tensors import as_array


class Port(NamedTuple):
    """An input or output; "batch" and "time" in its shape stand for any size."""

    name: str
    shape: tuple[int | str, ...]
    dtype: Any


class Scaling(NamedTuple):
    """Mean and standard deviation of each column, (C,), to take inputs and return outputs in the units of the data."""

    mean: np.ndarray
    scale: np.ndarray

    def parts(self, dtype: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """`mean`, `scale` and `rest` in `dtype`: `(x - mean) / scale - rest` standardises, `y * scale + mean` restores.

        `rest` is the rounding error of `mean`, in standard deviations. Without it a large mean would shift every input.
        """
        mean, scale = (np.asarray(part, np.float64) for part in self)
        rounded = mean.astype(dtype)
        return rounded, scale.astype(dtype), ((mean - rounded.astype(np.float64)) / scale).astype(dtype)

    def standardise(self, x: Any) -> Any:
        mean, scale, rest = self.parts(x.dtype)
        return (x - mean) / scale - rest

    def restore(self, y: Any) -> Any:
        mean, scale, _ = self.parts(y.dtype)
        return y * scale + mean


class Options(TypedDict, total=False):
    """Keyword arguments of every export.

    - `lengths` adds an input `lengths` (batch,) int32: the number of steps in each row, at least 1.
    - `state` adds inputs `h_0` and `c_0`, (L*D, batch, H); without them the initial state is zero.
    - `standardise` is applied to the input `x`.
    - `restore` is applied to the output `y`.
    """

    lengths: bool
    state: bool
    standardise: Scaling | None
    restore: Scaling | None


class Program(NamedTuple):
    """`run` maps {input name: array} to {output name: array}."""

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    run: Callable[[Mapping[str, Any]], dict[str, jax.Array]]


EXPORTABLE = (LSTM, LSTMModel, LanguageModel)


def lstm_of(module: nnx.Module) -> LSTM:
    """The LSTM inside `module`.

    Raises:
        InputError: `module` cannot be exported.
    """
    kind = next((kind for kind in EXPORTABLE if isinstance(module, kind)), None)
    known = kind is not None and type(module).__call__ is kind.__call__
    require(known, "module", "be an LSTM, LSTMModel or LanguageModel, with its own `__call__`", type(module).__name__)
    return module if isinstance(module, LSTM) else module.lstm  # type: ignore[union-attr]


def program(
    module: Any,
    *,
    full: bool = False,
    lengths: bool = False,
    state: bool = False,
    standardise: Scaling | None = None,
    restore: Scaling | None = None,
) -> Program:
    """The program of a module in inference, with `Options`; it runs on any platform.

    It computes in the module's `dtype`, or in the type of the parameters if `full`.

    Raises:
        InputError: the module cannot be exported, or does not support an option.
    """
    _require_options(module, lengths, state, {"standardise": standardise, "restore": restore})
    inputs, outputs = _ports(module, lengths, state, full)
    module = nnx.clone(module)
    module.eval()
    inner = lstm_of(module)
    if not inner.variant.changes_recurrence(training=False):  # where it does, plain JAX is all there is
        inner.backend = "scan"
    if full:
        inner.dtype = None
        if not isinstance(module, LSTM):
            module.fc.dtype = None

    def run(arrays: Mapping[str, Any]) -> dict[str, jax.Array]:
        x = arrays[inputs[0].name]
        x = x if standardise is None else standardise.standardise(x)
        optional = {"lengths": arrays["lengths"]} if lengths else {}
        if isinstance(module, LSTMModel):
            y, last = module(x, **optional), ()
        else:
            y, last = module(x, LSTMState(arrays["h_0"], arrays["c_0"]) if state else None, **optional)
        y = y.astype(outputs[0].dtype)
        y = y if restore is None else restore.restore(y)
        return dict(zip((port.name for port in outputs), (y, *last), strict=True))

    return Program(inputs, outputs, run)


def _require_options(module: Any, lengths: bool, state: bool, scalings: Mapping[str, Scaling | None]) -> None:
    lstm, kind = lstm_of(module), type(module).__name__
    require_bool("lengths", lengths)
    require_bool("state", state)
    require(not (lengths and isinstance(module, LanguageModel)), "lengths", f"be False for {kind}", lengths)
    require(not (state and isinstance(module, LSTMModel)), "state", f"be False for {kind}", state)
    columns = {} if isinstance(module, LanguageModel) else {"standardise": lstm.sizes.input_size}
    if isinstance(module, LSTMModel):
        columns["restore"] = module.fc.bias.shape[0]
    for name, scaling in scalings.items():
        if scaling is None:
            continue
        require(isinstance(scaling, Scaling), name, "be a jax_lstm.export.Scaling", type(scaling).__name__)
        require(name in columns, name, f"be None for {kind}", "a Scaling")
        for part, array in scaling._asdict().items():
            array = as_array(f"{name}.{part}", array, floats=True)
            require_shape(f"{name}.{part}", array, (columns[name],))
        require(bool(np.all(np.asarray(scaling.scale) > 0)), f"{name}.scale", "be positive", scaling.scale)


def _ports(module: Any, lengths: bool, state: bool, full: bool) -> tuple[tuple[Port, ...], tuple[Port, ...]]:
    """Inputs and outputs; the first of each are the module's main ones."""
    lstm = lstm_of(module)
    sizes, dtype, index = lstm.sizes, jnp.dtype(lstm.param_dtype), jnp.dtype(jnp.int32)
    axes = ("batch", "time") if lstm.batch_first else ("time", "batch")
    x = Port("x", (*axes, sizes.input_size), dtype)
    if isinstance(module, LanguageModel):
        x, y = Port("tokens", axes, index), Port("logits", (*axes, module.fc.bias.shape[0]), dtype)
    elif isinstance(module, LSTMModel):
        y = Port("y", ("batch", module.fc.bias.shape[0]), dtype)
    else:
        y = Port("y", (*axes, sizes.output_size * sizes.num_directions), dtype)

    def states(h: str, c: str) -> tuple[Port, Port]:
        rows, kept = sizes.num_layers * sizes.num_directions, state_dtype(dtype if full else lstm.dtype or dtype)
        return Port(h, (rows, "batch", sizes.output_size), kept), Port(c, (rows, "batch", sizes.hidden_size), kept)

    inputs = (x, *((Port("lengths", ("batch",), index),) if lengths else ()), *(states("h_0", "c_0") if state else ()))
    return inputs, (y, *(() if isinstance(module, LSTMModel) else states("h_n", "c_n")))
