"""`lstm`: the layers as a pure function of a mapping of parameters, for those who keep their own."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike, DTypeLike

from jax_lstm.call import Call, Lengths, read_call
from jax_lstm.checks import as_array, require, require_one_of, require_probability
from jax_lstm.kernels import registry
from jax_lstm.kernels.directions import one_by_one
from jax_lstm.kernels.scan import Remat
from jax_lstm.kernels.variant import variant_scan
from jax_lstm.sizes import Sizes
from jax_lstm.state import LSTMParams, LSTMState
from jax_lstm.variant import Variant, dropout_mask

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

    Returns:
        ys: the last layer's outputs, shaped as `x` with R*D in place of I, of the type computed in.
        state: the last state of every layer and direction, of the type `state_dtype(dtype)`: float32 for the 16-bit
            types, so that a sequence fed piece by piece gives the same as in one go.

    Raises:
        InputError: a shape, type, size or option does not fit; it says which, what was expected and what came.
    """
    sizes = _sizes(params, variant, backend, remat, training=key is not None)
    require_probability("dropout", dropout)
    call = read_call(
        sizes, params, x, state, batch_first=batch_first, lengths=lengths, mask=mask, resets=resets, dtype=dtype
    )
    xs, last = call.xs, []
    for layer in range(sizes.num_layers):
        layer_key = None if key is None else jax.random.fold_in(key, layer)
        if layer > 0 and layer_key is not None and dropout > 0:
            xs = xs * dropout_mask(jax.random.fold_in(layer_key, 0), dropout, xs.shape, xs.dtype)
        outputs = _layer(sizes, layer, params, call._replace(xs=xs), variant, layer_key, backend, remat)
        xs = outputs[0][0] if len(outputs) == 1 else jnp.concatenate([ys for ys, _ in outputs], axis=-1)
        last += [after for _, after in outputs]
    state = LSTMState(jnp.stack([s.h for s in last]), jnp.stack([s.c for s in last]))
    if call.unbatched:
        return xs[:, 0], LSTMState(state.h[:, 0], state.c[:, 0])
    return (jnp.swapaxes(xs, 0, 1) if batch_first else xs), state


def explain_backend(
    params: Mapping[str, Any], x: Any, *, batch_first: bool = False, dtype: DTypeLike | None = None,
    backend: str = "auto", remat: Remat = None, variant: Variant = PLAIN, training: bool = False,
) -> registry.Choice:  # fmt: skip
    """Which kernel `lstm` takes for `x` (an array or a `jax.ShapeDtypeStruct`), and why not the others; print it.

    Raises:
        InputError: `backend` names no kernel, or one that cannot serve the call.
    """
    sizes = _sizes(params, variant, backend, remat, training)
    x = x if isinstance(x, jax.ShapeDtypeStruct) else as_array("x", x)
    xs = jax.eval_shape(lambda x: read_call(sizes, params, x, batch_first=batch_first, dtype=dtype).xs, x)
    if variant.changes_recurrence(training):
        return registry.Choice("variant", "a variant changes the recurrence, and has a kernel of its own", {})
    return registry.choose(backend, registry.request(xs, remat))


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


def _layer(
    sizes: Sizes,
    layer: int,
    params: Mapping[str, Any],
    call: Call,
    variant: Variant,
    key: jax.Array | None,
    backend: str,
    remat: Remat,
) -> list[tuple[jax.Array, LSTMState]]:
    """Outputs and last state of each direction of a layer."""
    xs, state, mask, resets, dtype, _ = call
    plain, extras, before = [], [], []
    for direction, suffix in enumerate(("_l{}", "_l{}_reverse")[: sizes.num_directions]):
        own = {name: params[name + suffix.format(layer)] for name in sizes.of_layer(layer)}
        own_key = None if key is None else jax.random.fold_in(key, 1 + direction)
        weights = LSTMParams(**{name: jnp.asarray(own[name], dtype) for name in LSTMParams._fields if name in own})
        plain.append(weights._replace(weight_hh=variant.dropped_weight(weights.weight_hh, own_key)))
        at = layer * sizes.num_directions + direction
        before.append(LSTMState(state.h[at], state.c[at]))
        extras.append(
            variant.extras(own, xs.shape[0], before[-1].h.shape, before[-1].c.shape, own_key, before[-1].c.dtype)
        )
    if not variant.changes_recurrence(key is not None):
        return registry.run(plain, xs, before, mask, resets, backend=backend, remat=remat)
    return one_by_one(variant_scan, list(zip(plain, extras, strict=True)), xs, before, mask, resets)
