"""The recurrence with what `Variant` adds to it, differentiated by JAX; the plain kernels know nothing of it."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jax_lstm.kernels.holding import blank, hold, restart, shield
from jax_lstm.kernels.reference import product, sum_of_biases
from jax_lstm.state import LSTMParams, LSTMState

EPSILON = 1e-5  # added to the variance in layer normalisation


class Extras(NamedTuple):
    """What a variant brings to one layer in one direction; None where it does not. All have the type of the state.

    `weight_ch` (3H,): peepholes of i, f, o. `norm_ih`, `norm_hh` (4H,): gains of the normalised products; `norm_c`
    and `norm_c_bias` (H,): gain and bias of the normalised cell state. `recurrent_dropout` (B, R): what `h` is
    multiplied by before it enters a product, the same at every step. `zoneout`: for each step, the part of the old
    state that stays, `h` (T, B, R) and `c` (T, B, H); axes of 1 stand for all.
    """

    weight_ch: jax.Array | None = None
    norm_ih: jax.Array | None = None
    norm_hh: jax.Array | None = None
    norm_c: jax.Array | None = None
    norm_c_bias: jax.Array | None = None
    recurrent_dropout: jax.Array | None = None
    zoneout: LSTMState | None = None


@functools.partial(jax.jit, static_argnames="reverse")
def variant_scan(
    params: tuple[LSTMParams, Extras],
    xs: jax.Array,
    state: LSTMState,
    *,
    reverse: bool = False,
    mask: jax.Array | None = None,
    resets: jax.Array | None = None,
) -> tuple[jax.Array, LSTMState]:
    """Run a sequence; but for the `Extras` beside the parameters the contract is that of `jax_lstm.kernels`."""
    plain, extras = params

    def body(state: LSTMState, at: tuple) -> tuple[LSTMState, jax.Array]:
        x, valid, reset, zoneout = at
        before = restart(state, reset)
        after = _step(plain, extras, shield(valid, before), x)
        if zoneout is not None:
            after = LSTMState(
                *(new + part * (old - new) for part, new, old in zip(zoneout, after, before, strict=True))
            )
        return hold(valid, after, before)

    state, ys = jax.lax.scan(body, state, (blank(xs, mask), mask, resets, extras.zoneout), reverse=reverse)
    return ys.astype(xs.dtype), state


def _step(params: LSTMParams, extras: Extras, state: LSTMState, x: jax.Array) -> LSTMState:
    h, c = state
    if extras.recurrent_dropout is not None:
        h = h * extras.recurrent_dropout
    from_x, from_h = product(x, params.weight_ih.T), product(h, params.weight_hh.T)
    if extras.norm_ih is not None and extras.norm_hh is not None:
        from_x, from_h = _normalised(from_x) * extras.norm_ih[None], _normalised(from_h) * extras.norm_hh[None]
    i, f, g, o = jnp.split(from_x + from_h + sum_of_biases(params, 2), 4, axis=-1)
    peepholes = None if extras.weight_ch is None else jnp.split(extras.weight_ch[None], 3, axis=-1)
    if peepholes is not None:
        i, f = i + peepholes[0] * c, f + peepholes[1] * c
    c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
    if peepholes is not None:
        o = o + peepholes[2] * c
    shown = c
    if extras.norm_c is not None:
        shown = _normalised(c) * extras.norm_c[None]
        shown = shown if extras.norm_c_bias is None else shown + extras.norm_c_bias[None]
    h = jax.nn.sigmoid(o) * jnp.tanh(shown)
    return LSTMState(h if params.weight_hr is None else product(h, params.weight_hr.T), c)


def _normalised(x: jax.Array) -> jax.Array:
    """Zero mean and unit variance along the last axis."""
    centred = x - x.mean(axis=-1, keepdims=True)
    return centred * jax.lax.rsqrt(jnp.square(centred).mean(axis=-1, keepdims=True) + EPSILON)
