"""`torch.nn.LSTM` as a pure function of a mapping of parameters.

`lstm` is what `jax_lstm.LSTM` calls. Use it where parameters are kept outside of a Flax module, as {PyTorch's name:
array}; `explain_backend` says which kernel it runs.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Never

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.core import Tracer
from jax.typing import ArrayLike, DTypeLike

from jax_lstm.checks import (
    as_array,
    require,
    require_bool,
    require_dtype,
    require_floating,
    require_one_of,
    require_probability,
    require_shape,
)
from jax_lstm.kernels import auto
from jax_lstm.kernels.auto import Backend, Choice
from jax_lstm.kernels.base import PLATFORMS, Call, Direction, Kernel, Stack, this_platform
from jax_lstm.kernels.masking import dropout_mask
from jax_lstm.params import LSTMParams, LSTMState, Sizes, as_state, state_dtype
from jax_lstm.variants import Variant, VariantKernel

__all__ = ["explain_backend", "lstm"]

Lengths = ArrayLike | Sequence[int] | None
PLAIN = Variant()
OPTIONAL = ("lengths", "mask", "resets")
# Hints for arguments that are not there: of a call, and of `explain_backend`.
CALL_HINTS = {"seq_lengths": "here it is `lengths`"}  # Flax's name
EXPLAIN_HINTS = {name: f"say given=[{name!r}]" for name in OPTIONAL}


def lstm(
    params: Mapping[str, Any],
    x: ArrayLike,
    state: LSTMState | tuple[ArrayLike, ArrayLike] | None = None,
    *,
    batch_first: bool = False,
    lengths: Lengths = None,
    mask: ArrayLike | None = None,
    resets: ArrayLike | None = None,
    dropout: float = 0.0,
    variant: Variant = PLAIN,
    key: jax.Array | None = None,
    dtype: DTypeLike | None = None,
    backend: Backend = "auto",
    **options: Any,
) -> tuple[jax.Array, LSTMState]:
    """Run the sequence `x` through an LSTM, as `torch.nn.LSTM` does.

    Args:
        params: {PyTorch's name: array}, `weight_ih_l0` (4H, I) to `weight_hh_l1_reverse`, or the `nnx.state` of an
            `LSTM`. Names and shapes determine the layers and directions, biases and projections. `jax_lstm.LSTM`
            describes them; `jax_lstm.Sizes` computes their shapes.
        x: (T, B, I), or (B, T, I) if `batch_first`, or unbatched (T, I).
        state: `LSTMState` or `(h, c)`: h (L*D, B, R) and c (L*D, B, H), without B when `x` is unbatched; zeros if None.
            R is P with a projection, else H; D is the number of directions.
        batch_first: input and output have the batch axis first; states do not, as in PyTorch.
        lengths: (B,) integers from 0 to T, in any order: row b has `lengths[b]` steps, followed by padding. Outputs in
            the padding are zero, the last state is that of the row's last step, and the reverse direction starts there,
            as for a `PackedSequence`. A row of length 0, which PyTorch refuses, returns its initial state. Traced
            lengths cannot be checked: they are clipped to 0 and T.
        mask: (B, T) bool, also without `batch_first`: where false, the step is skipped: the state stays as it is and
            the output is zero. Padding may hold anything, even NaN.
        resets: (B, T) bool: where true, a new sequence begins at this step, from a zero state. No state crosses the
            boundary in either direction.
        dropout: probability with which an output is dropped between layers; applies if a `key` is given.
        variant: options beyond PyTorch's.
        key: random key for dropout and the random parts of `variant`: give one in training only.
        dtype: type to compute in; None takes the widest of `params` and `x`.
        backend: "auto", a kernel's name, or a kernel with options, as `jax_lstm.kernels.Scan(unroll=4)`.
        **options: no others are accepted; for `remat` and `unroll`, pass `backend=jax_lstm.kernels.Scan(...)`.

    Returns:
        The pair `(ys, state)`. `ys` are the last layer's outputs, of the shape of `x` with R*D in place of I, of the
        type computed in. `state` is the last `LSTMState` of every layer and direction, of that type too, but float32
        for the 16-bit types, so that a sequence given piece by piece and in one go gives the same.

    Raises:
        InputError: a shape, type, size or option does not fit. The message names it, what was expected and what came.

    Example:
        >>> import jax.numpy as jnp
        >>> import jax_lstm as jl
        >>> params = {name: jnp.zeros(shape) for name, shape in jl.Sizes(10, 20, num_layers=2).shapes().items()}
        >>> ys, state = jl.functional.lstm(params, jnp.ones((5, 32, 10)))
        >>> ys.shape, state.h.shape
        ((5, 32, 20), (2, 32, 20))
    """
    auto.refuse_options("lstm", options, CALL_HINTS)
    params, sizes = _read_params(params, variant)
    require_probability("dropout", dropout)
    kernel, where = _kernel(backend, variant, training=key is not None)
    read = _read(sizes, params, x, state, batch_first, lengths, mask, resets, dtype)
    layers, drops = [], []
    for layer in range(sizes.num_layers):
        drop = None
        if key is not None and dropout > 0 and layer > 0:
            width = sizes.output_size * sizes.num_directions
            drop = dropout_mask(_key(key, layer, 0), dropout, (*read.xs.shape[:2], width), read.dtype)
        drops.append(drop)
        layers.append(tuple(_directions(sizes, layer, params, read, variant, key)))
    xs = auto.guarded(kernel, where, read.xs, _call(sizes, read.xs, read.given))
    xs, last = kernel.run(Stack(xs, tuple(layers), tuple(drops), read.lengths, read.mask, read.resets))
    if read.unbatched:
        return xs[:, 0], LSTMState(last.h[:, 0], last.c[:, 0])
    return (jnp.swapaxes(xs, 0, 1) if batch_first else xs), last


def explain_backend(
    params: Mapping[str, Any],
    x: Any,
    *,
    batch_first: bool = False,
    dtype: DTypeLike | None = None,
    backend: Backend = "auto",
    variant: Variant = PLAIN,
    training: bool = False,
    given: str | Sequence[str] = (),
    platform: str | None = None,
    **options: Never,
) -> Choice:
    """Tell which kernel `lstm` runs for `x`, why, and why others do not; print the answer.

    Args:
        params: as for `lstm`.
        x: an array or a `jax.ShapeDtypeStruct`.
        batch_first: as for `lstm`.
        dtype: as for `lstm`.
        backend: as for `lstm`.
        variant: as for `lstm`.
        training: whether the call gives a `key`.
        given: those of "lengths", "mask" and "resets" that the call gives; a name, or several.
        platform: "cpu", "cuda", "rocm" or "tpu"; None takes the one of this process. It need not be here.
        **options: no others are accepted.

    Returns:
        A `jax_lstm.kernels.Choice`, whose `backend` is the kernel's name.

    Raises:
        InputError: `backend` names no kernel, or one that does not support the call.

    Example:
        >>> import jax.numpy as jnp
        >>> import jax_lstm as jl
        >>> params = {name: jnp.zeros(shape) for name, shape in jl.Sizes(10, 20).shapes().items()}
        >>> print(jl.functional.explain_backend(params, jnp.ones((5, 32, 10)), backend="reference"))
        reference: named by `backend`
    """
    auto.refuse_options("explain_backend", options, EXPLAIN_HINTS)
    params, sizes = _read_params(params, variant)
    given = (given,) if isinstance(given, str) else tuple(given)
    for name in given:
        require_one_of("given", name, OPTIONAL)
    if platform == "gpu":  # what `jax.default_backend()` says
        platform = this_platform() if jax.default_backend() == "gpu" else "cuda"
    require_one_of("platform", platform, (None, *PLATFORMS))
    x = x if isinstance(x, jax.ShapeDtypeStruct) else as_array("x", x)
    xs = jax.eval_shape(lambda x: _read(sizes, params, x, batch_first=batch_first, dtype=dtype).xs, x)
    call = _call(sizes, xs, given)._replace(platform=platform or this_platform())
    return auto.explain(*_kernel(backend, variant, training), call)


class Arguments(NamedTuple):
    """The arguments of a call, validated and normalised: time first, batched, `mask` and `resets` (T, B).

    `lengths` (B,), clipped to 0 and T, are part of `mask` too. `given` are the names of those that were given.
    """

    xs: jax.Array
    state: LSTMState
    lengths: jax.Array | None
    mask: jax.Array | None
    resets: jax.Array | None
    dtype: Any
    unbatched: bool
    given: tuple[str, ...]


def _read(
    sizes: Sizes, params: Mapping[str, Any], x: Any, state: Any = None, batch_first: bool = False, lengths: Any = None,
    mask: Any = None, resets: Any = None, dtype: Any = None,
) -> Arguments:  # fmt: skip
    """Validate and normalise the arguments of `lstm`."""
    require_bool("batch_first", batch_first)
    x = as_array("x", x)
    batched = ("B", "T", sizes.input_size) if batch_first else ("T", "B", sizes.input_size)
    require_shape("x", x, batched, ("T", sizes.input_size))
    require_floating("x", x)
    unbatched = x.ndim == 2
    xs = x[:, None] if unbatched else jnp.swapaxes(x, 0, 1) if batch_first else x
    steps, batch = xs.shape[:2]
    require(steps > 0, "x", "have at least one time step", f"shape {tuple(x.shape)}")
    dtype = compute_dtype(params, x, dtype)

    rows = () if unbatched else (batch,)
    h_shape, c_shape = (
        (sizes.num_layers * sizes.num_directions, *rows, n) for n in (sizes.output_size, sizes.hidden_size)
    )
    if state is None:
        state = LSTMState.zeros(c_shape, state_dtype(dtype), sizes.output_size)
    else:
        state = as_state(state, h_shape, c_shape, state_dtype(dtype))
    if unbatched:
        state = LSTMState(state.h[:, None], state.c[:, None])

    named = {"lengths": lengths, "mask": mask, "resets": resets}
    given = tuple(name for name, value in named.items() if value is not None)
    mask, resets = (
        _per_step(name, value, (*rows, steps), unbatched) for name, value in (("mask", mask), ("resets", resets))
    )
    if lengths is not None:
        lengths = _lengths(lengths, rows, steps)
        within = jnp.arange(steps, dtype=jnp.int32)[:, None] < lengths[None]
        mask = within if mask is None else mask & within
        resets = None if resets is None else resets & within  # the padding is no part of the sequence
    return Arguments(xs.astype(dtype), state, lengths, mask, resets, dtype, unbatched, given)


def compute_dtype(params: Mapping[str, Any], x: Any, dtype: DTypeLike | None) -> Any:
    """`dtype`, or where that is None the widest type among the arrays."""
    if dtype is not None:
        return jax.dtypes.canonicalize_dtype(require_dtype("dtype", dtype))
    with jax.numpy_dtype_promotion("standard"):  # a question, not an implicit cast of an array
        return jnp.result_type(x.dtype, *{param.dtype for param in params.values()})


def _read_params(params: Any, variant: Variant) -> tuple[dict[str, Any], Sizes]:
    """The parameters by name, and the sizes that they imply; they must fit `variant`."""
    require(isinstance(variant, Variant), "variant", "be a jax_lstm.Variant", type(variant).__name__)
    if isinstance(params, nnx.State):
        named = {str(name): value for name, value in params.items() if name != "rngs"}
        params = {name: value.get_value() if isinstance(value, nnx.Param) else value for name, value in named.items()}
    sizes = Sizes.of(params)
    for name in ("layer_norm", "peepholes"):
        wanted, there = getattr(variant, name), getattr(sizes, name)
        has = f"`params` {'have' if there else 'lack'} its parameters"
        require(wanted == there, f"variant.{name}", f"be {there}, since {has}", wanted)
    return params, sizes


def _kernel(backend: Backend, variant: Variant, training: bool) -> tuple[Kernel, str]:
    """The kernel to run, and where it was named; a variant that changes the recurrence has its own."""
    kernel, where = auto.kernel_of(backend)
    if not variant.changes_recurrence(training):
        return kernel, where
    named = where == "backend" and kernel != auto.AUTO
    require(not named, "backend", "be 'auto' with a `variant` that changes the recurrence", repr(backend))
    return VariantKernel(), "variant"


def _directions(
    sizes: Sizes, layer: int, params: Mapping[str, Any], read: Arguments, variant: Variant, key: jax.Array | None
) -> Iterator[Direction]:
    """The directions of one layer: their parameters in the type to compute in, and their initial states."""
    for at, suffix in enumerate(sizes.directions):
        own = {name: params[f"{name}_l{layer}{suffix}"] for name in sizes.of_layer(layer)}
        own_key = None if key is None else _key(key, layer, 1 + at)
        weights = LSTMParams(**{name: jnp.asarray(own[name], read.dtype) for name in LSTMParams._fields if name in own})
        weights = weights._replace(weight_hh=variant.dropped_weight(weights.weight_hh, own_key))
        h, c = (part[layer * sizes.num_directions + at] for part in read.state)
        if not variant.changes_recurrence(training=key is not None):
            yield Direction(weights, LSTMState(h, c))
            continue
        extras = variant.extras(own, read.xs.shape[0], h.shape, c.shape, own_key, c.dtype)
        yield Direction((weights, extras), LSTMState(h, c))


def _key(key: jax.Array, layer: int, part: int) -> jax.Array:
    """The key of a layer's dropout: part 0 for its input, 1 and 2 for its directions."""
    return jax.random.fold_in(jax.random.fold_in(key, layer), part)


def _call(sizes: Sizes, xs: Any, given: tuple[str, ...]) -> Call:
    steps, batch, inputs = xs.shape
    return Call(PLATFORMS[0], xs.dtype, steps, batch, inputs, sizes.hidden_size, sizes.proj_size, given)


def _per_step(name: str, value: Any, shape: tuple[int, ...], unbatched: bool) -> jax.Array | None:
    """A (B, T) or (T,) array of bools as (T, B)."""
    if value is None:
        return None
    value = as_array(name, value)
    require_shape(name, value, shape)
    require(value.dtype == jnp.bool_, name, "be an array of bools", value.dtype)
    return value[:, None] if unbatched else value.T


def _lengths(lengths: Any, rows: tuple[int, ...], steps: int) -> jax.Array:
    """The number of steps of each row, (B,); traced ones are clipped to 0 and T."""
    traced = any(isinstance(length, Tracer) for length in jax.tree.leaves(lengths))
    known = as_array("lengths", lengths) if traced else np.asarray(lengths)  # before JAX makes int32 of it
    require(jnp.issubdtype(known.dtype, jnp.integer), "lengths", "be an array of integers", known.dtype)
    require_shape("lengths", known, rows)
    if isinstance(known, np.ndarray) and isinstance(steps, int):
        for length in np.unique(known):
            require(0 <= length <= steps, "lengths", f"lie between 0 and T, {steps}", length)
    return jnp.clip(jnp.asarray(known, jnp.int32).reshape(-1), 0, steps)
