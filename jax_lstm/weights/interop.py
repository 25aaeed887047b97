"""Convert the weights of one LSTM layer to and from other frameworks: Flax nnx and linen, Keras 3, Equinox.

Each `from_` function returns `LSTMParams`, and each `to_` function takes them; `to_state_dict` and `from_state_dict`
lead to the modules of this package. The frameworks have the same cell in different layouts: kernels transposed or not,
stacked or one for each gate, and one bias where PyTorch has two. Importing puts the single bias into `bias_hh` and
zeros into `bias_ih`; exporting sums the two. The outputs agree, but training differs: Adam moves the sum of two biases
twice as far as a single one.

Only weights are converted. A cell with other activations, or with options that PyTorch lacks, computes something else.
The carry of Flax's cells is (c, h); that of `LSTMState` and PyTorch is (h, c).

Example:
    >>> from flax import nnx
    >>> import jax_lstm as jl
    >>> params = jl.interop.from_nnx(nnx.LSTMCell(10, 20, rngs=nnx.Rngs(0)))
    >>> cell = jl.LSTMCell(10, 20, rngs=nnx.Rngs(0))
    >>> jl.load_state_dict(cell, jl.interop.to_state_dict(params))
    IncompatibleKeys(missing_keys=[], unexpected_keys=[])
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from flax import nnx

from jax_lstm.checks import require, require_shape
from jax_lstm.params import LSTMParams
from jax_lstm.weights.tensors import as_array

__all__ = [
    "from_equinox",
    "from_keras",
    "from_linen",
    "from_nnx",
    "from_state_dict",
    "to_equinox",
    "to_keras",
    "to_linen",
    "to_nnx",
    "to_state_dict",
]

GATES = "ifgo"  # PyTorch's order along 4H


class Layout(NamedTuple):
    """How a framework stores the weights of a layer.

    `kernel` (from I), `recurrent` (from H) and `bias` name the arrays: one with all gates stacked, or one for each
    gate, in the order of `gates`. `inputs_first`: kernels are (I, 4H), not (4H, I). `optional_bias`: a layer may have
    no bias; otherwise a missing bias is written as zeros.
    """

    kernel: tuple[str, ...]
    recurrent: tuple[str, ...]
    bias: tuple[str, ...]
    gates: str = GATES
    inputs_first: bool = True
    optional_bias: bool = False


HIDDEN = ("hi", "hf", "hg", "ho")
HIDDEN_KERNELS, HIDDEN_BIASES = tuple(f"{n}.kernel" for n in HIDDEN), tuple(f"{n}.bias" for n in HIDDEN)
LINEN = Layout(("ii.kernel", "if.kernel", "ig.kernel", "io.kernel"), HIDDEN_KERNELS, HIDDEN_BIASES)
NNX = Layout(("ii.kernel", "if_.kernel", "ig.kernel", "io.kernel"), HIDDEN_KERNELS, HIDDEN_BIASES)
NNX_OPTIMIZED = Layout(("dense_i.kernel",), ("dense_h.kernel",), ("dense_h.bias",))
KERAS = Layout(("kernel",), ("recurrent_kernel",), ("bias",), optional_bias=True)
EQUINOX = Layout(("weight_ih",), ("weight_hh",), ("bias",), inputs_first=False, optional_bias=True)


def from_keras(weights: Sequence[Any]) -> LSTMParams:
    """Convert the weights of a `keras.layers.LSTM`.

    Keras's gates i, f, c, o are PyTorch's i, f, g, o. See https://keras.io/api/layers/recurrent_layers/lstm.

    Args:
        weights: `layer.get_weights()`: the kernel (I, 4H), the recurrent kernel (H, 4H), and the bias (4H,), which may
            be missing.

    Raises:
        InputError: an array is missing or unknown, or has the wrong shape or type, as in every function of this module.

    Example:
        >>> import keras
        >>> import jax_lstm as jl
        >>> layer = keras.layers.LSTM(20)
        >>> layer.build((None, None, 10))
        >>> jl.interop.from_keras(layer.get_weights()).weight_ih.shape
        (80, 10)
    """
    require(
        len(weights) in (2, 3), "weights", "be [kernel, recurrent_kernel] or those and bias", f"{len(weights)} arrays"
    )
    return _take(KERAS, dict(zip(("kernel", "recurrent_kernel", "bias"), weights, strict=False)))


def to_keras(params: LSTMParams) -> list[np.ndarray]:
    """Convert for a `keras.layers.LSTM`.

    Returns:
        The kernel (I, 4H), the recurrent kernel (H, 4H) and the bias (4H,), for `layer.set_weights(...)`; without bias
        the first two, for a layer with `use_bias=False`.

    Example:
        >>> from flax import nnx
        >>> import jax_lstm as jl
        >>> params = jl.interop.from_state_dict(jl.state_dict(jl.LSTMCell(10, 20, rngs=nnx.Rngs(0))))
        >>> [array.shape for array in jl.interop.to_keras(params)]
        [(10, 80), (20, 80), (80,)]
    """
    return list(_give(KERAS, params).values())


def from_equinox(cell: Any) -> LSTMParams:
    """Convert an `equinox.nn.LSTMCell`; see https://docs.kidger.site/equinox/api/nn/rnn.

    Args:
        cell: the cell, or any object with `weight_ih` (4H, I), `weight_hh` (4H, H), and `bias` (4H,) or None.

    Example:
        >>> import equinox
        >>> import jax
        >>> import jax_lstm as jl
        >>> cell = equinox.nn.LSTMCell(10, 20, key=jax.random.key(0))
        >>> jl.interop.from_equinox(cell).weight_ih.shape
        (80, 10)
    """
    found = {name: getattr(cell, name, None) for name in ("weight_ih", "weight_hh", "bias")}
    return _take(EQUINOX, {name: value for name, value in found.items() if value is not None})


def to_equinox(params: LSTMParams) -> list[np.ndarray]:
    """Convert for an `equinox.nn.LSTMCell`.

    Returns:
        The arrays `weight_ih` (4H, I), `weight_hh` (4H, H) and `bias` (4H,); without bias the first two.

    Example:
        >>> import equinox
        >>> import jax
        >>> from flax import nnx
        >>> import jax_lstm as jl
        >>> params = jl.interop.from_state_dict(jl.state_dict(jl.LSTMCell(10, 20, rngs=nnx.Rngs(0))))
        >>> arrays = jl.interop.to_equinox(params)
        >>> cell = equinox.nn.LSTMCell(10, 20, key=jax.random.key(0))
        >>> cell = equinox.tree_at(lambda c: [c.weight_ih, c.weight_hh, c.bias], cell, arrays)
        >>> cell.bias.shape
        (80,)
    """
    return list(_give(EQUINOX, params).values())


def from_nnx(cell: nnx.Module | Mapping[str, Any]) -> LSTMParams:
    """Convert a `flax.nnx.LSTMCell` or `OptimizedLSTMCell`.

    See https://flax.readthedocs.io/en/latest/api_reference/flax.nnx/nn/recurrent.html.

    Args:
        cell: the cell, or its `nnx.state(cell, nnx.Param)`.

    Example:
        >>> from flax import nnx
        >>> import jax_lstm as jl
        >>> params = jl.interop.from_nnx(nnx.LSTMCell(10, 20, rngs=nnx.Rngs(0)))
        >>> params.weight_ih.shape, params.weight_hh.shape, params.bias_hh.shape
        ((80, 10), (80, 20), (80,))
    """
    for wrapper, cells in ((nnx.RNN, "rnn.cell"), (nnx.Bidirectional, "forward_rnn.cell or backward_rnn.cell")):
        require(not isinstance(cell, wrapper), "cell", "be one cell", wrapper.__name__, f"give its cell, {cells}")
    weights = _flat(nnx.state(cell, nnx.Param) if isinstance(cell, nnx.Module) else cell)
    return _take(NNX_OPTIMIZED if "dense_h.kernel" in weights else NNX, weights)


def to_nnx(params: LSTMParams, *, optimized: bool = False) -> dict[str, Any]:
    """Convert for a Flax nnx cell.

    Args:
        params: the parameters.
        optimized: whether the cell is an `OptimizedLSTMCell`, not an `LSTMCell`.

    Returns:
        The arrays by name, nested, for `flax.nnx.update(cell, ...)`.

    Example:
        >>> from flax import nnx
        >>> import jax_lstm as jl
        >>> params = jl.interop.from_state_dict(jl.state_dict(jl.LSTMCell(10, 20, rngs=nnx.Rngs(0))))
        >>> cell = nnx.LSTMCell(10, 20, rngs=nnx.Rngs(0))
        >>> nnx.update(cell, jl.interop.to_nnx(params))
    """
    return _nested(_give(NNX_OPTIMIZED if optimized else NNX, params))


def from_linen(params: Mapping[str, Any]) -> LSTMParams:
    """Convert the parameters of a `flax.linen.LSTMCell` or `OptimizedLSTMCell`, which are the same.

    See https://flax-linen.readthedocs.io/en/latest/api_reference/flax.linen/layers.html.

    Args:
        params: `variables["params"]` of the cell.

    Example:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> from flax import linen
        >>> import jax_lstm as jl
        >>> cell, x = linen.LSTMCell(20), jnp.ones((32, 10))
        >>> variables = cell.init(jax.random.key(0), cell.initialize_carry(jax.random.key(0), x.shape), x)
        >>> jl.interop.from_linen(variables["params"]).weight_ih.shape
        (80, 10)
    """
    return _take(LINEN, _flat(params))


def to_linen(params: LSTMParams) -> dict[str, Any]:
    """Convert for a `flax.linen.LSTMCell` or `OptimizedLSTMCell`.

    Returns:
        The arrays by name, nested, which `cell.apply` takes as `params`.

    Example:
        >>> import jax.numpy as jnp
        >>> from flax import linen, nnx
        >>> import jax_lstm as jl
        >>> params = jl.interop.from_state_dict(jl.state_dict(jl.LSTMCell(10, 20, rngs=nnx.Rngs(0))))
        >>> carry = jnp.zeros((32, 20)), jnp.zeros((32, 20))
        >>> _, h = linen.LSTMCell(20).apply({"params": jl.interop.to_linen(params)}, carry, jnp.ones((32, 10)))
        >>> h.shape
        (32, 20)
    """
    return _nested(_give(LINEN, params))


def from_state_dict(state_dict: Mapping[str, Any], names: str = "{}") -> LSTMParams:
    """Take one layer from a state dict.

    Args:
        state_dict: {PyTorch's name: array}, as `state_dict` and `load_file` return it.
        names: the pattern of the layer's names: "{}" for an `LSTMCell`, "{}_l0" for a layer of an `LSTM`, "lstm.{}_l0"
            for a layer of an `LSTMModel`, "{}_l0_reverse" for the reverse direction.

    Example:
        >>> from flax import nnx
        >>> import jax_lstm as jl
        >>> weights = jl.state_dict(jl.LSTM(10, 20, num_layers=2, rngs=nnx.Rngs(0)))
        >>> jl.interop.from_state_dict(weights, "{}_l1").weight_ih.shape
        (80, 20)
    """
    before, after = _around(names)
    inside = {
        name[len(before) : len(name) - len(after)]: value
        for name, value in state_dict.items()
        if name.startswith(before) and name.endswith(after)
    }
    return _checked({name: value for name, value in inside.items() if "." not in name})


def to_state_dict(params: LSTMParams, names: str = "{}") -> dict[str, np.ndarray]:
    """Convert to the entries of one layer in a state dict, for `load_state_dict`.

    Args:
        params: the parameters.
        names: the pattern of the layer's names, as in `from_state_dict`.

    Example:
        >>> from flax import nnx
        >>> import jax_lstm as jl
        >>> params = jl.interop.from_nnx(nnx.LSTMCell(10, 20, rngs=nnx.Rngs(0)))
        >>> list(jl.interop.to_state_dict(params, "{}_l0"))
        ['weight_ih_l0', 'weight_hh_l0', 'bias_ih_l0', 'bias_hh_l0']
    """
    before, after = _around(names)
    arrays = _checked(params._asdict())._asdict()
    return {before + name + after: array for name, array in arrays.items() if array is not None}


def _take(layout: Layout, weights: Mapping[str, Any]) -> LSTMParams:
    """Convert {name in `layout`: array} to our layout."""
    biased = not layout.optional_bias or any(name in weights for name in layout.bias)
    _require_names((*layout.kernel, *layout.recurrent, *(layout.bias if biased else ())), weights)
    arrays = {name: as_array(name, value, floats=True) for name, value in weights.items()}
    axis = 0 if layout.inputs_first else 1
    for name in (layout.kernel[0], layout.recurrent[0]):
        require_shape(name, arrays[name], ("inputs", "gates") if layout.inputs_first else ("gates", "inputs"))
    inputs, hidden = arrays[layout.kernel[0]].shape[axis], arrays[layout.recurrent[0]].shape[axis]

    def stacked(names: tuple[str, ...], *size: int) -> np.ndarray:
        gates = 4 * hidden // len(names)
        for name in names:
            require_shape(name, arrays[name], (*size, gates) if layout.inputs_first else (gates, *size))
        rows = [arrays[name].T if layout.inputs_first else arrays[name] for name in names]
        return _reordered(np.concatenate(rows), layout.gates, GATES)

    bias = stacked(layout.bias) if biased else None
    zeros = None if bias is None else np.zeros_like(bias)
    return _params(stacked(layout.kernel, inputs), stacked(layout.recurrent, hidden), zeros, bias)


def _give(layout: Layout, params: LSTMParams) -> dict[str, np.ndarray]:
    """Convert our layout to {name in `layout`: array}."""
    arrays: dict[str, Any] = _checked(params._asdict())._asdict()
    parts = [(layout.kernel, arrays["weight_ih"]), (layout.recurrent, arrays["weight_hh"])]
    if arrays["bias_hh"] is not None:
        parts.append((layout.bias, arrays["bias_ih"] + arrays["bias_hh"]))
    elif not layout.optional_bias:
        parts.append((layout.bias, np.zeros_like(arrays["weight_hh"][:, 0])))
    given = {}
    for names, rows in parts:
        for name, part in zip(names, np.split(_reordered(rows, GATES, layout.gates), len(names)), strict=True):
            given[name] = np.array(part.T if layout.inputs_first else part, order="C")
    return given


def _reordered(rows: np.ndarray, gates: str, wanted: str) -> np.ndarray:
    """Reorder the gates of `rows` (4H, ...) from the order `gates` to `wanted`."""
    parts = dict(zip(gates, np.split(rows, 4), strict=True))
    return np.concatenate([parts[gate] for gate in wanted])


def _checked(params: Mapping[str, Any]) -> LSTMParams:
    """Check names and shapes of the parameters, None aside, and convert them to arrays."""
    named = {name: value for name, value in params.items() if value is not None}
    biased = "bias_ih" in named or "bias_hh" in named
    _require_names(("weight_ih", "weight_hh", *(("bias_ih", "bias_hh") if biased else ())), named)
    arrays = {name: as_array(name, value, floats=True) for name, value in named.items()}
    require_shape("weight_ih", arrays["weight_ih"], ("4H", "I"))
    require_shape("weight_hh", arrays["weight_hh"], ("4H", "H"))
    inputs, hidden = arrays["weight_ih"].shape[1], arrays["weight_hh"].shape[1]
    sizes = {"weight_ih": (inputs,), "weight_hh": (hidden,)}
    for name, array in arrays.items():
        require_shape(name, array, (4 * hidden, *sizes.get(name, ())))
    return _params(**arrays)


def _params(weight_ih: Any, weight_hh: Any, bias_ih: Any = None, bias_hh: Any = None) -> LSTMParams:
    return LSTMParams(weight_ih, weight_hh, bias_ih, bias_hh)


def _require_names(expected: Sequence[str], weights: Mapping[str, Any]) -> None:
    missing, unknown = [n for n in expected if n not in weights], [n for n in weights if n not in expected]
    got = [
        f"{label} {', '.join(map(str, names))}"
        for label, names in (("missing", missing), ("unknown", unknown))
        if names
    ]
    require(not got, "weights", f"hold exactly {', '.join(expected)}", "; ".join(got))


def _flat(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Flatten {"a": {"b": array}} to {"a.b": array}."""
    flat = {}
    for name, value in tree.items():
        inside = {f"{name}.{n}": v for n, v in _flat(value).items()} if isinstance(value, Mapping) else {name: value}
        flat.update(inside)
    return flat


def _nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Nest {"a.b": array} as {"a": {"b": array}}."""
    tree: dict[str, Any] = {}
    for path, value in flat.items():
        outer, inner = path.split(".")
        tree.setdefault(outer, {})[inner] = value
    return tree


def _around(names: str) -> tuple[str, str]:
    """The parts of `names` before and after its "{}"."""
    require(names.count("{}") == 1, "names", "hold one {}, where weight_ih and the others go", repr(names))
    before, after = names.split("{}")
    return before, after
