"""A loop over the steps of a sequence as a Pallas kernel for TPUs, on named arrays, and how it is cut to fit in VMEM.

The grid runs over ensemble members, blocks of rows, and chunks of steps, one chunk after the other. While a chunk is
computed, the next one is copied to VMEM.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

from jax_lstm.kernels.base import Call
from jax_lstm.kernels.fused.arrays import Arrays, axes, sizes
from jax_lstm.kernels.fused.pallas import Named, flags, resized, result_dtype

MIB = 2**20
VMEM = {"v4": 16 * MIB, "v5e": 128 * MIB, "v5p": 64 * MIB, "v6e": 128 * MIB, "tpu7x": 64 * MIB}  # of a core
USABLE = 0.9  # of VMEM; the compiler needs some
LANES, SUBLANES = 128, 16  # H and R are padded to whole lanes, rows to whole sublanes of a 16-bit type
ROWS, STEPS = 128, 8  # at most, in a block; more gain nothing
IN_FLIGHT = 2**17  # rows x units x steps in one turn of the loop: more take longer to compile and gain nothing

Refs = dict[str, Any]  # arrays in VMEM by name, without the axis N


class Plan(NamedTuple):
    """How a call is cut: blocks of rows, chunks of steps; H and R padded to tiles; bytes of VMEM that this takes."""

    rows: int
    blocks: int
    steps: int
    chunks: int
    hidden: int
    output: int
    vmem: int


def capacity(chip: str | None) -> int:
    """Bytes of VMEM that a kernel may use on `chip`; on any chip if None."""
    return int(USABLE * (VMEM[chip] if chip else min(VMEM.values())))


def plan(call: Call) -> Plan:
    """The largest blocks that fit in VMEM; if none does, the smallest."""
    hidden, output = _up(call.hidden_size, LANES), _up(call.proj_size or call.hidden_size, LANES)
    item = jnp.dtype(call.dtype).itemsize
    weights = (4 * hidden + bool(call.proj_size) * hidden) * output * item
    forward = 4 * (4 + 4 + 1) * hidden + 2 * item * output  # a row of one step: inputs, gates, cs; ys, hs
    backward = 4 * (4 + 1) * hidden + item * (4 * hidden + output) + 4 * output  # gates, cs; d_gates, d_ys; d_hs
    given = {"mask" if name == "lengths" else name for name in call.given}  # lengths come as a mask
    marks = 4 * LANES * len(given & {"mask", "resets"})
    values = 4 * (4 * 4 * hidden + 8 * (hidden + output))  # a row: gates and their gradients; states
    for most in (ROWS, ROWS // 2, ROWS // 4, ROWS // 8):
        blocks = -(-call.batch // most)
        rows = _up(-(-call.batch // blocks), SUBLANES)
        for steps in (STEPS, STEPS // 2, STEPS // 4, 1):
            steps = min(steps, call.steps)
            vmem = weights + rows * (2 * steps * (max(forward, backward) + marks) + values)
            found = Plan(rows, blocks, steps, -(-call.steps // steps), hidden, output, vmem)
            if vmem <= capacity(call.chip):
                return found
    return found


def _up(size: int, multiple: int) -> int:
    return -(-size // multiple) * multiple


class Loop:
    """A loop over the steps of a call, as a Pallas kernel on named arrays. Axes are letters, as in `arrays.def`.

    C are the chunks.
    """

    def __init__(self, arrays: Arrays, chip: str | None):
        self.arrays, self.compute = arrays, arrays["xs"].dtype
        self.size = sizes({name: array.shape for name, array in arrays.items()})
        self.size.setdefault("R", self.size["H"])
        steps, batch, inputs, hidden = (self.size[axis] for axis in "TBIH")
        proj_size = self.size["R"] if "weight_hr" in arrays else 0
        self.plan = plan(Call("tpu", self.compute, steps, batch, inputs, hidden, proj_size, tuple(arrays), chip))
        padded = {"B": self.plan.rows * self.plan.blocks, "H": self.plan.hidden, "R": self.plan.output}
        self.padded = self.size | padded | {"G": 4 * self.plan.hidden, "C": self.plan.chunks}

    def pad(self, of: str, array: jax.Array) -> jax.Array:
        """Fill an array with the axes `of` with zeros up to whole tiles."""
        return resized(of, array, self.padded)

    def edges(self, cs: jax.Array, c0: jax.Array, reverse: bool) -> jax.Array:
        """The `c` before each chunk, (N, C, B, H), in the order in which the forward pass runs."""
        steps = self.plan.steps
        if reverse:
            return jnp.concatenate([cs[:, steps::steps], c0[:, None]], axis=1)
        return jnp.concatenate([c0[:, None], cs[:, steps - 1 : -1 : steps]], axis=1)

    def run(
        self,
        step: Callable[..., None],
        given: Named,
        starts: tuple[str, str],
        ends: tuple[str, str],
        results: tuple[str, ...],
        reverse: bool,
    ) -> Arrays:
        """Run `step` from the state `starts`, which are among `given`, to `ends`, which may be among `results`.

        Args:
            step: from the arrays by name, the step within the chunk, the chunk's number of steps and the state, to the
                next state; it writes the other results.
            given: axes and array of each operand.
            starts: names of the first state.
            ends: names of the last state.
            results: names of what to return, if the kernel computes it.
            reverse: run from the last step to the first.
        """
        given |= {name: ("NTB1", flag[..., None].astype(jnp.int32)) for name, flag in flags(self.arrays).items()}
        given = {name: (of, self.pad(of, array)) for name, (of, array) in given.items()}
        wanted = {name: axes(name) for name in dict.fromkeys((*ends, *results))}
        kernel = functools.partial(self._kernel, step, (*given, *wanted), starts, ends, reverse)
        block = functools.partial(self._block, reverse=reverse)
        found = pl.pallas_call(
            kernel,
            grid=(self.size["N"], self.plan.blocks, self.plan.chunks),
            in_specs=[block(of) for of, _ in given.values()],
            out_specs=[block(of) for of in wanted.values()],
            out_shape=[
                jax.ShapeDtypeStruct(tuple(self.padded[axis] for axis in of), result_dtype(name, self.compute))
                for name, of in wanted.items()
            ],
            scratch_shapes=[pltpu.VMEM((self.plan.rows, given[name][1].shape[-1]), jnp.float32) for name in starts],
            compiler_params=pltpu.CompilerParams(
                dimension_semantics=("parallel", "parallel", "arbitrary"), vmem_limit_bytes=self.plan.vmem
            ),
            name="lstm",
        )(*(array for _, array in given.values()))
        return {name: resized(axes(name), array, self.size) for name, array in zip(wanted, found, strict=True)}

    def _block(self, of: str, reverse: bool) -> pl.BlockSpec:
        """The part of an array that is in VMEM for one chunk."""
        own = {"N": None, "B": self.plan.rows, "T": self.plan.steps, "C": 1}
        last = self.plan.chunks - 1

        def index(member: Any, block: Any, chunk: Any) -> tuple[Any, ...]:
            at = last - chunk if reverse else chunk
            return tuple({"N": member, "B": block, "T": at, "C": at}.get(axis, 0) for axis in of)

        moves = "T" in of or "C" in of  # what stays over the chunks needs no second buffer
        mode = None if moves else pl.Buffered(1)
        return pl.BlockSpec(tuple(own.get(axis, self.padded.get(axis, 1)) for axis in of), index, pipeline_mode=mode)

    def _kernel(
        self, step: Callable[..., None], names: tuple[str, ...], starts: Any, ends: Any, reverse: bool, *refs: Any
    ) -> None:
        """The program of one chunk."""
        named, state = dict(zip(names, refs, strict=False)), refs[len(names) :]
        chunk, chunks, steps = pl.program_id(2), self.plan.chunks, self.plan.steps

        @pl.when(chunk == 0)
        def start() -> None:
            for part, name in zip(state, starts, strict=True):
                part[...] = named[name][...]

        def run(count: int) -> None:
            def one(turn: Any, _: None) -> None:
                s = count - 1 - turn if reverse else turn
                step(named, s, count, *state)

            unroll = max(1, min(count, IN_FLIGHT // (self.plan.rows * self.plan.hidden)))
            jax.lax.fori_loop(0, count, one, None, unroll=unroll)

        rest = self.size["T"] - (chunks - 1) * steps
        at_end = (chunks - 1 - chunk if reverse else chunk) == chunks - 1  # where time ends, a chunk may be shorter
        if rest == steps:
            run(steps)
        else:
            pl.when(at_end)(lambda: run(rest))
            pl.when(~at_end)(lambda: run(steps))

        @pl.when(chunk == chunks - 1)
        def end() -> None:
            for part, name in zip(state, ends, strict=True):
                named[name][...] = part[...]
