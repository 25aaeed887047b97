"""`iterations`: how many iterations the `parallel` kernel takes, a measure of how long a network remembers."""

import functools
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import ArrayLike

from jax_lstm.checks import LARGEST, require
from jax_lstm.kernels.base import Direction, Stack, reversed_resets, stacked
from jax_lstm.kernels.fixed_point import tolerance
from jax_lstm.kernels.masking import zero_padding
from jax_lstm.kernels.parallel import Parallel, Tangents, run
from jax_lstm.kernels.scan import added_tangents
from jax_lstm.params import LSTMParams, LSTMState


class Iterations(NamedTuple):
    """Iterations that `Parallel` takes for one layer in one direction; see `iterations`.

    Attributes:
        forward: iterations of the forward pass; None if it did not converge.
        backward: iterations of the backward pass; None if it did not converge.

    Example:
        >>> import jax_lstm as jl
        >>> found = jl.kernels.Iterations(forward=6, backward=5)
        >>> max(found) <= jl.kernels.Parallel().max_iterations  # else it falls back on a loop
        True
    """

    forward: int | None
    backward: int | None


def iterations(
    lstm: Any,
    x: ArrayLike,
    state: Any = None,
    *,
    tol: float | None = None,
    max_iterations: int | None = None,
    **options: Any,
) -> tuple[tuple[Iterations, ...], ...]:
    """How many iterations `Parallel` takes for `lstm(x)` and for its gradient.

    An error dies out within that many steps, so the number measures how long the network remembers. Compare it with
    docs/parallel.md before you choose the kernel. The gradient is that of the sum of squared outputs.

    Args:
        lstm: an `LSTM`; it is not changed, and its `backend` does not matter.
        x: as for `lstm`.
        state: as for `lstm`.
        tol: as for `Parallel`.
        max_iterations: None: as many as it takes, at most T + 1.
        **options: `lengths`, `mask` and `resets`, as for `lstm`.

    Returns:
        For each layer a tuple with the `Iterations` of each direction.

    Raises:
        InputError: `lstm` is no LSTM, or does not take these arguments.

    Example:
        >>> import jax.numpy as jnp
        >>> from flax import nnx
        >>> import jax_lstm as jl
        >>> lstm = jl.LSTM(10, 20, rngs=nnx.Rngs(0))
        >>> ((found,),) = jl.kernels.iterations(lstm, jnp.ones((4, 32, 10)))  # one layer, one direction
        >>> found.forward <= 5 and found.backward <= 5  # T + 1
        True
    """
    fix = "give the LSTM in it" if isinstance(lstm, nnx.Module) else ""
    is_lstm = hasattr(lstm, "weight_hh_l0") and hasattr(lstm, "backend")
    require(is_lstm, "lstm", "be an LSTM", type(lstm).__name__, fix)
    lstm = nnx.clone(lstm)
    lstm.backend = kernel = Counting(tol, LARGEST if max_iterations is None else max_iterations)
    lstm(x, state, **options)
    return tuple(kernel.found)


@dataclass(frozen=True)
class Counting(Parallel):
    """`Parallel` that counts its iterations, in `found`: layers in order, each a tuple of its directions."""

    found: list[tuple[Iterations, ...]] = field(default_factory=list, compare=False)

    @property
    def name(self) -> str:
        return Parallel().name

    def run(self, stack: Stack) -> tuple[jax.Array, LSTMState]:  # type: ignore[override]
        """Run a stack; see `Kernel.run`. Not compiled, so that the numbers are known."""
        ys, state, counts = self.counted(stack)
        self.found.extend(
            tuple(Iterations(*(int(made) or None for made in pair)) for pair in directions) for directions in counts
        )
        return ys, state

    @functools.partial(jax.jit, static_argnums=0)
    def counted(self, stack: Stack) -> tuple[jax.Array, LSTMState, list[list[tuple[jax.Array, jax.Array]]]]:
        """Outputs, last states, and iterations: by layer, by direction, forward and backward; 0: not converged."""
        xs, layers, states = stack.xs, [], []
        for directions, drop in zip(stack.layers, stack.drops, strict=True):
            xs = xs if drop is None else xs * drop
            layers.append([self.began(*at, xs, stack) for at in zip(directions, (False, True), strict=False)])
            states += [at.last for at in layers[-1]]
            xs = jnp.concatenate([in_order(at.ys, at.reverse) for at in layers[-1]], axis=-1)
        d_ys, counts = xs, []
        for layer, drop in zip(layers[::-1], stack.drops[::-1], strict=True):
            parts = jnp.split(d_ys, len(layer), axis=-1)
            made, d_xs = zip(*(self.ended(*at) for at in zip(layer, parts, strict=True)), strict=True)
            d_ys = sum(d_xs) if drop is None else sum(d_xs) * drop
            counts.insert(0, list(made))
        return xs, stacked(states), counts

    def began(self, own: Direction, reverse: bool, xs: jax.Array, stack: Stack) -> "Forward":
        """The forward pass of one layer in one direction."""
        resets = reversed_resets(stack.resets) if reverse else stack.resets
        arrays = in_order((zero_padding(xs, stack.mask), stack.mask, resets), reverse)
        ys, last, start, made = run(self, own.params, arrays[0], own.state, *arrays[1:])
        return Forward(own.params, arrays, reverse, ys, last, start, made)

    def ended(self, at: "Forward", d_ys: jax.Array) -> tuple[tuple[jax.Array, jax.Array], jax.Array]:
        """The iterations of both passes, and the gradient of the inputs."""
        (xs, mask, resets), start = at.arrays, at.start
        tangent, u = Tangents.at(at.params, xs, start, mask, resets)
        d = zero_padding(in_order(d_ys, at.reverse), mask).astype(start.h.dtype)
        d, made, converged = tangent.iterated(
            LSTMState(d, jnp.zeros_like(start.c)), tolerance(self.tol, xs.dtype), self.max_iterations, transpose=True
        )

        def added(d_xs: jax.Array) -> LSTMState:
            nothing = jax.tree.map(lambda param: None, at.params)
            zeros = LSTMState(*map(jnp.zeros_like, start))
            return tangent.step(zeros, *added_tangents(at.params, xs, start.h, u, nothing, d_xs))

        (d_xs,) = jax.linear_transpose(added, xs)(d)
        return (at.made, jnp.where(converged, made, 0)), in_order(d_xs, at.reverse)


class Forward(NamedTuple):
    """One layer in one direction after its forward pass; arrays and results are in the order of its steps."""

    params: LSTMParams
    arrays: tuple[jax.Array, Any, Any]  # xs, mask, resets
    reverse: bool
    ys: jax.Array
    last: LSTMState
    start: LSTMState
    made: jax.Array


def in_order(arrays: Any, reverse: bool) -> Any:
    return jax.tree.map(lambda array: array[::-1], arrays) if reverse else arrays
