"""The fused operations in plain JAX, from the pieces of the `scan` kernel.

They run on platforms without a lowering of their own and in exported programs, compute forward mode, and are
differentiated for second derivatives. Each takes and returns arrays by name, see `jax_lstm.kernels.fused.arrays`.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jax_lstm.kernels.fused.arrays import OUTPUTS, VARIABLES, Arrays, each, tangent
from jax_lstm.kernels.fused.gradients import before
from jax_lstm.kernels.masking import zero_padding
from jax_lstm.kernels.scan import Gates, Options, Scan, forward, slopes_of, tangents_of
from jax_lstm.params import LSTMParams, LSTMState

Plain = Callable[[Arrays, tuple[str, ...], bool], Arrays]  # arrays, names of the results wanted, reverse


def _over_members(member: Plain) -> Plain:
    """An operation on arrays with the leading axis N, from the operation on one member of the ensemble."""

    @functools.wraps(member)
    def members(arrays: Arrays, wanted: tuple[str, ...], reverse: bool) -> Arrays:
        if arrays["xs"].shape[0] == 1:
            return each(lambda array: array[None], member(each(lambda array: array[0], arrays), wanted, reverse))
        return jax.vmap(lambda arrays: member(arrays, wanted, reverse))(arrays)

    return members


@_over_members
def infer(arrays: Arrays, wanted: tuple[str, ...], reverse: bool) -> Arrays:
    ys, last = Scan().sequence(
        _params(arrays),
        LSTMState(arrays["h0"], arrays["c0"]),
        arrays["xs"],
        reverse=reverse,
        mask=arrays.get("mask"),
        resets=arrays.get("resets"),
    )
    found = {"ys": ys, "h": last.h, "c": last.c}
    return {name: found[name] for name in wanted}


@_over_members
def run(arrays: Arrays, wanted: tuple[str, ...], reverse: bool) -> Arrays:
    """`infer` that also returns the residuals for the backward pass."""
    mask, xs = arrays.get("mask"), zero_padding(arrays["xs"], arrays.get("mask"))
    state = LSTMState(arrays["h0"], arrays["c0"])

    def keep(after: LSTMState, start: LSTMState, gates: Gates, u: jax.Array) -> Any:
        h = None if mask is None else after.h.astype(xs.dtype)  # without a mask, h is the output
        return h, after.c, jnp.concatenate(gates, axis=-1)

    ys, last, (hs, cs, gates) = forward(
        Options(reverse, None, 1), _params(arrays), xs, state, mask, arrays.get("resets"), keep
    )
    found = {"ys": ys, "h": last.h, "c": last.c, "gates": gates, "cs": cs, "hs": ys if hs is None else hs}
    return {name: found[name] for name in wanted}


@_over_members
def tangents(arrays: Arrays, wanted: tuple[str, ...], reverse: bool) -> Arrays:
    """The tangents of the outputs, linear in those of the variables; one that is not among `arrays` is zero."""
    mask, resets, xs = arrays.get("mask"), arrays.get("resets"), zero_padding(arrays["xs"], arrays.get("mask"))
    state = LSTMState(arrays["h0"], arrays["c0"])

    i, f, g, o = gates = jnp.split(
        zero_padding(arrays["gates"], mask), 4, axis=-1
    )  # at a masked step they may be anything
    hs, cs = before(arrays, "hs", "h0", reverse), before(arrays, "cs", "c0", reverse)
    kept = hs, o * jnp.tanh(f * cs + i * g), slopes_of(gates, cs)
    d = {name: arrays.get(tangent(name)) for name in VARIABLES}
    d_ys, d_last = tangents_of(
        Options(reverse, None, 1),
        _params(arrays),
        xs,
        state,
        mask,
        resets,
        kept,
        LSTMParams(d["weight_ih"], d["weight_hh"], d["bias_ih"], d["bias_hh"], d["weight_hr"]),  # type: ignore[arg-type]
        None if d["xs"] is None else zero_padding(d["xs"], mask),
        LSTMState(d["h0"], d["c0"]),  # type: ignore[arg-type]
    )
    found = {"d_ys": d_ys, "d_h": d_last.h, "d_c": d_last.c}
    return {name: found[name] for name in wanted}


@_over_members
def backward(arrays: Arrays, wanted: tuple[str, ...], reverse: bool) -> Arrays:
    """The transpose of `tangents`."""
    outputs = tuple(tangent(name) for name in OUTPUTS)
    known = {name: array for name, array in arrays.items() if name not in outputs}

    def linear(d_variables: Arrays) -> Arrays:
        one = each(lambda array: array[None], known | d_variables)
        return each(lambda array: array[0], tangents(one, outputs, reverse))

    like = {name: arrays[name.removeprefix("d_")] for name in wanted}
    return jax.linear_transpose(linear, like)({name: arrays[name] for name in outputs})[0]


def _params(arrays: Arrays) -> LSTMParams:
    return LSTMParams(**{name: arrays.get(name) for name in LSTMParams._fields})  # type: ignore[arg-type]
