"""The arguments of a call: checked, and brought to the one form in which layers are run."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike, DTypeLike

from jax_lstm.checks import as_array, as_state, require, require_bool, require_dtype, require_floating, require_shape
from jax_lstm.sizes import Sizes
from jax_lstm.state import LSTMState, state_dtype

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
