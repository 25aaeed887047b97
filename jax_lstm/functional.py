"""`lstm`: `torch.nn.LSTM` as a pure function of a mapping of parameters."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
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
    require_size,
)
from jax_lstm.kernels import auto as registry
from jax_lstm.kernels.directions import one_by_one
from jax_lstm.kernels.scan import Remat
from jax_lstm.params import LSTMParams, LSTMState, Sizes, as_state, state_dtype
from jax_lstm.variants import Extras, Variant, dropout_mask, variant_scan

Lengths = ArrayLike | Sequence[int] | None


class Call(NamedTuple):
    """The arguments of a call, checked and brought to one form: time first, batched, `mask` and `resets` (T, B).

    `lengths` (B,), within 0 to T, are in `mask` too. `given` are the names of those that were given.
    """

    xs: jax.Array
    state: LSTMState
    lengths: jax.Array | None
    mask: jax.Array | None
    resets: jax.Array | None
    dtype: Any
    unbatched: bool
    given: tuple[str, ...]


def read_call(
    sizes: Sizes,
    params: Mapping[str, Any],
    x: Any,
    state: Any = None,
    *,
    batch_first: bool = False,
    lengths: Any = None,
    mask: Any = None,
    resets: Any = None,
    dtype: Any = None,
) -> Call:
    """Check the arguments of `jax_lstm.functional.lstm`; raises `InputError` for what does not fit."""
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
    return Call(xs.astype(dtype), state, lengths, mask, resets, dtype, unbatched, given)


def compute_dtype(params: Mapping[str, Any], x: Any, dtype: DTypeLike | None) -> Any:
    """`dtype`, or where that is None the widest type among the arrays."""
    if dtype is not None:
        return jax.dtypes.canonicalize_dtype(require_dtype("dtype", dtype))
    with jax.numpy_dtype_promotion("standard"):  # a question, not an implicit cast of an array
        return jnp.result_type(x.dtype, *{param.dtype for param in params.values()})


def _per_step(name: str, value: Any, shape: tuple[int, ...], unbatched: bool) -> jax.Array | None:
    """A (B, T) or (T,) array of bools as (T, B)."""
    if value is None:
        return None
    value = as_array(name, value)
    require_shape(name, value, shape)
    require(value.dtype == jnp.bool_, name, "be an array of bools", value.dtype)
    return value[:, None] if unbatched else value.T


def _lengths(lengths: Any, rows: tuple[int, ...], steps: int) -> jax.Array:
    """The steps of each row, (B,). Under `jit` a number below 0 counts as 0, one above T as T."""
    traced = any(isinstance(length, Tracer) for length in jax.tree.leaves(lengths))
    known = as_array("lengths", lengths) if traced else np.asarray(lengths)  # before JAX makes int32 of it
    require(jnp.issubdtype(known.dtype, jnp.integer), "lengths", "be an array of integers", known.dtype)
    require_shape("lengths", known, rows)
    if isinstance(known, np.ndarray) and isinstance(steps, int):
        for length in np.unique(known):
            require(0 <= length <= steps, "lengths", f"lie between 0 and T, {steps}", length)
    return jnp.clip(jnp.asarray(known, jnp.int32).reshape(-1), 0, steps)


PLAIN = Variant()


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
    backend: str = "auto",
    remat: Remat = None,
    unroll: int = 1,
) -> tuple[jax.Array, LSTMState]:
    """Run the sequence `x` through an LSTM; what `torch.nn.LSTM` computes, as a function.

    Args:
        params: {PyTorch's name: array}, as `weight_ih_l0` (4H, I) ... `weight_hh_l1_reverse`; the names and shapes say
            how many layers and directions there are, and whether there are biases and projections. `jax_lstm.LSTM`
            describes them, `jax_lstm.Sizes` makes them.
        x: (T, B, I), or (B, T, I) if `batch_first`, or unbatched (T, I).
        state: `LSTMState` or `(h, c)`: h (L*D, B, R) and c (L*D, B, H), without B when `x` is unbatched; zeros if None.
            R is P with a projection and H without, D the number of directions.
        batch_first: input and output have the batch first; states do not, as in PyTorch.
        lengths: (B,) integers from 0 to T, in any order: row b has `lengths[b]` steps and then padding. Outputs there
            are zero, the last state is that of the last step in the row, and the reverse direction starts at it, as for
            a `PackedSequence`. A row of length 0, which PyTorch refuses, hands its initial state through. Traced ones
            cannot be checked: below 0 counts as 0, above T as T.
        mask: (B, T) bool, whatever `batch_first`: where false, the step is skipped; the state is held and the output
            is zero. Padding may hold anything, NaN too.
        resets: (B, T) bool: where true, a new sequence begins at this step, from a zero state. No state crosses the
            boundary in either direction: the reverse direction starts afresh before the step in front of it.
        dropout: probability with which an output is dropped between layers, when there is a `key`.
        variant: options beyond PyTorch's.
        key: random key; given, dropout and the random parts of `variant` apply (training).
        dtype: type to compute in; None takes the widest of `params` and `x`.
        backend: kernel by name, or "auto" for the first in the table of kernels that can serve the call.
        remat: what differentiation keeps: None everything, "gates" the states only, "chunks" about sqrt(T) states.
        unroll: steps in one turn of the loop of the kernel `scan`; others have no such loop.

    Returns:
        ys: the last layer's outputs, shaped as `x` with R*D in place of I, of the type computed in.
        state: the last state of every layer and direction, of the type `state_dtype(dtype)`: float32 for the 16-bit
            types, so that a sequence fed piece by piece gives the same as in one go.

    Raises:
        InputError: a shape, type, size or option does not fit; it says which, what was expected and what came.
    """
    training = key is not None
    sizes = _sizes(params, variant, backend, remat, training)
    require_probability("dropout", dropout)
    require_size("unroll", unroll)
    call = read_call(
        sizes, params, x, state, batch_first=batch_first, lengths=lengths, mask=mask, resets=resets, dtype=dtype
    )
    kernel = ""
    if not variant.changes_recurrence(training):
        kernel = registry.choose(backend, _request(sizes, call.xs, call.given, remat)).backend
    dropping = training and dropout > 0
    whole = kernel != "" and registry.KERNELS[kernel].whole
    at_once = sizes.num_layers if whole and not dropping else 1

    xs, last = call.xs, []
    for first in range(0, sizes.num_layers, at_once):
        if first > 0 and key is not None and dropping:
            xs = xs * dropout_mask(_key(key, first, 0), dropout, xs.shape, xs.dtype)
        layers = [_layer(sizes, first + more, params, call, variant, key) for more in range(at_once)]
        if whole:
            states = [state for layer in layers for state in layer.states]
            xs, (h, c) = registry.run_whole(kernel, [layer.params for layer in layers], xs, states, call.lengths)
            last += [LSTMState(h[at], c[at]) for at in range(len(states))]
            continue
        weights, extras, states = layers[0]
        if kernel:
            outputs = registry.run(kernel, weights, xs, states, call.mask, call.resets, remat, unroll)
        else:
            both = list(zip(weights, extras, strict=True))
            outputs = one_by_one(variant_scan, both, xs, states, call.mask, call.resets)
        xs = outputs[0][0] if len(outputs) == 1 else jnp.concatenate([ys for ys, _ in outputs], axis=-1)
        last += [after for _, after in outputs]
    state = LSTMState(jnp.stack([s.h for s in last]), jnp.stack([s.c for s in last]))
    if call.unbatched:
        return xs[:, 0], LSTMState(state.h[:, 0], state.c[:, 0])
    return (jnp.swapaxes(xs, 0, 1) if batch_first else xs), state


def explain_backend(
    params: Mapping[str, Any], x: Any, *, batch_first: bool = False, dtype: DTypeLike | None = None,
    backend: str = "auto", remat: Remat = None, variant: Variant = PLAIN, training: bool = False,
    given: Sequence[str] = (),
) -> registry.Choice:  # fmt: skip
    """Which kernel `lstm` takes for `x` (an array or a `jax.ShapeDtypeStruct`), and why not the others; print it.

    `given` are those of "lengths", "mask" and "resets" that the call will have.

    Raises:
        InputError: `backend` names no kernel, or one that cannot serve the call.
    """
    sizes = _sizes(params, variant, backend, remat, training)
    for name in given:
        require_one_of("given", name, ("lengths", "mask", "resets"))
    x = x if isinstance(x, jax.ShapeDtypeStruct) else as_array("x", x)
    xs = jax.eval_shape(lambda x: read_call(sizes, params, x, batch_first=batch_first, dtype=dtype).xs, x)
    if variant.changes_recurrence(training):
        return registry.Choice("variant", "a variant changes the recurrence, and has a kernel of its own", {})
    return registry.choose(backend, _request(sizes, xs, tuple(given), remat))


def _sizes(params: Mapping[str, Any], variant: Variant, backend: str, remat: Remat, training: bool) -> Sizes:
    """The sizes of `params`, when the options fit them and each other."""
    require(isinstance(variant, Variant), "variant", "be a jax_lstm.Variant", type(variant).__name__)
    require_one_of("backend", backend, ("auto", *registry.KERNELS))
    require_one_of("remat", remat, (None, "gates", "chunks"))
    sizes = Sizes.of(params)
    for name in ("layer_norm", "peepholes"):
        wanted, there = getattr(variant, name), getattr(sizes, name)
        has = f"`params` {'have' if there else 'lack'} its parameters"
        require(wanted == there, f"variant.{name}", f"be {there}, since {has}", wanted)
    if variant.changes_recurrence(training):
        require(backend == "auto", "backend", "be auto where a variant changes the recurrence", repr(backend))
        require(remat is None, "remat", "be None where a variant changes the recurrence", repr(remat))
    return sizes


class Layer(NamedTuple):
    """What one layer is run with, a direction an entry: weights, what a variant adds, and the states before."""

    params: list[LSTMParams]
    extras: list[Extras]
    states: list[LSTMState]


def _layer(
    sizes: Sizes, layer: int, params: Mapping[str, Any], call: Call, variant: Variant, key: jax.Array | None
) -> Layer:
    found, dtype = Layer([], [], []), call.dtype
    for direction, suffix in enumerate(("_l{}", "_l{}_reverse")[: sizes.num_directions]):
        own = {name: params[name + suffix.format(layer)] for name in sizes.of_layer(layer)}
        own_key = None if key is None else _key(key, layer, 1 + direction)
        weights = LSTMParams(**{name: jnp.asarray(own[name], dtype) for name in LSTMParams._fields if name in own})
        at = layer * sizes.num_directions + direction
        before = LSTMState(call.state.h[at], call.state.c[at])
        found.params.append(weights._replace(weight_hh=variant.dropped_weight(weights.weight_hh, own_key)))
        found.states.append(before)
        found.extras.append(
            variant.extras(own, call.xs.shape[0], before.h.shape, before.c.shape, own_key, before.c.dtype)
        )
    return found


def _key(key: jax.Array, layer: int, part: int) -> jax.Array:
    """Of a layer, for the outputs that it is given, part 0, and for its directions, 1 and 2."""
    return jax.random.fold_in(jax.random.fold_in(key, layer), part)


def _request(sizes: Sizes, xs: Any, given: tuple[str, ...], remat: Remat) -> registry.Request:
    return registry.Request(
        jax.default_backend(), xs.dtype, tuple(xs.shape), remat, given, projected=sizes.proj_size > 0
    )
