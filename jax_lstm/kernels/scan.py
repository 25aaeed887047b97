"""The `scan` kernel: `jax.lax.scan` with hand-written derivatives, on any platform.

The recurrence is linear in its tangents: once its gates are known, a step is

    d_z  = d_z0 + W_hh d_h                       d_z0: from inputs and parameters, all steps in one product
    d_c' = f d_c + (gi') d_z_i + (c f') d_z_f + (i g') d_z_g
    d_h' = (o tanh'(c')) d_c' + (tanh(c') o') d_z_o        (then W_hr d_h' with a projection)

The kernel writes out this linear step, and JAX transposes it. The transpose is back-propagation as one would write it
by hand: a loop that computes the gradients of the gates only, and one large product each for the gradients of
`weight_ih`, `weight_hh` and `xs`. Autodiff of the plain recurrence would instead add to the gradient of the weights at
every step. Forward mode and higher derivatives work too. `docs/backward.md` has the derivation.
"""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero

from jax_lstm.checks import require_one_of, require_size
from jax_lstm.kernels.base import Kernel, Outputs
from jax_lstm.kernels.masking import keep_masked, reset_state, states_before, zero_masked, zero_padding
from jax_lstm.kernels.projection import (
    Gates,
    Projection,
    pre_activations,
    project_before,
    projection_on_cpu,
    split_gates,
)
from jax_lstm.kernels.reference import product
from jax_lstm.params import LSTMParams, LSTMState, state_dtype

Remat = Literal["gates", "chunks"] | None


class Slopes(NamedTuple):
    """The coefficients of a linear step, each (B, H): of `c'` by the gates i, f, g and by c; of `h'` by o and c'."""

    i: jax.Array
    f: jax.Array
    g: jax.Array
    c: jax.Array
    o: jax.Array
    tanh_c: jax.Array


class Options(NamedTuple):
    """What is static in a call: the direction, and the options of `Scan`."""

    reverse: bool
    remat: Remat
    unroll: int


@dataclass(frozen=True)
class Scan(Kernel):
    """`jax.lax.scan` with hand-written derivatives, on every platform.

    Attributes:
        unroll: steps in one turn of the loop, as in `jax.lax.scan`. Above 1 the program grows, and a GPU is given
            several steps at a time.
        remat: what differentiation stores. None: six (T, B, H) arrays of coefficients. "gates": the states; the
            backward pass computes the gates again. "chunks": the states at about sqrt(T) steps; the backward pass runs
            each piece between them again, so memory grows with sqrt(T).

    Raises:
        InputError: an option is wrong.

    Example:
        >>> import jax.numpy as jnp
        >>> from flax import nnx
        >>> import jax_lstm as jl
        >>> lstm = jl.LSTM(10, 20, backend=jl.kernels.Scan(unroll=4, remat="gates"), rngs=nnx.Rngs(0))
        >>> lstm(jnp.ones((5, 32, 10)))[0].shape
        (5, 32, 20)
    """

    purpose: ClassVar[str] = "lax.scan with hand-written derivatives, for every platform and type"
    unroll: int = 1
    remat: Remat = None

    def __post_init__(self) -> None:
        require_size("unroll", self.unroll)
        require_one_of("remat", self.remat, (None, "gates", "chunks"))

    def sequence(
        self, params: Any, state: LSTMState, xs: Any, *, reverse: bool = False, mask: Any = None, resets: Any = None
    ) -> Outputs:
        """Run one layer in one direction; see `Kernel.sequence`."""
        fixed = isinstance(xs.shape[0], int)  # a symbolic T can be neither unrolled nor cut
        xs, options = zero_padding(xs, mask), Options(reverse, self.remat, self.unroll if fixed else 1)
        if self.remat == "chunks" and fixed:
            return _in_chunks(options, params, xs, state, mask, resets)
        return _recurrence(options, params, xs, state, mask, resets)


def _in_chunks(options: Options, params: LSTMParams, xs: Any, state: LSTMState, mask: Any, resets: Any) -> Any:
    """Run pieces of about sqrt(T) steps, each recomputed in the backward pass; a shorter piece is last in time."""

    @jax.checkpoint
    def piece(state: LSTMState, at: tuple) -> tuple[LSTMState, jax.Array]:
        ys, state = _recurrence(options._replace(remat=None), params, at[0], state, *at[1:])
        return state, ys

    steps, size = xs.shape[0], math.isqrt(xs.shape[0])
    whole = steps // size * size
    sequence = (xs, mask, resets)
    pieces = jax.tree.map(lambda a: a[:whole].reshape(whole // size, size, *a.shape[1:]), sequence)
    rest = jax.tree.map(lambda a: a[whole:], sequence)
    parts = []
    for is_rest in (True, False) if options.reverse else (False, True):
        if not is_rest:
            state, ys = jax.lax.scan(piece, state, pieces, reverse=options.reverse)
            parts.append(ys.reshape(whole, *ys.shape[2:]))
        elif whole < steps:
            state, ys = piece(state, rest)
            parts.append(ys)
    return jnp.concatenate(parts[::-1] if options.reverse else parts), state


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _recurrence(options: Options, params: LSTMParams, xs: Any, state: LSTMState, mask: Any, resets: Any) -> Any:
    ys, last, _ = forward(options, params, xs, state, mask, resets, lambda *step: None)
    return ys, last


def known_tangents(tangents: Any) -> Any:
    """None in place of the tangents that are zero."""

    def zero(d: Any) -> bool:
        return isinstance(d, SymbolicZero)

    return jax.tree.map(lambda d: None if zero(d) else d, tangents, is_leaf=zero)


def _jvp(options: Options, primals: tuple, tangents: tuple) -> Any:
    params, xs, state, mask, resets = primals
    d_params, d_xs, d_state = known_tangents(tangents[:3])
    recompute, projected = options.remat == "gates", params.weight_hr is not None

    def keep(after: LSTMState, start: LSTMState, gates: Gates, u: jax.Array) -> Any:
        h = None if mask is None else after.h.astype(xs.dtype)  # without a mask, h is the output
        return h, u if projected else None, after.c if recompute else slopes_of(gates, start.c)

    ys, last, (hs, us, kept) = forward(options, params, xs, state, mask, resets, keep)
    hs = states_before(ys if hs is None else hs, state.h, resets, mask, reverse=options.reverse)
    kept = states_before(kept, state.c, resets, mask, reverse=options.reverse) if recompute else kept
    d_ys, d_last = tangents_of(options, params, xs, state, mask, resets, (hs, us, kept), d_params, d_xs, d_state)
    return (ys, last), (d_ys, d_last)


_recurrence.defjvp(_jvp, symbolic_zeros=True)


def tangents_of(
    options: Options,
    params: LSTMParams,
    xs: Any,
    state: LSTMState,
    mask: Any,
    resets: Any,
    kept: tuple[Any, Any, Any],
    d_params: LSTMParams,
    d_xs: Any,
    d_state: LSTMState,
) -> tuple[jax.Array, LSTMState]:
    """The tangents of the outputs and of the last state; a tangent that is None is zero.

    `kept` holds for all steps: `h` before the step, `h` before the projection, and the `Slopes`; with `remat="gates"`
    the cell state before the step instead.
    """
    (hs, us, kept), recompute = kept, options.remat == "gates"

    d_z0, d_h0 = added_tangents(params, xs, hs, us, d_params, d_xs)
    weights = transposed(params)

    def body(d_state: LSTMState, at: tuple) -> tuple[LSTMState, jax.Array]:
        d_z0, d_h0, valid, reset, slopes = at
        if recompute:
            x, h, c = slopes
            slopes = slopes_of(activations(pre_activations(weights, x, h)), c)
        return linear_step(weights, slopes, d_state, d_z0, d_h0, valid, reset)

    start = LSTMState(*(jnp.zeros_like(at) if d is None else d for at, d in zip(state, d_state, strict=True)))
    sequence = (d_z0, d_h0, mask, resets, (xs, hs, kept) if recompute else kept)
    loop = jax.checkpoint(body) if recompute else body
    d_last, d_ys = jax.lax.scan(loop, start, sequence, reverse=options.reverse, unroll=options.unroll)
    return d_ys.astype(xs.dtype), d_last


def added_tangents(
    params: LSTMParams, xs: Any, hs: Any, us: Any, d_params: LSTMParams, d_xs: Any
) -> tuple[jax.Array | None, jax.Array | None]:
    """What the tangents of inputs and parameters add at every step to those of the gates and of the projected `h`.

    One product each for all steps, outside the loop. `hs` and `us` are `h` before the step and before the projection.
    """
    d_zs = [product(xs, d_params.weight_ih.T)] if d_params.weight_ih is not None else []
    d_zs += [product(hs, d_params.weight_hh.T)] if d_params.weight_hh is not None else []
    d_zs += [product(d_xs, params.weight_ih.T)] if d_xs is not None else []
    d_zs += [
        bias.astype(state_dtype(xs.dtype))[None, None]
        for bias in (d_params.bias_ih, d_params.bias_hh)
        if bias is not None
    ]
    d_z0 = jnp.broadcast_to(sum(d_zs), (*xs.shape[:2], len(params.weight_hh))) if d_zs else None
    return d_z0, product(us, d_params.weight_hr.T) if d_params.weight_hr is not None else None


def linear_step(
    weights: LSTMParams, slopes: Slopes, d_state: LSTMState, d_z0: Any, d_h0: Any, valid: Any, reset: Any
) -> tuple[LSTMState, jax.Array]:
    """One step of the tangents, with transposed weights: the state after it, and the output; None adds nothing."""
    held = reset_state(d_state, reset)
    start = zero_masked(valid, held)
    d_z = product(start.h, weights.weight_hh)
    d_i, d_f, d_g, d_o = split_gates(d_z if d_z0 is None else d_z + d_z0)
    d_c = slopes.c * start.c + slopes.i * d_i + slopes.f * d_f + slopes.g * d_g
    d_h = slopes.tanh_c * d_c + slopes.o * d_o
    d_h = d_h if weights.weight_hr is None else product(d_h, weights.weight_hr)
    return keep_masked(valid, LSTMState(d_h if d_h0 is None else d_h + d_h0, d_c), held)


def forward(
    options: Options,
    params: LSTMParams,
    xs: Any,
    state: LSTMState,
    mask: Any,
    resets: Any,
    keep: Callable[[LSTMState, LSTMState, Gates, jax.Array], Any],
) -> tuple[jax.Array, LSTMState, Any]:
    """Run the recurrence; also return what `keep` takes from every step.

    `keep` is given the state after the step, the one that it starts from (zero in masked rows), the gates, and `h`
    before the projection.
    """

    def run(projection: Projection, params: LSTMParams, xs: Any, state: LSTMState, mask: Any, resets: Any) -> Any:
        weights = transposed(params)
        inputs, gates_of = projection(weights, xs)

        def body(state: LSTMState, at: tuple) -> tuple[LSTMState, tuple]:
            x, valid, reset = at
            held = reset_state(state, reset)
            start = zero_masked(valid, held)
            i, f, g, o = gates = activations(gates_of(x, start.h))
            c = f * start.c + i * g
            u = o * jnp.tanh(c)
            h = u if weights.weight_hr is None else product(u, weights.weight_hr)
            state, y = keep_masked(valid, LSTMState(h, c), held)
            return state, (y.astype(xs.dtype), keep(state, start, gates, u))

        last, (ys, kept) = jax.lax.scan(
            body, state, (inputs, mask, resets), reverse=options.reverse, unroll=options.unroll
        )
        return ys, last, kept

    on_cpu = projection_on_cpu(params, xs)
    arguments = (params, xs, state, mask, resets)
    if on_cpu is project_before:
        return run(project_before, *arguments)
    return jax.lax.platform_dependent(
        *arguments, cpu=functools.partial(run, on_cpu), default=functools.partial(run, project_before)
    )


def transposed(params: LSTMParams) -> LSTMParams:
    """Transpose the weights once, outside the loop."""
    return jax.tree.map(lambda param: param.T if param.ndim == 2 else param, params)


def activations(gates: Gates) -> Gates:
    i, f, g, o = gates
    return [jax.nn.sigmoid(i), jax.nn.sigmoid(f), jnp.tanh(g), jax.nn.sigmoid(o)]


def slopes_of(gates: Gates, c: jax.Array) -> Slopes:
    """The coefficients of the step that `gates` make from the cell state `c`."""
    i, f, g, o = gates
    tanh_c = jnp.tanh(f * c + i * g)
    return Slopes(
        i=g * i * (1 - i),
        f=c * f * (1 - f),
        g=i * (1 - g * g),
        c=f,
        o=tanh_c * o * (1 - o),
        tanh_c=o * (1 - tanh_c * tanh_c),
    )
