"""What a kernel is: an object that runs the recurrence of a stack of layers, and says what it does not support.

A kernel is a frozen dataclass whose fields are its own options. A new one is a subclass with `sequence`; a row in the
table of `jax_lstm.kernels.auto` gives it a name for `backend`.
"""

import dataclasses
import functools
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding, PartitionSpec

from jax_lstm.checks import require
from jax_lstm.params import LSTMState

PLATFORMS = ("cpu", "cuda", "rocm", "tpu")  # for which a program may be lowered


def this_platform() -> str:
    """The platform of this process's default device."""
    backend = jax.devices()[0].client
    if backend.platform != "gpu":
        return str(backend.platform)
    return "rocm" if "rocm" in backend.platform_version else "cuda"


def precision_asked() -> str | None:
    """What `jax.default_matmul_precision` is set to."""
    return jax.config.jax_default_matmul_precision  # type: ignore[attr-defined]


Outputs = tuple[jax.Array, LSTMState]


class Call(NamedTuple):
    """What a kernel is asked to serve: one platform, the type, the sizes, and which optional arguments are given.

    Attributes:
        platform: "cpu", "cuda", "rocm" or "tpu".
        dtype: the type to compute in.
        steps: T, the number of steps; may be symbolic.
        batch: B, the number of rows; may be symbolic.
        input_size: I, the number of features of the first layer's input.
        hidden_size: H, the number of hidden units.
        proj_size: P, the size that `h` is projected to; 0 for no projection.
        given: those of "lengths", "mask" and "resets" that are given.
        chip: the chip to compile for, as "v5e"; None if it was not named.

    Example:
        >>> import jax.numpy as jnp
        >>> import jax_lstm as jl
        >>> call = jl.kernels.Call("cuda", jnp.float32, 5, 32, input_size=10, hidden_size=20, given=("mask",))
        >>> jl.kernels.Cudnn().refuses(call)
        'cuDNN takes lengths; not mask'
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
    """One layer in one direction: its parameters, as `Kernel.sequence` takes them, and its initial state.

    Attributes:
        params: `LSTMParams`.
        state: h (B, R) and c (B, H).

    Example:
        >>> import jax.numpy as jnp
        >>> import jax_lstm as jl
        >>> params = jl.LSTMParams(jnp.zeros((80, 10)), jnp.zeros((80, 20)))
        >>> one = jl.kernels.Direction(params, jl.LSTMState.zeros((32, 20)))
        >>> one.state.h.shape
        (32, 20)
    """

    params: Any
    state: LSTMState


class Stack(NamedTuple):
    """What a kernel runs: all layers in all directions over one batch of sequences.

    Attributes:
        xs: (T, B, I).
        layers: by layer, its one or two directions, each a pair `Direction(params, state)`; the second runs backwards
            in time.
        drops: by layer, what its input is multiplied by, (T, B, R*D), or None.
        lengths: (B,), each 0 to T, or None; they are part of `mask` as well.
        mask: (T, B), bool, or None.
        resets: (T, B), bool, or None.

    Example:
        >>> import jax.numpy as jnp
        >>> import jax_lstm as jl
        >>> params = jl.LSTMParams(jnp.zeros((80, 10)), jnp.zeros((80, 20)))
        >>> layer = (jl.kernels.Direction(params, jl.LSTMState.zeros((32, 20))),)
        >>> stack = jl.kernels.Stack(jnp.ones((5, 32, 10)), layers=(layer,), drops=(None,))
        >>> jl.kernels.Reference().run(stack)[0].shape
        (5, 32, 20)
    """

    xs: jax.Array
    layers: tuple[tuple[Direction, ...], ...]
    drops: tuple[jax.Array | None, ...]
    lengths: jax.Array | None = None
    mask: jax.Array | None = None
    resets: jax.Array | None = None


@dataclass(frozen=True)
class Kernel:
    """A way to compute the recurrence. Subclass it to write one, and pass an instance as `backend`.

    A subclass defines `sequence`, for one layer in one direction; override `run` if your kernel does all layers in one
    call, or `joined` if it does so for some stacks. `lengths` arrive as part of `mask`. A kernel is a frozen dataclass,
    and its fields are its options.

    Attributes:
        purpose: one line for `explain_backend`.

    Example:
        >>> from dataclasses import dataclass
        >>> import jax
        >>> import jax.numpy as jnp
        >>> from flax import nnx
        >>> import jax_lstm as jl
        >>> @dataclass(frozen=True)
        ... class Mine(jl.kernels.Kernel):
        ...     purpose = "jax.lax.scan, differentiated by JAX"
        ...     unroll: int = 1
        ...
        ...     def sequence(self, params, state, xs, *, reverse=False, mask=None, resets=None):
        ...         valid = jnp.ones(xs.shape[:2], bool) if mask is None else mask
        ...         first = jnp.zeros(xs.shape[:2], bool) if resets is None else resets
        ...
        ...         def body(state, at):
        ...             x, valid, first = at
        ...             state = jax.tree.map(lambda old: jnp.where(first, 0, old), state)
        ...             new = jl.kernels.step(params, state, x)
        ...             state = jax.tree.map(lambda new, old: jnp.where(valid, new, old), new, state)
        ...             return state, jnp.where(valid, new.h, 0).astype(xs.dtype)
        ...
        ...         valid, first = valid[..., None], first[..., None]  # (T, B, 1)
        ...         xs = jnp.where(valid, xs, 0)  # padding may hold NaN
        ...         state, ys = jax.lax.scan(body, state, (xs, valid, first), reverse=reverse, unroll=self.unroll)
        ...         return ys, state
        >>> kernel = Mine(unroll=4)
        >>> kernel.name, kernel.options
        ('mine', ('unroll',))
        >>> lstm = jl.LSTM(10, 20, bidirectional=True, backend=kernel, rngs=nnx.Rngs(0))
        >>> lstm(jnp.ones((5, 32, 10)), lengths=jnp.full(32, 3))[0].shape
        (5, 32, 40)
        >>> params = jl.LSTMParams(jnp.zeros((80, 10)), jnp.zeros((80, 20)))
        >>> ys, state = kernel.sequence(params, jl.LSTMState.zeros((32, 20)), jnp.ones((5, 32, 10)))
        >>> ys.shape, state.h.shape
        ((5, 32, 20), (32, 20))
    """

    purpose: ClassVar[str]  # one line for `explain_backend`

    @property
    def name(self) -> str:
        """What `LSTM(backend=...)` calls it."""
        return type(self).__name__.lower()

    @property
    def options(self) -> tuple[str, ...]:
        """Names of what `jax_lstm.kernels.named` may set beside the kernel's name."""
        return tuple(field.name for field in dataclasses.fields(self))

    @property
    def caveat(self) -> str:
        """What `explain_backend` says beside where the kernel was named; `""` for nothing.

        Example:
            >>> import jax_lstm as jl
            >>> jl.kernels.Fused("pallas").caveat
            'never run on such a device'
        """
        return ""

    def refuses(self, call: Call) -> str:
        """Why this kernel does not support `call`; `""` if it does.

        Example:
            >>> import jax.numpy as jnp
            >>> import jax_lstm as jl
            >>> jl.kernels.Cudnn().refuses(jl.kernels.Call("tpu", jnp.float32, 5, 32, 10, 20))
            'it runs on cuda; not on tpu'
        """
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
        raise NotImplementedError(f"{type(self).__name__} must define `sequence`")

    def pairs(self, batch: Any, hidden_size: int) -> bool:
        """Whether to run both directions of a layer as one call of `sequence` under `vmap`, because that is faster.

        Example:
            >>> import jax_lstm as jl
            >>> jl.kernels.Fused().pairs(batch=2, hidden_size=32), jl.kernels.Scan().pairs(batch=2, hidden_size=32)
            (True, False)
        """
        return False

    def layer(self, directions: tuple[Direction, ...], xs: Any, mask: Any, resets: Any) -> list[Outputs]:
        """Run the directions of one layer.

        Args:
            directions: the one or two directions, as `Stack.layers` has them.
            xs: (T, B, I).
            mask: (T, B), bool, or None.
            resets: (T, B), bool, or None: boundaries that no direction crosses.

        Returns:
            For each direction, what `sequence` returns.

        Example:
            >>> import jax.numpy as jnp
            >>> import jax_lstm as jl
            >>> params = jl.LSTMParams(jnp.zeros((80, 10)), jnp.zeros((80, 20)))
            >>> both = (jl.kernels.Direction(params, jl.LSTMState.zeros((32, 20))),) * 2
            >>> [ys.shape for ys, state in jl.kernels.Reference().layer(both, jnp.ones((5, 32, 10)), None, None)]
            [(5, 32, 20), (5, 32, 20)]
        """
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

    def joined(self, stack: Stack) -> Outputs | None:
        """Run a stack of layers in one call, if that is faster; None to let `run` loop over the layers.

        Example:
            >>> import jax.numpy as jnp
            >>> import jax_lstm as jl
            >>> params = jl.LSTMParams(jnp.zeros((80, 20)), jnp.zeros((80, 20)))
            >>> layer = (jl.kernels.Direction(params, jl.LSTMState.zeros((2, 20))),)
            >>> stack = jl.kernels.Stack(jnp.ones((5, 2, 20)), layers=(layer, layer), drops=(None, None))
            >>> ys, state = jl.kernels.Fused().joined(stack)
            >>> ys.shape, jl.kernels.Scan().joined(stack)
            ((5, 2, 20), None)
        """
        return None

    @functools.partial(jax.jit, static_argnums=0)
    def run(self, stack: Stack) -> tuple[jax.Array, LSTMState]:
        """Run a stack of layers.

        Returns:
            The last layer's outputs (T, B, R*D), and the last states, h (L*D, B, R) and c (L*D, B, H).

        Example:
            >>> import jax.numpy as jnp
            >>> import jax_lstm as jl
            >>> params = jl.LSTMParams(jnp.zeros((80, 20)), jnp.zeros((80, 20)))
            >>> layer = (jl.kernels.Direction(params, jl.LSTMState.zeros((32, 20))),)
            >>> stack = jl.kernels.Stack(jnp.ones((5, 32, 20)), layers=(layer, layer), drops=(None, None))
            >>> ys, state = jl.kernels.Reference().run(stack)
            >>> ys.shape, state.h.shape
            ((5, 32, 20), (2, 32, 20))
        """
        if (found := self.joined(stack)) is not None:
            return found
        xs, states = stack.xs, []
        for directions, drop in zip(stack.layers, stack.drops, strict=True):
            xs = xs if drop is None else xs * drop
            directions = tuple(own._replace(state=aligned(own.state, xs, (own.params, stack))) for own in directions)
            outputs = self.layer(directions, xs, stack.mask, stack.resets)
            for own, found in zip(directions, outputs, strict=True):
                require_outputs(self, found, xs, own.state)
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


def require_outputs(kernel: Kernel, outputs: Any, xs: Any, state: LSTMState) -> None:
    """What `sequence` of `kernel` returned for `xs` from `state` must have the right shapes."""
    wanted = ((*xs.shape[:2], state.h.shape[-1]), jax.tree.map(jnp.shape, state))
    got = jax.tree.map(jnp.shape, outputs)
    require(got == wanted, f"{type(kernel).__name__}.sequence", f"return arrays of shapes {wanted}", got)


def stacked(states: list[LSTMState]) -> LSTMState:
    """The states of all layers and directions along one leading axis."""
    return LSTMState(*(jnp.stack(parts) for parts in zip(*states, strict=True)))


def reversed_resets(resets: jax.Array | None) -> jax.Array | None:
    """Shift resets for the reverse direction: seen backwards, the boundary before step t comes before step t - 1."""
    if resets is None:
        return None
    return jnp.concatenate([resets[1:], jnp.zeros_like(resets[:1])])
