"""What a kernel is: an object that runs the recurrence of a stack of layers, and says what it cannot serve.

A kernel is a frozen dataclass whose fields are its own options. A new one is a subclass with `sequence`, and one row in
the table of `jax_lstm.kernels.auto`.
"""

import dataclasses
import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jax.experimental.layout import Layout, with_layout_constraint
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jax.sharding import NamedSharding, PartitionSpec

from jax_lstm.checks import InputError
from jax_lstm.params import LSTMState

PLATFORMS = ("cpu", "cuda", "rocm", "tpu")  # for which a program may be lowered


def this_platform() -> str:
    """The platform of this process's default device."""
    backend = jax.devices()[0].client
    if backend.platform != "gpu":
        return str(backend.platform)
    return "rocm" if "rocm" in backend.platform_version else "cuda"


Outputs = tuple[jax.Array, LSTMState]


class Call(NamedTuple):
    """What a kernel is asked to serve: one platform, the type, the sizes, and which optional arguments are given.

    Sizes are those of the first layer; T and B may be symbolic. `given` are those of "lengths", "mask" and "resets".
    `chip` is the one to be compiled for, if that was named.
    """

    platform: str
    dtype: Any
    steps: Any
    batch: Any
    input_size: int
    hidden_size: int
    proj_size: int = 0
    given: tuple[str, ...] = ()
    chip: str | None = None


class Direction(NamedTuple):
    """One layer in one direction: its parameters, as `Kernel.sequence` takes them, and its initial state."""

    params: Any
    state: LSTMState


class Stack(NamedTuple):
    """What a kernel runs: all layers in all directions over one batch of sequences.

    `xs` (T, B, I). `layers`: by layer, its one or two directions; the second runs backwards in time. `drops`: by layer,
    what its input is multiplied by, (T, B, R*D), or None. `mask` and `resets` (T, B), bool, or None; `lengths` (B,), in
    0 to T, or None, are part of `mask` as well.
    """

    xs: jax.Array
    layers: tuple[tuple[Direction, ...], ...]
    drops: tuple[jax.Array | None, ...]
    lengths: jax.Array | None = None
    mask: jax.Array | None = None
    resets: jax.Array | None = None


@dataclass(frozen=True)
class Kernel:
    """A way to compute the recurrence. Subclasses define `sequence`; those that run many layers at once, `run`."""

    purpose: ClassVar[str]  # one line for `explain_backend`

    @property
    def name(self) -> str:
        """What `LSTM(backend=...)` calls it."""
        return type(self).__name__.lower()

    @property
    def options(self) -> tuple[str, ...]:
        """Names of what `jax_lstm.kernels.named` may set beside the kernel's name."""
        return tuple(field.name for field in dataclasses.fields(self))

    def refuses(self, call: Call) -> str:
        """Why this kernel cannot serve `call`; "" if it can."""
        return ""

    def sequence(
        self,
        params: Any,
        state: LSTMState,
        xs: jax.Array,
        *,
        reverse: bool = False,
        mask: jax.Array | None = None,
        resets: jax.Array | None = None,
    ) -> Outputs:
        """Run one layer in one direction. A pure function, differentiable in `params`, `xs` and `state`.

        Args:
            params: `LSTMParams`, all of the type of `xs`, the type to compute in.
            state: h (B, R) and c (B, H), of the type `state_dtype(xs.dtype)`: float32 for 16-bit types. State, gates
                and sums have that type; `h` is rounded where it enters a product, and in `ys`.
            xs: (T, B, I).
            reverse: run from the last step to the first; `ys[t]` belongs to `xs[t]` either way.
            mask: (T, B), bool: where false, the state stays as it is and the output is zero, whatever `xs` holds.
            resets: (T, B), bool: where true, the state is zero before the step, in the order in which steps are run.

        Returns:
            `ys` (T, B, R) of the type of `xs`, and the last state. R is P with a projection, else H.
        """
        raise NotImplementedError

    def pairs(self, batch: Any, hidden_size: int) -> bool:
        """Whether to run both directions of a layer as one call of `sequence` under `vmap`, because that is faster."""
        return False

    def layer(self, directions: tuple[Direction, ...], xs: Any, mask: Any, resets: Any) -> list[Outputs]:
        """Run the directions of one layer; `resets` are boundaries that no direction crosses."""
        backwards = reversed_resets(resets)
        if len(directions) == 2 and self.pairs(*directions[0].state.c.shape):
            # The second direction reads everything in reverse, and is the second member of an ensemble.
            flipped = jax.tree.map(lambda a: a[::-1], (xs, mask, backwards))
            own, (xs, mask, resets) = (
                jax.tree.map(lambda *pair: jnp.stack(pair), *pair)
                for pair in (directions, ((xs, mask, resets), flipped))
            )
            run = jax.vmap(lambda own, xs, mask, resets: self.sequence(*own, xs=xs, mask=mask, resets=resets))
            ys, (h, c) = run(own, xs, mask, resets)
            return [(ys[0], LSTMState(h[0], c[0])), (ys[1, ::-1], LSTMState(h[1], c[1]))]
        return [
            self.sequence(*own, xs, reverse=reverse, mask=mask, resets=backwards if reverse else resets)
            for own, reverse in zip(directions, (False, True), strict=False)
        ]

    @functools.partial(jax.jit, static_argnums=0)
    def run(self, stack: Stack) -> tuple[jax.Array, LSTMState]:
        """Run a stack: the last layer's outputs (T, B, R*D), and the last states, h (L*D, B, R) and c (L*D, B, H)."""
        xs, states = stack.xs, []
        for directions, drop in zip(stack.layers, stack.drops, strict=True):
            xs = xs if drop is None else xs * drop
            directions = tuple(own._replace(state=aligned(own.state, xs, (own.params, stack))) for own in directions)
            outputs = self.layer(directions, xs, stack.mask, stack.resets)
            xs = outputs[0][0] if len(outputs) == 1 else jnp.concatenate([ys for ys, _ in outputs], axis=-1)
            states += [state for _, state in outputs]
        return xs, stacked(states)


def aligned(state: LSTMState, xs: jax.Array, others: Any) -> LSTMState:
    """`state` as a loop over `xs` will carry it: varying over the same axes of `shard_map`, sharded over the same rows.

    Otherwise JAX refuses the loop, since the state that it returns has another type than the one that it starts from.
    """
    types = [jax.typeof(leaf) for leaf in jax.tree.leaves((state, xs, others))]
    union = frozenset().union(*(at.manual_axis_type.varying for at in types))
    rows = jax.typeof(xs).sharding.spec[1:2]

    def align(part: jax.Array) -> jax.Array:
        if missing := union - jax.typeof(part).manual_axis_type.varying:
            part = jax.lax.pcast(part, tuple(missing), to="varying")
        own = jax.typeof(part).sharding
        if rows != (None,) and own.spec[:1] != rows:
            part = jax.sharding.reshard(part, NamedSharding(jax.typeof(xs).sharding.mesh, PartitionSpec(*rows)))
        return part

    return LSTMState(*map(align, state))


def stacked(states: list[LSTMState]) -> LSTMState:
    """The states of all layers and directions along one leading axis."""
    return LSTMState(*(jnp.stack(parts) for parts in zip(*states, strict=True)))


def reversed_resets(resets: jax.Array | None) -> jax.Array | None:
    """Shift resets for the reverse direction: seen backwards, the boundary before step t comes before step t - 1."""
    if resets is None:
        return None
    return jnp.concatenate([resets[1:], jnp.zeros_like(resets[:1])])


def compiled(bind: Callable[..., Any], *operands: Any, **params: Any) -> Any:
    """Run a primitive outside `jit`: compiled once for each `params` and operands, even under `jax.disable_jit`."""
    with jax.disable_jit(False):
        return _jitted(bind, **params)(*operands)


@functools.cache
def _jitted(bind: Callable[..., Any], **params: Any) -> Any:
    return jax.jit(functools.partial(bind, **params))


def identity(name: str, lower: Callable[..., Any] = lambda platform, ctx, x, **params: x) -> Primitive:
    """A primitive that returns its one array; `lower(platform, ctx, x, **params)` lowers it on each of `PLATFORMS`."""
    primitive = Primitive(name)
    primitive.def_impl(functools.partial(compiled, primitive.bind))
    primitive.def_abstract_eval(lambda x, **params: x)
    ad.deflinear2(primitive, lambda cotangent, x, **params: [cotangent])
    batching.defvectorized(primitive)

    def lower_on(platform: str, ctx: Any, x: Any, **params: Any) -> Any:
        return [lower(platform, ctx, x, **params)]

    mlir.register_lowering(primitive, lambda ctx, x, **params: [x])
    for platform in PLATFORMS:
        mlir.register_lowering(primitive, functools.partial(lower_on, platform), platform=platform)
    return primitive


def _refuse(platform: str, ctx: Any, x: Any, *, refusals: tuple[tuple[str, str], ...]) -> Any:
    if message := dict(refusals).get(platform):
        raise InputError(message)
    return x


# A program is traced once, and lowered for one platform or several: only then is it known whether it can be served.
only_where_served = identity("lstm_only_where_served", _refuse)  # refusals: ((platform, message), ...)


def _lay_out(platform: str, ctx: Any, x: Any) -> Any:
    if platform != "tpu" or ctx.module_context.lowering_parameters.for_export:  # which allows no such constraint
        return x
    layout = Layout(tuple(range(ctx.avals_in[0].ndim)))
    return mlir.lower_fun(lambda x: with_layout_constraint(x, layout), multiple_results=False)(ctx, x)[0]


# Left alone, XLA for TPU gives a product over all steps a layout in which the steps of a row are neighbours, and a loop
# then gathers each step from all over the array.
time_major = identity("lstm_time_major", _lay_out)
