"""The program that is exported: named inputs and outputs, and the module's inference between them."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypedDict

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jax_lstm.checks import require, require_bool, require_shape
from jax_lstm.layers import LSTM
from jax_lstm.models import ForecastModel, LanguageModel, Linear, LSTMModel
from jax_lstm.params import LSTMState, state_dtype
from jax_lstm.weights.tensors import as_array


class Port(NamedTuple):
    """An input or output; "batch" and "time" in its shape stand for any size."""

    name: str
    shape: tuple[int | str, ...]
    dtype: Any


class Scaling(NamedTuple):
    """Mean and standard deviation of each column, to take inputs and return outputs in the units of the data.

    Attributes:
        mean: (C,).
        scale: (C,), positive: the standard deviations.

    Example:
        >>> import numpy as np
        >>> import jax_lstm as jl
        >>> scaling = jl.export.Scaling(mean=np.array([10.0, 0.0]), scale=np.array([2.0, 1.0]))
        >>> y = scaling.standardise(np.array([[14.0, 3.0]]))
        >>> y.tolist(), scaling.restore(y).tolist()
        ([[2.0, 3.0]], [[14.0, 3.0]])
    """

    mean: np.ndarray
    scale: np.ndarray

    def parts(self, dtype: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """`mean`, `scale` and `rest` in `dtype`: `(x - mean) / scale - rest` standardises, `y * scale + mean` restores.

        `rest` is the rounding error of `mean`, in standard deviations. Without it a large mean would shift every input.

        Example:
            >>> import numpy as np
            >>> import jax_lstm as jl
            >>> scaling = jl.export.Scaling(mean=np.array([2.0**24 + 1]), scale=np.array([2.0]))
            >>> [part.tolist() for part in scaling.parts("float32")]  # the mean is rounded by 1, half a deviation
            [[16777216.0], [2.0], [0.5]]
        """
        mean, scale = (np.asarray(part, np.float64) for part in self)
        rounded = mean.astype(dtype)
        return rounded, scale.astype(dtype), ((mean - rounded.astype(np.float64)) / scale).astype(dtype)

    def standardise(self, x: Any) -> Any:
        """Columns (..., C) in standard deviations from their means, in the type of `x`."""
        mean, scale, rest = self.parts(x.dtype)
        return (x - mean) / scale - rest

    def restore(self, y: Any) -> Any:
        """Standardised columns (..., C) in the units of the data, in the type of `y`."""
        mean, scale, _ = self.parts(y.dtype)
        return y * scale + mean


class Options(TypedDict, total=False):
    """Keyword arguments of every export.

    Attributes:
        lengths: adds an input `lengths` (batch,) int32: the number of steps in each row, at least 1.
        state: adds inputs `h_0` and `c_0`, (L*D, batch, H); without them the initial state is zero.
        standardise: applied to the input `x`, and what it says of the columns known ahead to the input `ahead`.
        restore: applied to the output `y`; all quantiles of a forecast share an entry.

    Example:
        >>> from flax import nnx
        >>> import jax_lstm as jl
        >>> options = jl.export.Options(lengths=True)
        >>> file = jl.export.to_stablehlo(jl.LSTM(10, 20, rngs=nnx.Rngs(0)), **options)
    """

    lengths: bool
    state: bool
    standardise: Scaling | None
    restore: Scaling | None


class Program(NamedTuple):
    """`run` maps {input name: array} to {output name: array}.

    `standardise` has the scaling of each input that is scaled, `restore` that of the output `y`.
    """

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    standardise: Mapping[str, Scaling]
    restore: Scaling | None
    run: Callable[[Mapping[str, Any]], dict[str, jax.Array]]


EXPORTABLE = (LSTM, LSTMModel, ForecastModel, LanguageModel)


def lstm_of(module: nnx.Module) -> LSTM:
    """The LSTM inside `module`.

    Raises:
        InputError: `module` cannot be exported.
    """
    kind = next((kind for kind in EXPORTABLE if isinstance(module, kind)), None)
    known = kind is not None and type(module).__call__ is kind.__call__
    expected = "be an LSTM, LSTMModel, ForecastModel or LanguageModel, with its own `__call__`"
    require(known, "module", expected, type(module).__name__)
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
        for _, part in nnx.iter_modules(module):
            if isinstance(part, LSTM | Linear):
                part.dtype = None
    scalings = {} if standardise is None else {"x": standardise}
    if isinstance(module, ForecastModel):
        if standardise is not None and module.layout.known:
            scalings["ahead"] = Scaling(*(np.asarray(part)[list(module.layout.known)] for part in standardise))
        if restore is not None:
            restore = Scaling(*(np.repeat(part, module.values) for part in restore))

    def run(arrays: Mapping[str, Any]) -> dict[str, jax.Array]:
        given = {name: scalings[name].standardise(x) if name in scalings else x for name, x in arrays.items()}
        first, *others = (given[port.name] for port in inputs)
        if isinstance(module, ForecastModel):
            y, last = module(first, *others), ()
        else:
            options = {"lengths": given["lengths"]} if lengths else {}
            if isinstance(module, LSTMModel):
                y, last = module(first, **options), ()
            else:
                y, last = module(first, LSTMState(given["h_0"], given["c_0"]) if state else None, **options)
        y = y.astype(outputs[0].dtype)
        y = y if restore is None else restore.restore(y)
        return dict(zip((port.name for port in outputs), (y, *last), strict=True))

    return Program(inputs, outputs, scalings, restore, run)


def _require_options(module: Any, lengths: bool, state: bool, scalings: Mapping[str, Scaling | None]) -> None:
    lstm, kind = lstm_of(module), type(module).__name__
    require_bool("lengths", lengths)
    require_bool("state", state)
    fixed, forecasts = isinstance(module, LanguageModel | ForecastModel), isinstance(module, LSTMModel | ForecastModel)
    require(not (lengths and fixed), "lengths", f"be False for {kind}", lengths)
    require(not (state and forecasts), "state", f"be False for {kind}", state)
    columns = {} if isinstance(module, LanguageModel) else {"standardise": lstm.sizes.input_size}
    if isinstance(module, LSTMModel):
        columns["restore"] = module.fc.bias.shape[0]
    if isinstance(module, ForecastModel):
        layout = module.layout
        columns = {"standardise": layout.features, "restore": layout.horizon * len(layout.target)}
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
    if isinstance(module, ForecastModel):
        return _forecast_ports(module)
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


def _forecast_ports(module: ForecastModel) -> tuple[tuple[Port, ...], tuple[Port, ...]]:
    layout, dtype = module.layout, jnp.dtype(module.lstm.param_dtype)
    x = Port("x", ("batch", layout.window, layout.features), dtype)
    ahead = Port("ahead", ("batch", layout.horizon, len(layout.known)), dtype)
    y = Port("y", ("batch", layout.horizon * len(layout.target) * module.values), dtype)
    return (x, *((ahead,) if layout.known else ())), (y,)
