"""The parameters and the state of an LSTM: names, shapes and initial values, as `torch.nn.LSTM` has them."""

import math
import numbers
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from jax_lstm.checks import InputError, as_array, require, require_bool, require_floating, require_shape, require_size


def state_dtype(dtype: DTypeLike) -> Any:
    """The type of state, gates and sums when computing in `dtype`: float32 for the 16-bit types, else `dtype`."""
    dtype = jnp.dtype(dtype)
    return jnp.dtype(jnp.float32) if dtype.itemsize < 4 else dtype


class LSTMState(NamedTuple):
    """Hidden state `h` and cell state `c`; wherever one is expected, a plain `(h, c)` tuple is accepted too.

    For one cell they are (B, H); for an `LSTM` (L*D, B, H), as in `torch.nn.LSTM`. With a projection `h` has P in place
    of H. Both are of type `state_dtype(dtype)` when computing in `dtype`.
    """

    h: jax.Array
    c: jax.Array

    @classmethod
    def zeros(
        cls, shape: tuple[int, ...], dtype: DTypeLike = jnp.float32, output_size: int | None = None
    ) -> "LSTMState":
        """Zeros: `c` of `shape`, and `h` of the same shape, but with the last axis `output_size` if given."""
        h_shape = shape if output_size is None else (*shape[:-1], output_size)
        return cls(jnp.zeros(h_shape, dtype), jnp.zeros(shape, dtype))


def as_state(state: Any, h_shape: tuple[int, ...], c_shape: tuple[int, ...], dtype: Any) -> LSTMState:
    """Take an `LSTMState` or a plain `(h, c)` of these shapes; cast it to `dtype`, which must be as wide."""
    pair = isinstance(state, tuple | list) and len(state) == 2
    require(pair, "state", "be an LSTMState or a pair (h, c)", type(state).__name__)
    parts = []
    for name, part, shape in zip(("state.h", "state.c"), state, (h_shape, c_shape), strict=True):
        part = as_array(name, part)
        require_shape(name, part, shape)
        require_floating(name, part)
        narrow = jnp.finfo(part.dtype).bits <= jnp.finfo(dtype).bits
        require(
            narrow, name, f"be {jnp.dtype(dtype)}, or narrower", part.dtype, "cast it, or compute in a wider `dtype`"
        )
        parts.append(part.astype(dtype))
    return LSTMState(*parts)


class LSTMParams(NamedTuple):
    """Parameters of one layer in one direction, in PyTorch's layout: the gates i, f, g, o stacked along 4H.

    `weight_ih` (4H, I), `weight_hh` (4H, R), `bias_ih` (4H,), `bias_hh` (4H,) and `weight_hr` (P, H), where R, the size
    of `h`, is P with a projection and H without. Both biases are None without bias, `weight_hr` without projection.
    """

    weight_ih: jax.Array
    weight_hh: jax.Array
    bias_ih: jax.Array | None = None
    bias_hh: jax.Array | None = None
    weight_hr: jax.Array | None = None


Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Sizes:
    """The sizes and options that determine an LSTM's parameters. The last two are those of `Variant`."""

    input_size: int
    hidden_size: int
    num_layers: int = 1
    bias: bool = True
    bidirectional: bool = False
    proj_size: int = 0
    layer_norm: bool = False
    peepholes: bool = False

    def __post_init__(self) -> None:
        for name in ("input_size", "hidden_size", "num_layers", "proj_size"):
            size = require_size(name, getattr(self, name), least=0 if name == "proj_size" else 1)
            object.__setattr__(self, name, size)
        below = self.proj_size < self.hidden_size
        require(below, "proj_size", f"be smaller than hidden_size, {self.hidden_size}", self.proj_size)
        for name in ("bias", "bidirectional"):
            require_bool(name, getattr(self, name))

    @property
    def output_size(self) -> int:
        """R, the size of `h`: P with a projection, H without."""
        return self.proj_size or self.hidden_size

    @property
    def directions(self) -> tuple[str, ...]:
        """What ends the names of the parameters of each direction."""
        return ("", "_reverse") if self.bidirectional else ("",)

    @property
    def num_directions(self) -> int:
        return len(self.directions)

    def suffixes(self) -> Iterator[tuple[int, str]]:
        """Each layer and direction in the order of the states: (layer, suffix of its parameters' names)."""
        for layer in range(self.num_layers):
            for direction in self.directions:
                yield layer, f"_l{layer}{direction}"

    def of_layer(self, layer: int = 0) -> Shapes:
        """The names, without suffix, and shapes of one layer's parameters in one direction, PyTorch's first."""
        hidden, gates, output = self.hidden_size, 4 * self.hidden_size, self.output_size
        inputs = self.input_size if layer == 0 else output * self.num_directions
        shapes: Shapes = {"weight_ih": (gates, inputs), "weight_hh": (gates, output)}
        if self.bias:
            shapes |= {"bias_ih": (gates,), "bias_hh": (gates,)}
        if self.proj_size:
            shapes["weight_hr"] = (self.proj_size, hidden)
        if self.peepholes:
            shapes["weight_ch"] = (3 * hidden,)
        if self.layer_norm:
            shapes |= {"norm_ih": (gates,), "norm_hh": (gates,), "norm_c": (hidden,)}
            shapes |= {"norm_c_bias": (hidden,)} if self.bias else {}
        return shapes

    def shapes(self) -> Shapes:
        """Every parameter's full name and shape, in PyTorch's order."""
        return {
            name + suffix: shape for layer, suffix in self.suffixes() for name, shape in self.of_layer(layer).items()
        }

    @classmethod
    def of(cls, params: Mapping[str, Any]) -> "Sizes":
        """The sizes implied by a mapping of full names to arrays.

        Raises:
            InputError: a name is missing or unknown, or a shape does not fit the others.
        """
        require(isinstance(params, Mapping), "params", "be a mapping of names to arrays", type(params).__name__)
        for name, param in params.items():
            fix = "see jax_lstm.state_dict and load_file" if hasattr(param, "detach") else ""
            ok = isinstance(param, jax.Array | np.ndarray | jax.ShapeDtypeStruct)
            require(ok, f"params[{name!r}]", "be a JAX or NumPy array", type(param).__name__, fix)
            require_floating(str(name), param)
        for name in ("weight_ih_l0", "weight_hh_l0"):
            require(name in params, "params", f"have a {name}", ", ".join(map(str, params)) or "nothing")
            require_shape(name, params[name], ("4H", "I" if name == "weight_ih_l0" else "R"))
        (gates, inputs), output = params["weight_ih_l0"].shape, params["weight_hh_l0"].shape[1]
        require(gates % 4 == 0 and gates > 0, "weight_ih_l0", "have 4H rows, one block a gate", f"{gates} rows")
        layers = 1
        while f"weight_ih_l{layers}" in params:
            layers += 1
        sizes = cls(
            inputs,
            gates // 4,
            layers,
            bias="bias_ih_l0" in params,
            bidirectional="weight_ih_l0_reverse" in params,
            proj_size=output if "weight_hr_l0" in params else 0,
            layer_norm="norm_ih_l0" in params,
            peepholes="weight_ch_l0" in params,
        )
        shapes = sizes.shapes()
        for label, names in (
            ("lacks", shapes.keys() - params.keys()),
            ("has an unknown", params.keys() - shapes.keys()),
        ):
            if names:
                raise InputError(
                    f"`params` must name the parameters of one LSTM; it {label} {', '.join(sorted(map(str, names)))}"
                )
        for name, shape in shapes.items():
            require_shape(name, params[name], shape)
        return sizes


Initializer = Callable[..., jax.Array]  # (key, shape, dtype) -> array, as in jax.nn.initializers


@dataclass(frozen=True)
class Init:
    """Initialisers of an LSTM's parameters. Those left None are PyTorch's: U(-1/sqrt(H), 1/sqrt(H)).

    Use those of `jax.nn.initializers`, as `Init(weight_hh=jax.nn.initializers.orthogonal())`. Each gate's block of a
    weight is drawn separately, as the (fan in, fan out) matrix that they expect, and transposed.

    Args:
        weight_ih: initialiser of the input weights, drawn as (I, H) for each gate; for example Glorot's uniform
            (https://proceedings.mlr.press/v9/glorot10a.html).
        weight_hh: of the recurrent weights, drawn as (R, H) for each gate; for example orthogonal
            (https://arxiv.org/abs/1312.6120).
        weight_hr: of the projection, drawn as (H, P).
        bias: of both biases, each drawn as (4H,).
        forget_bias: sum of both biases of the forget gate, usually 1, so that cells remember at first (Gers et al.
            2000, https://doi.org/10.1162/089976600300015015; Jozefowicz et al. 2015,
            https://proceedings.mlr.press/v37/jozefowicz15.html).
    """

    weight_ih: Initializer | None = None
    weight_hh: Initializer | None = None
    weight_hr: Initializer | None = None
    bias: Initializer | None = None
    forget_bias: float | None = None

    def check(self, bias: bool) -> None:
        """Raise `InputError` for initialisers that an LSTM with or without `bias` cannot use."""
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
