"""The `parallel` kernel: all steps at once, by a fixed point; for few long sequences on a GPU.

Given a guess of all `h`, one product computes the gates of all steps. The cell state, c' = f c + i g, is then linear in
time and is solved exactly, by an associative scan; so is `h` = o tanh(c). That is repeated until `h` no longer changes.
A step's error reaches only the steps after it, so T iterations are always enough; a network that forgets needs few.
The tangents solve a linear recurrence of the same form, and gradients its transpose, from the last step to the first.
What has not converged is computed step by step, as in `scan`. docs/parallel.md says when this pays.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from jax_lstm.checks import require, require_size
from jax_lstm.kernels.base import Call, Kernel, Outputs
from jax_lstm.kernels.fixed_point import Steps, iterate, linear, tolerance
from jax_lstm.kernels.masking import states_before, zero_padding
from jax_lstm.kernels.projection import split_gates
from jax_lstm.kernels.reference import product, sum_of_biases
from jax_lstm.kernels.scan import (
    Options,
    Slopes,
    activations,
    added_tangents,
    forward,
    known_tangents,
    linear_step,
    slopes_of,
    transposed,
)
from jax_lstm.params import LSTMParams, LSTMState


@dataclass(frozen=True)
class Parallel(Kernel):
    """All steps at once, repeated until `h` no longer changes; what does not converge is computed as by `Scan`.

    It is meant for few long sequences on a GPU. `iterations` tells how often the steps are computed.

    Attributes:
        tol: iterations stop when no step changes by more than this, relative to the largest value of its row so far.
            None: 8 units in the last place of float32 and float64; an eighth of a unit of the type that products are
            rounded to where that has fewer bits, since such errors average out: the 16-bit types, TF32 on a GPU.
        max_iterations: iterations of each pass, forward and backward, before it falls back on a loop over the steps.

    Raises:
        InputError: an option is wrong.

    Example:
        >>> import jax.numpy as jnp
        >>> from flax import nnx
        >>> import jax_lstm as jl
        >>> lstm = jl.LSTM(10, 20, backend=jl.kernels.Parallel(max_iterations=30), rngs=nnx.Rngs(0))
        >>> lstm(jnp.ones((5, 32, 10)))[0].shape
        (5, 32, 20)
    """

    purpose: ClassVar[str] = "all steps at once, by a fixed point, for few long sequences on a GPU"
    tol: float | None = None
    max_iterations: int = 100

    def __post_init__(self) -> None:
        positive = self.tol is None or (isinstance(self.tol, Real) and not isinstance(self.tol, bool) and self.tol > 0)
        require(positive, "tol", "be a positive number or None", repr(self.tol))
        require_size("max_iterations", self.max_iterations)

    def refuses(self, call: Call) -> str:
        """Why it does not support `call`: an associative scan needs to know T."""
        return "" if isinstance(call.steps, int) else "it needs a fixed number of steps; T is symbolic"

    def sequence(
        self, params: Any, state: LSTMState, xs: Any, *, reverse: bool = False, mask: Any = None, resets: Any = None
    ) -> Outputs:
        """Run one layer in one direction; see `Kernel.sequence`."""
        arrays = zero_padding(xs, mask), mask, resets
        xs, mask, resets = jax.tree.map(lambda a: a[::-1], arrays) if reverse else arrays
        ys, last, *_ = run(self, params, xs, state, mask, resets)
        return ys[::-1] if reverse else ys, last


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def run(
    kernel: Parallel, params: LSTMParams, xs: Any, state: LSTMState, mask: Any, resets: Any
) -> tuple[jax.Array, LSTMState, LSTMState, jax.Array]:
    """Outputs, last state, the state from which every step starts (zero at masked ones), and the iterations.

    The last is a float; 0: it did not converge.
    """
    steps, weights = Steps.of(mask, resets), transposed(params)
    zs = product(xs, weights.weight_ih) + sum_of_biases(params, 3)

    def update(guess: LSTMState) -> LSTMState:
        h = states_before(guess.h, state.h, mask=steps.reads)
        i, f, g, o = activations(split_gates(zs + product(h, weights.weight_hh)))
        c = linear(steps.factors(f), zero_padding(i * g, mask), state.c)
        u = o * jnp.tanh(c)
        h = u if weights.weight_hr is None else product(u, weights.weight_hr)
        return LSTMState(steps.held(zero_padding(h, mask), state.h), c)

    zeros = LSTMState(*(jnp.zeros_like(zs[..., : part.shape[-1]]) for part in state))
    found, made, converged = iterate(update, zeros, tolerance(kernel.tol, xs.dtype), kernel.max_iterations)

    def at_once() -> Any:
        ys, last = zero_padding(found.h, mask).astype(xs.dtype), LSTMState(found.h[-1], found.c[-1])
        return (
            ys,
            last,
            _each(lambda after, first: states_before(after, first, mask=steps.reads), found, state),
        )

    def one_by_one() -> Any:
        return forward(Options(False, None, 1), params, xs, state, mask, resets, lambda after, start, *_: start)

    return *lax.cond(converged, at_once, one_by_one), jnp.where(converged, made, 0).astype(jnp.float32)


def _each(function: Callable[..., jax.Array], *states: LSTMState) -> LSTMState:
    return LSTMState(*map(function, *states))


def _jvp(kernel: Parallel, primals: tuple, tangents: tuple) -> Any:
    params, xs, state, mask, resets = primals
    d_params, d_xs, d_state = known_tangents(tangents[:3])
    ys, last, start, made = run(kernel, *primals)
    tangent, u = Tangents.at(params, xs, start, mask, resets)
    first = _each(lambda at, d: jnp.zeros_like(at) if d is None else d, state, LSTMState(*d_state))
    only_first = _each(lambda first, like: states_before(jnp.zeros_like(like), first), first, start)
    added = tangent.step(only_first, *added_tangents(params, xs, start.h, u, d_params, d_xs))
    limit = jnp.where(made > 0, kernel.max_iterations, 0)  # where the states did not converge, tangents would not
    d = tangent.solved(added, tolerance(kernel.tol, xs.dtype), limit)
    d_ys, d_last = zero_padding(d.h, mask).astype(ys.dtype), LSTMState(d.h[-1], d.c[-1])
    d_start = _each(lambda after, first: states_before(after, first, mask=tangent.steps.reads), d, first)
    return (ys, last, start, made), (d_ys, d_last, d_start, jnp.zeros_like(made))


run.defjvp(_jvp, symbolic_zeros=True)


class Tangents(NamedTuple):
    """The linear recurrence of the tangents around known gates: x = step(x before it) + added, for all steps."""

    weights: LSTMParams  # transposed
    slopes: Slopes
    steps: Steps
    resets: Any

    @classmethod
    def at(cls, params: LSTMParams, xs: Any, start: LSTMState, mask: Any, resets: Any) -> tuple["Tangents", jax.Array]:
        """Around the states from which the steps start; also `h` of every step before its projection."""
        weights = transposed(params)
        zs = product(xs, weights.weight_ih) + product(start.h, weights.weight_hh) + sum_of_biases(params, 3)
        i, f, g, o = gates = activations(split_gates(zs))
        u = o * jnp.tanh(f * start.c + i * g)
        return cls(weights, slopes_of(gates, start.c), Steps.of(mask, resets), resets), u

    def step(self, d: LSTMState, d_z: Any = None, d_h: Any = None) -> LSTMState:
        """All steps, each from the tangents `d` of the state before it."""
        return linear_step(self.weights, self.slopes, d, d_z, d_h, self.steps.valid, self.resets)[0]

    def from_h(self, d: LSTMState) -> LSTMState:
        """What the tangents of `h` after every step add to the next through its gates."""
        h = states_before(d.h, jnp.zeros_like(d.h[0]))
        d = self.step(LSTMState(h, jnp.zeros_like(d.c)))
        return d if self.steps.valid is None else _each(lambda part: zero_padding(part, self.steps.valid), d)

    def without_h(self, added: LSTMState) -> LSTMState:
        """The solution for what is added to every step, but for `from_h`: the cell state, and `h` from it."""
        zero = _each(lambda part: jnp.zeros_like(part[0]), added)
        d_c = linear(self.steps.factors(self.slopes.c), added.c, zero.c)
        d_h = self.slopes.tanh_c * (d_c - added.c)
        d_h = d_h if self.weights.weight_hr is None else product(d_h, self.weights.weight_hr)
        return LSTMState(self.steps.held(added.h + zero_padding(d_h, self.steps.valid), zero.h), d_c)

    def one_by_one(self, added: LSTMState) -> LSTMState:
        """The solution by a loop over the steps."""

        def body(d: LSTMState, at: tuple) -> tuple[LSTMState, LSTMState]:
            slopes, valid, reset, added = at
            d = _each(jnp.add, linear_step(self.weights, slopes, d, None, None, valid, reset)[0], added)
            return d, d

        zero = _each(lambda part: jnp.zeros_like(part[0]), added)
        return lax.scan(body, zero, (self.slopes, self.steps.valid, self.resets, added))[1]

    def iterated(self, added: LSTMState, tol: jax.Array, limit: Any, transpose: bool) -> tuple[LSTMState, Any, Any]:
        """The solution by a fixed point, the iterations made, and whether it converged."""
        from_h, without_h = (_transposed(part, added) if transpose else part for part in (self.from_h, self.without_h))
        return iterate(lambda d: without_h(_each(jnp.add, added, from_h(d))), added, tol, limit, reverse=transpose)

    def solved(self, added: LSTMState, tol: jax.Array, limit: Any) -> LSTMState:
        """The solution: a fixed point, or the loop; for gradients that of the transposed recurrence."""

        def solve(_: Any, added: LSTMState, transpose: bool = False) -> LSTMState:
            d, _, converged = self.iterated(added, tol, limit, transpose)
            loop = _transposed(self.one_by_one, added) if transpose else self.one_by_one
            return lax.cond(converged, lambda: d, lambda: loop(added))

        def matvec(d: LSTMState) -> LSTMState:
            start = _each(lambda after: states_before(after, jnp.zeros_like(after[0])), d)
            return _each(jnp.subtract, d, self.step(start))

        return lax.custom_linear_solve(matvec, added, solve, functools.partial(solve, transpose=True))


def _transposed(function: Callable[[LSTMState], LSTMState], like: LSTMState) -> Callable[[LSTMState], LSTMState]:
    return lambda x: jax.linear_transpose(function, like)(x)[0]
