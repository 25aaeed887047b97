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

    Shapes are those of `torch.nn.LSTM`. Both arrays are float32 when computing in a 16-bit type, else of the type
    computed in.

    Attributes:
        h: the hidden state: (L*D, B, R) for an `LSTM`, (B, H) for an `LSTMCell`. R is P with a projection, else H.
        c: the cell state: (L*D, B, H), or (B, H).

    Example:
        >>> import jax_lstm as jl
        >>> h, c = jl.LSTMState.zeros((2, 32, 20))  # two layers
        >>> h.shape, c.shape
        ((2, 32, 20), (2, 32, 20))
    """

    h: jax.Array
    c: jax.Array

    @classmethod
    def zeros(
        cls, shape: tuple[int, ...], dtype: DTypeLike = jnp.float32, output_size: int | None = None
    ) -> "LSTMState":
        """A state of zeros.

        Args:
            shape: the shape of `c`, and of `h` unless `output_size` is given.
            dtype: the type of both arrays.
            output_size: the last axis of `h`, if not that of `c`: P with a projection.

        Example:
            >>> import jax_lstm as jl
            >>> state = jl.LSTMState.zeros((2, 32, 20), output_size=8)
            >>> state.h.shape, state.c.shape
            ((2, 32, 8), (2, 32, 20))
        """
        h_shape = shape if output_size is None else (*shape[:-1], output_size)
        return cls(jnp.zeros(h_shape, dtype), jnp.zeros(shape, dtype))


def as_state(state: Any, h_shape: tuple[int, ...], c_shape: tuple[int, ...], dtype: Any) -> LSTMState:
    """Take an `LSTMState` or a plain `(h, c)` of these shapes; cast it to `dtype`, which must be as wide."""
    pair = isinstance(state, tuple | list) and len(state) == 2
    fix = "lengths are a keyword: lengths=..." if not pair and _may_be_lengths(state, h_shape) else ""
    require(pair, "state", "be an LSTMState or a pair (h, c)", type(state).__name__, fix)
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


def _may_be_lengths(value: Any, h_shape: tuple[int, ...]) -> bool:
    """Whether it is an array of integers, one for each sequence of a batch."""
    if not isinstance(value, jax.Array | np.ndarray) or len(h_shape) < 3:
        return False
    return value.shape == h_shape[1:2] and jnp.issubdtype(value.dtype, jnp.integer)


class LSTMParams(NamedTuple):
    """Parameters of one layer in one direction, in PyTorch's layout: the gates i, f, g, o stacked along 4H.

    R, the size of `h`, is P with a projection and H without.

    Attributes:
        weight_ih: (4H, I), the input weights.
        weight_hh: (4H, R), the recurrent weights.
        bias_ih: (4H,), or None without biases.
        bias_hh: (4H,), or None without biases.
        weight_hr: (P, H), or None without a projection.

    Example:
        >>> from flax import nnx
        >>> import jax_lstm as jl
        >>> weights = jl.state_dict(jl.LSTMCell(10, 20, rngs=nnx.Rngs(0)))
        >>> params = jl.LSTMParams(**weights)
        >>> params.weight_ih.shape, params.bias_hh.shape, params.weight_hr
        ((80, 10), (80,), None)
    """

    weight_ih: jax.Array
    weight_hh: jax.Array
    bias_ih: jax.Array | None = None
    bias_hh: jax.Array | None = None
    weight_hr: jax.Array | None = None


Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Sizes:
    """The sizes and options that determine the names and shapes of an LSTM's parameters.

    Attributes:
        input_size: I, the number of features of the input.
        hidden_size: H, the number of hidden units of every layer.
        num_layers: L, the number of layers.
        bias: whether there are biases.
        bidirectional: whether there is a reverse direction.
        proj_size: P, the size that `h` is projected to; 0 for no projection.
        layer_norm: whether there are the gains of `Variant(layer_norm=True)`.
        peepholes: whether there are the weights of `Variant(peepholes=True)`.

    Raises:
        InputError: a size is below 1, `proj_size` is not below `hidden_size`, or an option is not a bool.

    Example:
        >>> import jax_lstm as jl
        >>> sizes = jl.Sizes(10, 20, bias=False, proj_size=5)
        >>> sizes.shapes()
        {'weight_ih_l0': (80, 10), 'weight_hh_l0': (80, 5), 'weight_hr_l0': (5, 20)}
        >>> sizes.output_size, sizes.directions, sizes.num_directions
        (5, ('',), 1)
    """

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
        """R, the size of `h`; P with a projection, H without."""
        return self.proj_size or self.hidden_size

    @property
    def directions(self) -> tuple[str, ...]:
        """What the parameters' names end in, by direction; `("",)`, or `("", "_reverse")` if bidirectional."""
        return ("", "_reverse") if self.bidirectional else ("",)

    @property
    def num_directions(self) -> int:
        """D, the number of directions."""
        return len(self.directions)

    def suffixes(self) -> Iterator[tuple[int, str]]:
        """Each layer and direction, in the order of the states, as (layer, suffix of its parameters' names).

        Example:
            >>> import jax_lstm as jl
            >>> list(jl.Sizes(10, 20, bidirectional=True).suffixes())
            [(0, '_l0'), (0, '_l0_reverse')]
        """
        for layer in range(self.num_layers):
            for direction in self.directions:
                yield layer, f"_l{layer}{direction}"

    def of_layer(self, layer: int = 0) -> Shapes:
        """The names, without suffix, and shapes of one layer's parameters in one direction, PyTorch's first.

        Args:
            layer: the index of the layer; layers above the first read R*D features.

        Example:
            >>> import jax_lstm as jl
            >>> jl.Sizes(10, 20, num_layers=2, bias=False).of_layer(1)
            {'weight_ih': (80, 20), 'weight_hh': (80, 20)}
        """
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

        Args:
            params: {PyTorch's name: array}, as `LSTM.params` and `functional.lstm` have them.

        Raises:
            InputError: a name is missing or unknown, or a shape does not fit the others.

        Example:
            >>> from flax import nnx
            >>> import jax_lstm as jl
            >>> sizes = jl.Sizes.of(jl.LSTM(10, 20, num_layers=2, rngs=nnx.Rngs(0)).params)
            >>> sizes.input_size, sizes.hidden_size, sizes.num_layers
            (10, 20, 2)
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

    Attributes:
        weight_ih: initialiser of the input weights, drawn as (I, H) for each gate; for example Glorot's uniform
            (https://proceedings.mlr.press/v9/glorot10a.html).
        weight_hh: initialiser of the recurrent weights, drawn as (R, H) for each gate; for example orthogonal
            (https://arxiv.org/abs/1312.6120).
        weight_hr: initialiser of the projection, drawn as (H, P).
        bias: initialiser of both biases, each drawn as (4H,).
        forget_bias: sum of both biases of the forget gate, usually 1, so that cells remember at first (Gers et al.
            2000, https://doi.org/10.1162/089976600300015015; Jozefowicz et al. 2015,
            https://proceedings.mlr.press/v37/jozefowicz15.html).

    Example:
        >>> import jax
        >>> from flax import nnx
        >>> import jax_lstm as jl
        >>> init = jl.Init(weight_ih=jax.nn.initializers.glorot_uniform(), forget_bias=1.0)
        >>> params = jl.LSTM(2, 3, init=init, rngs=nnx.Rngs(0)).params
        >>> (params["bias_ih_l0"] + params["bias_hh_l0"])[3:6].tolist()  # the forget gate's
        [1.0, 1.0, 1.0]
    """

    weight_ih: Initializer | None = None
    weight_hh: Initializer | None = None
    weight_hr: Initializer | None = None
    bias: Initializer | None = None
    forget_bias: float | None = None

    def check(self, bias: bool) -> None:
        """Raise `InputError` for initialisers that an LSTM with or without `bias` cannot use.

        Example:
            >>> import jax_lstm as jl
            >>> try:
            ...     jl.Init(forget_bias=1.0).check(bias=False)
            ... except jl.InputError as error:
            ...     print(error)
            `init.forget_bias` must be left out where bias is False; got 1.0
        """
        for name in ("weight_ih", "weight_hh", "weight_hr", "bias"):
            value = getattr(self, name)
            require(value is None or callable(value), f"init.{name}", "be a function (key, shape, dtype)", repr(value))
        number = self.forget_bias is None or isinstance(self.forget_bias, numbers.Real)
        require(number, "init.forget_bias", "be a number", repr(self.forget_bias))
        for name in ("bias", "forget_bias"):
            value = getattr(self, name)
            require(bias or value is None, f"init.{name}", "be left out where bias is False", repr(value))

    def draw(self, name: str, key: jax.Array, shape: tuple[int, ...], hidden_size: int, dtype: DTypeLike) -> jax.Array:
        """The initial value of one parameter, in PyTorch's layout.

        Args:
            name: the parameter's name without suffix, as `weight_ih`.
            key: the random key to draw from.
            shape: the parameter's shape, as `Sizes.of_layer` gives it.
            hidden_size: H, the number of hidden units.
            dtype: the parameter's type.

        Raises:
            InputError: an initialiser returned another shape.

        Example:
            >>> import jax
            >>> import jax_lstm as jl
            >>> jl.Init().draw("weight_ih", jax.random.key(0), (80, 10), 20, "float32").shape
            (80, 10)
        """
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
