"""`LSTM` and `LSTMCell`: Flax modules that own the parameters, as `torch.nn.LSTM` and `torch.nn.LSTMCell`."""

import warnings
from collections.abc import Sequence
from typing import Any, Never

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import ArrayLike, DTypeLike

from jax_lstm import functional, kernels
from jax_lstm.checks import (
    as_array,
    require,
    require_bool,
    require_dtype,
    require_floating,
    require_probability,
    require_shape,
)
from jax_lstm.functional import Lengths, compute_dtype
from jax_lstm.kernels.auto import Backend, Choice, kernel_of, refuse_options
from jax_lstm.params import Init, LSTMParams, LSTMState, Sizes, as_state, state_dtype
from jax_lstm.variants import Variant


class LSTM(nnx.Module):
    """A multi-layer LSTM; mirrors https://docs.pytorch.org/docs/stable/generated/torch.nn.LSTM.html.

    Args:
        input_size: I, the number of features of the input.
        hidden_size: H, the number of hidden units of every layer.
        num_layers: L; each layer reads the outputs of the one below.
        bias: whether there are biases; two a layer, as in PyTorch.
        batch_first: input and output are (B, T, ...) instead of (T, B, ...). States are (L*D, B, ...) either way.
        dropout: probability with which an output is dropped between layers; only in training mode (`train()`,
            `eval()`), and never after the last layer.
        bidirectional: a second direction reads the sequence from its end; then D is 2, and the outputs of both
            directions are concatenated.
        proj_size: P; if above 0, `weight_hr` projects `h` to P units. R, the size of `h`, is then P, else H.
        dtype: type to compute in; None takes the widest of the parameters and the input. With a 16-bit type, state and
            sums are float32.
        param_dtype: type of the parameters.
        backend: "auto", a kernel's name, or a kernel with options, as `jax_lstm.kernels.Scan(unroll=4)`.
            `explain_backend` tells which one a call uses.
        variant: options beyond PyTorch's: recurrent dropout, zoneout, layer normalisation, peepholes.
        init: initialisers, if not PyTorch's U(-1/sqrt(H), 1/sqrt(H)).
        rngs: random streams for the initial parameters (`params`) and dropout (`dropout`).
        **options: no others are accepted; for `remat` and `unroll`, pass `backend=jax_lstm.kernels.Scan(...)`.

    Layer k has the parameters `weight_ih_l{k}` (4H, I), or (4H, R*D) above the first layer, `weight_hh_l{k}` (4H, R),
    `bias_ih_l{k}` and `bias_hh_l{k}` (4H,), `weight_hr_l{k}` (P, H); gates i, f, g, o along 4H. Those of the reverse
    direction end in `_reverse`. These are PyTorch's names and shapes.

    Raises:
        InputError: an option is wrong: a size below 1, a `proj_size` not below `hidden_size`, a dropout outside 0 to 1.

    Example:
        >>> import jax.numpy as jnp
        >>> from flax import nnx
        >>> import jax_lstm as jl
        >>> lstm = jl.LSTM(10, 20, num_layers=2, rngs=nnx.Rngs(0))
        >>> ys, state = lstm(jnp.ones((5, 32, 10)))
        >>> ys.shape, state.h.shape, state.c.shape
        ((5, 32, 20), (2, 32, 20), (2, 32, 20))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        *,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = jnp.float32,
        backend: Backend = "auto",
        variant: Variant = Variant(),  # noqa: B008 frozen
        init: Init = Init(),  # noqa: B008 frozen
        rngs: nnx.Rngs,
        **options: Any,
    ):
        refuse_options("LSTM", options)
        for name, value, kind in (("variant", variant, Variant), ("init", init, Init), ("rngs", rngs, nnx.Rngs)):
            require(isinstance(value, kind), name, f"be {kind.__module__.split('.')[0]}'s {kind.__name__}", repr(value))
        self.sizes = Sizes(
            input_size, hidden_size, num_layers, bias, bidirectional, proj_size, variant.layer_norm, variant.peepholes
        )
        require_bool("batch_first", batch_first)
        require_probability("dropout", dropout)
        kernel_of(backend)  # checks it
        if dtype is not None:
            require_dtype("dtype", dtype)
        require_dtype("param_dtype", param_dtype)
        init.check(bias)
        if dropout > 0 and num_layers == 1:
            warnings.warn(
                f"`dropout` applies between layers, so it does nothing with one layer; got {dropout}", stacklevel=2
            )
        self.batch_first, self.dropout = batch_first, float(dropout)
        self.dtype, self.param_dtype = dtype, param_dtype
        self.backend, self.variant = backend, variant
        for layer, suffix in self.sizes.suffixes():
            for name, shape in self.sizes.of_layer(layer).items():
                value = init.draw(name, rngs.params(), shape, hidden_size, param_dtype)
                setattr(self, name + suffix, nnx.Param(value))
        self.deterministic = False  # set by `train()` and `eval()`
        # Without dropout there is no random state to carry, save and restore.
        random = self.dropout > 0 or variant.random
        stream = not random or "dropout" in rngs or "default" in rngs
        require(stream, "rngs", "have a stream 'dropout' or 'default'", "neither")
        self.rngs: nnx.RngStream | None = rngs.dropout.fork() if random else None

    # Attributes of `torch.nn.LSTM`.
    input_size = property(lambda self: self.sizes.input_size)
    hidden_size = property(lambda self: self.sizes.hidden_size)
    num_layers = property(lambda self: self.sizes.num_layers)
    bias = property(lambda self: self.sizes.bias)
    bidirectional = property(lambda self: self.sizes.bidirectional)
    proj_size = property(lambda self: self.sizes.proj_size)

    def set_view(self, deterministic: bool | None = None) -> None:
        """Set the mode; called by `flax.nnx.view(lstm, deterministic=...)`.

        Args:
            deterministic: whether dropout is off; None leaves it as it is.

        Example:
            >>> from flax import nnx
            >>> import jax_lstm as jl
            >>> lstm = jl.LSTM(10, 20, num_layers=2, dropout=0.1, rngs=nnx.Rngs(0))
            >>> nnx.view(lstm, deterministic=True).deterministic, lstm.deterministic
            (True, False)
        """
        if deterministic is not None:
            self.deterministic = deterministic

    @property
    def params(self) -> dict[str, jax.Array]:
        """The parameters by PyTorch's names, for `jax_lstm.functional.lstm`.

        Example:
            >>> from flax import nnx
            >>> import jax_lstm as jl
            >>> list(jl.LSTM(10, 20, rngs=nnx.Rngs(0)).params)
            ['weight_ih_l0', 'weight_hh_l0', 'bias_ih_l0', 'bias_hh_l0']
        """
        return {name: getattr(self, name).get_value() for name in self.sizes.shapes()}

    def __call__(
        self,
        x: ArrayLike,
        state: LSTMState | tuple[ArrayLike, ArrayLike] | None = None,
        *,
        lengths: Lengths = None,
        mask: ArrayLike | None = None,
        resets: ArrayLike | None = None,
        **options: Never,
    ) -> tuple[jax.Array, LSTMState]:
        """Run the sequence `x` from `state` (zeros if None); `jax_lstm.functional.lstm` describes all arguments.

        Args:
            x: (T, B, I), or (B, T, I) if `batch_first`, or unbatched (T, I).
            state: `LSTMState` or `(h, c)`, h (L*D, B, R) and c (L*D, B, H); without B when `x` is unbatched.
            lengths: (B,) integers: the steps of each row; the rest is padding.
            mask: (B, T) bool: false where a step is skipped.
            resets: (B, T) bool: true where a new sequence begins.
            **options: no others are accepted.

        Returns:
            The pair `(ys, state)`, where `ys` are the last layer's outputs, of the shape of `x` with R*D in place of I,
            and `state` is the last `LSTMState` of every layer and direction.

        Raises:
            InputError: a shape or type does not fit.

        Example:
            >>> import jax.numpy as jnp
            >>> from flax import nnx
            >>> import jax_lstm as jl
            >>> lstm = jl.LSTM(10, 20, batch_first=True, bidirectional=True, rngs=nnx.Rngs(0))
            >>> ys, state = lstm(jnp.ones((3, 5, 10)), lengths=[5, 2, 4])
            >>> ys.shape, state.h.shape
            ((3, 5, 40), (2, 3, 20))
        """
        refuse_options("LSTM", options, functional.CALL_HINTS)
        return functional.lstm(
            self.params,
            x,
            state,
            lengths=lengths,
            mask=mask,
            resets=resets,
            batch_first=self.batch_first,
            dropout=self.dropout,
            key=None if self.rngs is None or self.deterministic else self.rngs(),
            variant=self.variant,
            dtype=self.dtype,
            backend=self.backend,
        )


def explain_backend(
    module: "LSTM | LSTMCell",
    x: Any,
    *,
    given: str | Sequence[str] = (),
    platform: str | None = None,
    **options: Never,
) -> Choice:
    """Tell which kernel runs `module(x)`, why, and why others do not; print the answer.

    Args:
        module: an `LSTM` or an `LSTMCell`.
        x: an array or a `jax.ShapeDtypeStruct`.
        given: those of "lengths", "mask" and "resets" that the call gives; a name, or several.
        platform: "cpu", "cuda", "rocm" or "tpu"; None takes the one of this process. It need not be here.
        **options: no others are accepted.

    Returns:
        A `jax_lstm.kernels.Choice`, whose `backend` is the kernel's name.

    Raises:
        InputError: `module` is neither, or the backend that it names does not support the call.

    Example:
        >>> import jax
        >>> from flax import nnx
        >>> import jax_lstm as jl
        >>> lstm = jl.LSTM(10, 20, backend="scan", rngs=nnx.Rngs(0))
        >>> print(jl.explain_backend(lstm, jax.ShapeDtypeStruct((5, 32, 10), "float32")))
        scan: named by `backend`
    """
    refuse_options("explain_backend", options, functional.EXPLAIN_HINTS)
    if isinstance(module, LSTMCell):
        return Choice("step", "a cell takes one step, in plain JAX on every platform")
    fix = "give the LSTM in it" if isinstance(module, nnx.Module) else ""
    require(isinstance(module, LSTM), "module", "be an LSTM or an LSTMCell", type(module).__name__, fix)
    return functional.explain_backend(
        module.params,
        x,
        batch_first=module.batch_first,
        dtype=module.dtype,
        backend=module.backend,
        variant=module.variant,
        training=module.rngs is not None and not module.deterministic,
        given=given,
        platform=platform,
    )


class LSTMCell(nnx.RNNCellBase):
    """One step of an LSTM; mirrors https://docs.pytorch.org/docs/stable/generated/torch.nn.LSTMCell.html.

    It follows Flax's cell protocol, `cell(state, x) -> (state, h)`, for `flax.nnx.RNN` and `jax.lax.scan`; PyTorch's
    order is `cell(x, state)`.

    Args:
        input_size: I, the number of features of `x`.
        hidden_size: H, the number of hidden units.
        bias: whether there are biases; two, `bias_ih` and `bias_hh`, as in PyTorch.
        dtype: computation type; None takes the widest of the parameters and the input. With a 16-bit type, gates and
            sums are float32.
        param_dtype: type of the parameters.
        init: initialisers to use instead of U(-1/sqrt(H), 1/sqrt(H)).
        rngs: source of the initial parameters.

    It has the parameters `weight_ih` (4H, I), `weight_hh` (4H, H), `bias_ih` (4H,) and `bias_hh` (4H,), with the gates
    i, f, g, o along 4H.

    Raises:
        InputError: a size is below 1, or an input or state has the wrong shape or type.

    Example:
        >>> import jax.numpy as jnp
        >>> from flax import nnx
        >>> import jax_lstm as jl
        >>> cell = jl.LSTMCell(10, 20, rngs=nnx.Rngs(0))
        >>> state, h = cell(None, jnp.ones((32, 10)))  # None: from zeros
        >>> h.shape, state.c.shape
        ((32, 20), (32, 20))
        >>> nnx.RNN(cell)(jnp.ones((32, 5, 10))).shape  # (B, T, I)
        (32, 5, 20)
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        *,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = jnp.float32,
        init: Init = Init(),  # noqa: B008 frozen
        rngs: nnx.Rngs,
    ):
        for name, value, kind in (("init", init, Init), ("rngs", rngs, nnx.Rngs)):
            require(isinstance(value, kind), name, f"be {kind.__module__.split('.')[0]}'s {kind.__name__}", repr(value))
        self.sizes = Sizes(input_size, hidden_size, bias=bias)
        init.check(bias)
        self.dtype, self.param_dtype = dtype, param_dtype
        for name, shape in self.sizes.of_layer().items():
            setattr(self, name, nnx.Param(init.draw(name, rngs.params(), shape, hidden_size, param_dtype)))

    input_size = property(lambda self: self.sizes.input_size)
    hidden_size = property(lambda self: self.sizes.hidden_size)
    bias = property(lambda self: self.sizes.bias)

    def __call__(self, carry: Any, inputs: jax.Array) -> tuple[Any, jax.Array]:
        """Take one step.

        Args:
            carry: `LSTMState` or `(h, c)` of (B, H) arrays; None for zeros.
            inputs: (B, I). Unbatched (I,) works too, and so do more batch axes; the state then has the same ones.

        Returns:
            The new state and the output `h` (B, H). The state has the structure and the types of `carry`, so that a
            scan can carry it; after None it is an `LSTMState`, in float32 for 16-bit types.

        Raises:
            InputError: a shape or type does not fit, or the arguments come in PyTorch's order.
        """
        if isinstance(inputs, tuple | list | None) and not isinstance(carry, tuple | list | None):
            got = "PyTorch's order, cell(inputs, carry)"
            require(False, "LSTMCell", "be called as cell(carry, inputs), as in Flax", got, "swap the two arguments")
        inputs = as_array("inputs", inputs)
        batch = inputs.shape[:-1]
        require_shape(
            "inputs", inputs, (*batch, self.sizes.input_size) if inputs.ndim else ("B", self.sizes.input_size)
        )
        require_floating("inputs", inputs)
        params = {name: getattr(self, name)[...] for name in self.sizes.of_layer()}
        dtype, shape = compute_dtype(params, inputs, self.dtype), (*batch, self.sizes.hidden_size)
        if carry is None:
            carry = LSTMState.zeros(shape, state_dtype(dtype))
        state = as_state(carry, shape, shape, state_dtype(dtype))
        cast = LSTMParams(**{name: param.astype(dtype) for name, param in params.items()})
        state = kernels.step(cast, state, inputs.astype(dtype))
        given, structure = jax.tree.flatten(carry, is_leaf=lambda part: part is not carry)
        returned = [part.astype(jnp.asarray(old).dtype) for part, old in zip(state, given, strict=True)]
        return jax.tree.unflatten(structure, returned), state.h.astype(dtype)

    def initialize_carry(self, input_shape: tuple[int, ...], rngs: Any = None, carry_init: Any = None) -> LSTMState:
        """The initial state for inputs of a shape.

        Args:
            input_shape: (..., I).
            rngs: random streams, of which `carry` is used, or one stream; needed with `carry_init` only.
            carry_init: an initialiser as in `jax.nn.initializers`; None for zeros.

        Returns:
            `LSTMState` with `h` and `c` (..., H).

        Example:
            >>> from flax import nnx
            >>> import jax_lstm as jl
            >>> jl.LSTMCell(10, 20, rngs=nnx.Rngs(0)).initialize_carry((32, 10)).h.shape
            (32, 20)
        """
        shape, dtype = (*input_shape[:-1], self.sizes.hidden_size), state_dtype(self.dtype or self.param_dtype)
        if carry_init is None:
            return LSTMState.zeros(shape, dtype)
        stream = rngs.carry if isinstance(rngs, nnx.Rngs) else rngs
        return LSTMState(carry_init(stream(), shape, dtype), carry_init(stream(), shape, dtype))

    @property
    def num_feature_axes(self) -> int:
        return 1
