"""What goes out of a module: named inputs and outputs, and the function between them, as for inference."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

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
    """An input or an output; "batch" and "time" in its shape stand for any size."""

    name: str
    shape: tuple[int | str, ...]
    dtype: Any


class Scaling(NamedTuple):
    """Mean and standard deviation of each column, (C,): what goes in and out is on the scale of the data.

    A mean that the type of the data cannot hold is taken off in two parts, so that no more is lost than the data lost
    when they were rounded to that type.
    """

    mean: np.ndarray
    scale: np.ndarray

    def parts(self, dtype: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Mean, scale and rest in a type: `(x - mean) / scale - rest` standardises, `y * scale + mean` restores."""
        mean, scale = (np.asarray(part, np.float64) for part in self)
        rounded = mean.astype(dtype)
        return rounded, scale.astype(dtype), ((mean - rounded.astype(np.float64)) / scale).astype(dtype)

    def standardise(self, x: Any) -> Any:
        mean, scale, rest = self.parts(x.dtype)
        return (x - mean) / scale - rest

    def restore(self, y: Any) -> Any:
        mean, scale, _ = self.parts(y.dtype)
        return y * scale + mean


class Program(NamedTuple):
    """`run` takes arrays by the names of `inputs`, and returns those of `outputs`."""

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    run: Callable[[Mapping[str, Any]], dict[str, jax.Array]]


KINDS = (LSTM, LSTMModel, LanguageModel)


def lstm_of(module: nnx.Module) -> LSTM:
    """The LSTM in a module that can be exported.

    Raises:
        InputError: it is none of them, or computes something else.
    """
    kind = next((kind for kind in KINDS if isinstance(module, kind)), None)
    known = kind is not None and type(module).__call__ is kind.__call__
    require(known, "module", "be an LSTM, LSTMModel or LanguageModel, with its own `__call__`", type(module).__name__)
    return module if isinstance(module, LSTM) else module.lstm  # type: ignore[union-attr]


def program(
    module: Any,
    *,
    lengths: bool = False,
    state: bool = False,
    standardise: Scaling | None = None,
    restore: Scaling | None = None,
    full: bool = False,
) -> Program:
    """The program of a module, on the kernel `scan`, which every platform has; `to_onnx` has the arguments.

    If `full` it computes in the type of the parameters, even where the module computes in a narrower one.

    Raises:
        InputError: the module cannot be exported, or has no such inputs.
    """
    lstm = lstm_of(module)
    require_bool("lengths", lengths)
    require_bool("state", state)
    sizes, name_of = lstm.sizes, type(module).__name__
    none = f"be False, since {name_of} takes none"
    require(not (state and isinstance(module, LSTMModel)), "state", none, state)
    require(not (lengths and isinstance(module, LanguageModel)), "lengths", none, lengths)
    for name, scaling, port in (("standardise", standardise, sizes.input_size), ("restore", restore, None)):
        if scaling is None:
            continue
        require(isinstance(scaling, Scaling), name, "be a jax_lstm.export.Scaling", type(scaling).__name__)
        whole = not isinstance(module, LanguageModel) and not (port is None and isinstance(module, LSTM))
        require(whole, name, f"be None, since {name_of} has no columns there", "a Scaling")
        for part, array in scaling._asdict().items():
            array = as_array(f"{name}.{part}", array, floats=True)
            require_shape(f"{name}.{part}", array, (port or module.fc.bias.shape[0],))  # type: ignore[union-attr]
        require(bool(np.all(np.asarray(scaling.scale) > 0)), f"{name}.scale", "be positive", scaling.scale)

    dtype = jnp.dtype(lstm.param_dtype)
    axes = ("batch", "time") if lstm.batch_first else ("time", "batch")
    rows = sizes.num_layers * sizes.num_directions
    held = state_dtype(dtype if full else lstm.dtype or dtype)
    h, c = (rows, "batch", sizes.output_size), (rows, "batch", sizes.hidden_size)
    if isinstance(module, LanguageModel):
        inputs = [Port("tokens", axes, jnp.dtype(jnp.int32))]
        outputs = [Port("logits", (*axes, module.fc.bias.shape[0]), dtype)]
    elif isinstance(module, LSTMModel):
        inputs = [Port("x", (*axes, sizes.input_size), dtype)]
        outputs = [Port("y", ("batch", module.fc.bias.shape[0]), dtype)]
    else:
        inputs = [Port("x", (*axes, sizes.input_size), dtype)]
        outputs = [Port("y", (*axes, sizes.output_size * sizes.num_directions), dtype)]
    if lengths:
        inputs.append(Port("lengths", ("batch",), jnp.dtype(jnp.int32)))
    if state:
        inputs += [Port("h_0", h, held), Port("c_0", c, held)]
    if not isinstance(module, LSTMModel):
        outputs += [Port("h_n", h, held), Port("c_n", c, held)]

    module = nnx.clone(module)
    module.eval()
    inner = lstm_of(module)
    if not inner.variant.changes_recurrence(training=False):  # where it does, plain JAX is all there is
        inner.backend = "scan"
    if full:
        inner.dtype = None
        if not isinstance(module, LSTM):
            module.fc.dtype = None

    def run(given: Mapping[str, Any]) -> dict[str, jax.Array]:
        x = given[inputs[0].name]
        x = x if standardise is None else standardise.standardise(x)
        before = LSTMState(given["h_0"], given["c_0"]) if state else None
        options = {"lengths": given["lengths"]} if lengths else {}
        if isinstance(module, LSTMModel):
            y, last = module(x, **options), ()
        else:
            y, last = module(x, before, **options)
        y = y.astype(dtype)
        y = y if restore is None else restore.restore(y)
        return dict(zip((port.name for port in outputs), (y, *last), strict=True))

    return Program(tuple(inputs), tuple(outputs), run)
