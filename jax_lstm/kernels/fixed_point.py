"""Recurrences over all steps at once: linear ones by an associative scan, others by a fixed point."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.custom_batching import custom_vmap

from jax_lstm.kernels.base import precision_asked
from jax_lstm.kernels.masking import states_before, zero_padding
from jax_lstm.params import LSTMState, state_dtype

EXACT = ("highest", "float32", "F32_F32_F32")  # values of `jax_default_matmul_precision` that keep all bits


class Steps(NamedTuple):
    """How the steps of a sequence are connected: (T, B) bools, or None where they are all alike.

    `valid`: computes a state. `reads`: computes it from the state before. `holds`: passes on the state before.
    """

    valid: Any
    reads: Any
    holds: Any

    @classmethod
    def of(cls, mask: Any, resets: Any) -> "Steps":
        kept = None if resets is None else ~resets
        if mask is None:
            return cls(None, kept, None)
        return cls(mask, mask if kept is None else mask & kept, ~mask if kept is None else ~mask & kept)

    def held(self, hs: jax.Array, first: jax.Array) -> jax.Array:
        """`h` after every step, given what valid steps compute (zero at the others) and the initial one."""
        return hs if self.holds is None else linear(self.holds[..., None].astype(hs.dtype), hs, first)

    def factors(self, f: jax.Array) -> jax.Array:
        """What every step multiplies the cell state by, given its forget gate."""
        kept = zero_padding(f, self.reads)
        return kept if self.holds is None else kept + self.holds[..., None].astype(f.dtype)


def linear(f: jax.Array, u: jax.Array, first: jax.Array) -> jax.Array:
    """s_t = f_t s_(t-1) + u_t for all t, from `first`; differentiated by its own equation."""

    def solve(_: Any, u: jax.Array) -> jax.Array:
        return lax.associative_scan(_compose, (f, u))[1]

    def transpose_solve(_: Any, u: jax.Array) -> jax.Array:
        after = jnp.concatenate([f[1:], jnp.zeros_like(f[:1])])
        return lax.associative_scan(_compose, (after, u), reverse=True)[1]

    def matvec(s: jax.Array) -> jax.Array:
        return s - f * states_before(s, jnp.zeros_like(s[0]))

    u = jnp.concatenate([u[:1] + _times(f[:1], first[None]), u[1:]])
    return lax.custom_linear_solve(matvec, u, solve, transpose_solve)


def _compose(early: tuple[jax.Array, jax.Array], late: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
    return _times(late[0], early[0]), _times(late[0], early[1]) + late[1]


def _times(f: jax.Array, s: jax.Array) -> jax.Array:
    """`f s`, but nothing passes a reset, where `f` is zero: no NaN either."""
    return jnp.where(f == 0, jnp.zeros_like(s), f * s)


def iterate(
    update: Callable[[LSTMState], LSTMState], start: LSTMState, tol: jax.Array, limit: Any, reverse: bool = False
) -> tuple[LSTMState, jax.Array, jax.Array]:
    """The fixed point of `update`, the iterations made, at most `limit`, and whether `h` (T, B, R) converged.

    A step's change counts relative to the largest value of its row up to there, in the order in which errors travel,
    since a small error may grow on its way, and a small value may be all there is. With a NaN it does not converge.
    """

    def body(at: tuple[Any, Any, Any]) -> tuple[Any, Any, Any]:
        before, _, made = at
        after = update(before)
        size, change = (jnp.max(jnp.abs(part), axis=-1) for part in (after.h, after.h - before.h))
        return after, worst(change - tol * _largest_so_far(size, reverse)), made + 1

    far = worst(jnp.full_like(start.h[..., 0], jnp.inf))
    state, excess, made = lax.while_loop(lambda at: (at[1] > 0) & (at[2] < limit), body, (start, far, 0))
    return state, made, excess <= 0


def _largest_so_far(size: jax.Array, reverse: bool) -> jax.Array:
    """The largest of the elements up to each along the first axis: a `cummax` that compiles to few operations."""
    shift = 1
    while shift < len(size):
        padding = jnp.zeros_like(size[:shift])
        shifted = [size[shift:], padding] if reverse else [padding, size[:-shift]]
        size, shift = jnp.maximum(size, jnp.concatenate(shifted)), 2 * shift
    return size


@custom_vmap
def worst(x: jax.Array) -> jax.Array:
    """The largest element, over all members of a `vmap` too: a decision must be one for all, or both sides are run."""
    return jnp.max(x, initial=-1)


@worst.def_vmap
def _(size: int, batched: Any, x: jax.Array) -> tuple[jax.Array, bool]:
    return worst(x), False


def tolerance(tol: float | None, dtype: Any) -> jax.Array:
    """`tol` as a scalar; if None, from the type in which the platform that is lowered for rounds products."""

    def near(tol: float) -> Callable[[], jax.Array]:
        return lambda: jnp.asarray(tol, state_dtype(dtype))

    if tol is not None:
        return near(tol)()
    asked = precision_asked()
    own = near(float(jnp.finfo(dtype).eps) * (1 / 8 if dtype.itemsize < 4 else 8))
    if dtype != jnp.float32 or asked in EXACT:
        return own()
    return lax.platform_dependent(cpu=own, tpu=near(2**-7 / 8), default=near(2**-10 / 8))  # bfloat16 and TF32
