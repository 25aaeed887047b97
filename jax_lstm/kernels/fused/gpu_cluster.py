"""A kernel whose clusters of blocks share the weights of a recurrence, in Pallas on Mosaic GPU, for NVIDIA Hopper.

A cluster runs 64 rows. Each block keeps its part of the weights in shared memory. To multiply what the blocks have
computed by all of the weights, they exchange it through global memory, wait at one barrier of the cluster, and copy it
to shared memory chunk by chunk, while the tensor cores multiply the chunk before.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jax_lstm.kernels.base import precision_asked
from jax_lstm.kernels.fused.arrays import Arrays, axes, sizes
from jax_lstm.kernels.fused.pallas import flags, resized, result_dtype

CLUSTERS = (8, 16)  # blocks: as many as every Hopper chip can place, and the most that a larger part of one can
ROWS = 64  # of a cluster, as many as an instruction of the tensor cores takes
KIB = 1024
SHARED_MEMORY = 227 * KIB  # of a block
BARRIERS = KIB  # of it; more than they take
EXACT = ("float32", "highest", "F32_F32_F32", "TF32_TF32_F32_X3")  # precisions for which TF32 is not enough
LINE = 128  # bytes of a row of a chunk, the widest that shared memory is swizzled in


class Plan(NamedTuple):
    """How a layer is cut: blocks of a cluster, hidden units of each, columns of a chunk of a product, chunks in shared
    memory at once; parts that a float32 is split into; H padded; bytes of shared memory of a block.
    """

    blocks: int
    units: int
    chunk: int
    slots: int
    parts: int
    hidden: int
    shared: int


def plan(hidden_size: int, compute: Any) -> Plan:
    """The smallest cluster whose shared memory holds the weights; if none does, the largest."""
    item = jnp.dtype(compute).itemsize
    asked = precision_asked()
    parts = 2 if item == 4 and asked in EXACT else 1

    def cut(blocks: int) -> Plan:
        hidden = -(-hidden_size // (8 * blocks)) * 8 * blocks  # the tensor cores take 8 columns or more
        units, slot = hidden // blocks, ROWS * LINE * parts
        fixed = (4 * hidden * parts + ROWS) * units * item + BARRIERS
        slots = max(2, min((SHARED_MEMORY - fixed) // slot, 4 * hidden * item // LINE))
        return Plan(blocks, units, LINE // item, slots, parts, hidden, fixed + slots * slot)

    small, large = map(cut, CLUSTERS)
    return small if small.shared <= SHARED_MEMORY else large


def on_clusters(
    steps: Callable[["Block", int, bool], None],
    given: dict[str, tuple[str, Any]],
    arrays: Arrays,
    weight: Any,
    wanted: tuple[str, ...],
    reverse: bool,
    cut: Plan,
) -> Arrays:
    """Run the program `steps` on every block, and return the arrays that it wrote, by name.

    Args:
        steps: the program of a block, of the number of steps and the direction: it reads what is `given`, and writes
            those `wanted` that it computes.
        given: axes and array of each operand.
        arrays: all operands of the operation.
        weight: (N, blocks, chunks, ..., columns of a chunk): of each block, the columns of `weight_hh` that it
            multiplies by.
        wanted: names of results.
        reverse: the direction of the forward pass.
        cut: how the layer is cut.
    """
    from jax.experimental import pallas as pl

    plgpu = mosaic()
    size, compute = sizes({name: array.shape for name, array in arrays.items()}), arrays["xs"].dtype
    tiles = max(1, -(-size["B"] // ROWS))
    padded = size | {"B": tiles * ROWS, "H": cut.hidden, "R": cut.hidden, "G": 4 * cut.hidden}
    given |= {name: ("NTB", flag.astype(jnp.float32)) for name, flag in flags(arrays).items()}
    chunks, columns = weight.shape[2], math.prod(weight.shape[3:-1])
    pieces = jnp.stack(
        _pieces(weight.reshape(size["N"], cut.blocks, chunks, columns, cut.chunk), compute, cut.parts), 3
    )
    operands = {name: resized(of, array, padded) for name, (of, array) in given.items()}
    operands["weight"] = pieces.reshape(size["N"], cut.blocks, chunks * cut.parts, columns, cut.chunk)
    out = {
        name: jax.ShapeDtypeStruct(tuple(padded[axis] for axis in axes(name)), result_dtype(name, compute))
        for name in dict.fromkeys(wanted)
    }
    exchanged = size["N"], 2, cut.parts, padded["B"], chunks * cut.chunk
    swizzled = plgpu.TilingTransform((8, cut.chunk)), plgpu.SwizzleTransform(LINE)
    scratch = {
        "weight": plgpu.SMEM(operands["weight"].shape[2:], compute, transforms=swizzled),
        "chunks": plgpu.SMEM((cut.slots * cut.parts, ROWS, cut.chunk), compute, transforms=swizzled),
        "own": plgpu.SMEM((ROWS, cut.units), compute),
        "loaded": plgpu.Barrier(),
        "filled": plgpu.Barrier(num_arrivals=cut.parts, num_barriers=cut.slots),
        "together": plgpu.ClusterBarrier(collective_axes=("block",)),
    }

    def kernel(*refs: Any, **scratch: Any) -> None:
        tile = jax.lax.axis_index("tile")
        named = dict(zip((*operands, *out, "exchanged"), refs, strict=True))
        rows = pl.ds(tile % tiles * ROWS, ROWS)
        block = Block(named, scratch, cut, tile // tiles, rows, jax.lax.axis_index("block"))
        plgpu.copy_gmem_to_smem(named["weight"].at[block.member, block.index], scratch["weight"], scratch["loaded"])
        plgpu.barrier_wait(scratch["loaded"])
        steps(block, size["T"], reverse)

    found = plgpu.kernel(
        kernel,
        out_type=(*out.values(), jax.ShapeDtypeStruct(exchanged, compute)),
        scratch_types=scratch,
        grid=(size["N"] * tiles,),
        grid_names=("tile",),
        cluster=(cut.blocks,),
        cluster_names=("block",),
        compiler_params=plgpu.CompilerParams(approx_math=True),  # exp and division to a few units in the last place
        kernel_name=f"lstm{steps.__name__.removesuffix('_steps')}",
    )(*operands.values())
    return {name: resized(axes(name), array, size) for name, array in zip(out, found, strict=False)}


def mosaic() -> Any:
    """Mosaic GPU without types, since those of an older JAX lack some of its names."""
    from jax.experimental.pallas import mosaic_gpu

    return mosaic_gpu


class Block(NamedTuple):
    """One block of a cluster: arrays by name in global and in shared memory; its member of the ensemble, its rows, and
    its place in the cluster.
    """

    refs: Arrays
    scratch: Arrays
    cut: Plan
    member: Any
    rows: Any
    index: Any

    def _own(self, gate: int) -> Any:
        """The columns of the block's units in a gate."""
        from jax.experimental import pallas as pl

        return pl.ds(gate * self.cut.hidden + self.index * self.cut.units, self.cut.units)

    def load(self, name: str, *at: Any, gate: int = 0) -> Any:
        """The block's part of an array at a step."""
        plgpu = mosaic()
        ref = self.refs[name].at[self.member, *at, self.rows, self._own(gate)]
        return plgpu.load(ref, layout=plgpu.Layout.WGMMA, optimized=False).astype(jnp.float32)

    def flag(self, name: str, at: Any) -> Any:
        """A flag of each row, for all units; None if it was not given."""
        plgpu = mosaic()
        if name not in self.refs:
            return None
        ref = self.refs[name].at[self.member, at, self.rows]
        found = plgpu.load(ref, layout=plgpu.Layout.WGMMA.reduce(1), optimized=False)
        return jax.lax.broadcast_in_dim(found != 0, (ROWS, self.cut.units), (0,))

    def store(self, name: str, value: Any, *at: Any, gate: int = 0) -> None:
        """Write the block's part of an array at a step, if it is wanted."""
        plgpu = mosaic()
        if name in self.refs:
            ref = self.refs[name].at[self.member, *at, self.rows, self._own(gate)]
            plgpu.store(ref, value.astype(ref.dtype), optimized=False)

    def product(self, values: list[Any], turn: Any) -> list[Any]:
        """The block's weights times `values` of all blocks; one array for `units` columns."""
        from jax.experimental import pallas as pl

        plgpu = mosaic()
        cut, own = self.cut, self.scratch["own"]
        exchanged = self.refs["exchanged"].at[self.member, turn % 2]  # others may still read that of the turn before
        for gate, value in enumerate(values):
            for part, piece in enumerate(_pieces(value, own.dtype, cut.parts)):
                plgpu.wait_smem_to_gmem(0, wait_read_only=True)
                own[...] = piece
                plgpu.commit_smem()
                plgpu.copy_smem_to_gmem(own, exchanged.at[part, self.rows, self._own(gate)])
        plgpu.wait_smem_to_gmem(0)
        plgpu.barrier_arrive(self.scratch["together"])
        plgpu.barrier_wait(self.scratch["together"])

        weight, chunks, filled = (self.scratch[name] for name in ("weight", "chunks", "filled"))
        count = weight.shape[0] // cut.parts
        pairs = [(a, b) for a in range(cut.parts) for b in range(cut.parts - a)]  # of small parts, no product counts

        def fetch(k: Any) -> None:
            slot, columns = k % cut.slots, pl.ds(k * cut.chunk, cut.chunk)
            for part in range(cut.parts):
                to = chunks.at[slot * cut.parts + part]
                plgpu.copy_gmem_to_smem(exchanged.at[part, self.rows, columns], to, filled.at[slot])

        def accumulate(sums: Any) -> Any:
            def add(k: Any, _: None) -> None:
                slot = k % cut.slots
                plgpu.barrier_wait(filled.at[slot])
                for a, b in pairs:
                    plgpu.wgmma(sums, chunks.at[slot * cut.parts + a], weight.at[k * cut.parts + b].T)
                if count > cut.slots:
                    plgpu.wgmma_wait(len(pairs))  # the chunk before is done, and its slot free
                    pl.when((k > 0) & (k <= count - cut.slots))(lambda: fetch(k - 1 + cut.slots))

            jax.lax.fori_loop(0, count, add, None)
            return sums[...]

        for k in range(min(count, cut.slots)):
            fetch(k)
        found = pl.run_scoped(accumulate, plgpu.ACC((ROWS, weight.shape[1]), jnp.float32))
        return [found[:, start : start + cut.units] for start in range(0, weight.shape[1], cut.units)]


def _pieces(x: Any, compute: Any, parts: int) -> list[Any]:
    """`x` as a sum of `parts` numbers that the tensor cores take: bfloat16, or float32 rounded to TF32."""
    if compute == jnp.bfloat16:
        return [x.astype(compute)]
    found = []
    for _ in range(parts):
        bits = jax.lax.bitcast_convert_type(x, jnp.int32)
        rounded = jax.lax.bitcast_convert_type((bits + 0x1000) & -0x2000, jnp.float32)
        found.append(jnp.where(x == x, rounded, x))  # the addition turns some NaNs into zero
        x = x - found[-1]
    return found
