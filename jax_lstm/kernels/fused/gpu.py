"""The fused operations on NVIDIA Hopper, in Pallas on Mosaic GPU: one kernel for a whole sequence.

A cluster of blocks runs 64 rows. Each block keeps the part of `weight_hh` for its slice of the hidden units in shared
memory, and their state in registers. At every step the blocks exchange their slices (forward those of `h`, backward
the gradients of the gates) through global memory, wait at one barrier of the cluster, and multiply what all of them
wrote by their own weights, in the tensor cores. The products with the inputs of all steps, and those for the gradients
of weights and inputs, are large products of XLA before and after the kernel.

In bfloat16, products take bfloat16. In float32, they take TF32, as XLA's do, or, where a `jax.default_matmul_precision`
of float32 is asked for, the sum of three TF32 products, which is as exact as float32. Sums and states are in float32.

Nothing here has run on a GPU yet. Its numbers are tested in Pallas's interpreter, and XLA and Mosaic compile it for an
H100: docs/accelerators.md says what that proves.
"""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jax_lstm.kernels.base import Call
from jax_lstm.kernels.fused.arrays import Arrays, Signature, axes, dtype, sizes
from jax_lstm.kernels.fused.gradients import gradients
from jax_lstm.kernels.fused.padding import resized
from jax_lstm.kernels.masking import zero_padding

NEEDS = (0, 11, 2)  # version of JAX
CHIPS = ("h100", "h200")  # Hopper, compute capability 9
CLUSTERS = (8, 16)  # blocks: as many as every Hopper chip places, and as many as most do
ROWS = 64  # of a cluster, as many as an instruction of the tensor cores takes
KIB = 1024
SHARED_MEMORY = 227 * KIB  # of a block
BARRIERS = KIB  # of it; more than they take
LINE = 128  # bytes of a row of a chunk: as wide as shared memory is swizzled

INTERPRET: Any = False  # tests run the kernels on a CPU, in Pallas's interpreter


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


def refuses(call: Call) -> str:
    """Why this lowering cannot serve `call`; "" if it can."""
    if jax.__version_info__ < NEEDS:
        return f"it needs JAX {'.'.join(map(str, NEEDS))} or later; this is {jax.__version__}"
    if jnp.dtype(call.dtype) not in (jnp.float32, jnp.bfloat16):
        return f"it computes in float32 or bfloat16; not in {jnp.dtype(call.dtype).name}"
    if not all(isinstance(size, int) for size in (call.steps, call.batch)):
        return "it needs fixed sizes; T or B is symbolic"
    if call.proj_size:
        return "it has no projection; proj_size must be 0"
    if call.chip not in (None, *CHIPS):
        return f"its instructions are Hopper's ({', '.join(CHIPS)}); not those of {call.chip}"
    others = [device for device in jax.devices() if getattr(device, "compute_capability", "9.0")[:2] != "9."]
    if call.chip is None and others:
        at = f"{others[0].device_kind} has {others[0].compute_capability}"
        return f"its instructions are Hopper's (compute capability 9.x); {at}"
    needed = plan(call.hidden_size, call.dtype).shared / KIB
    has = SHARED_MEMORY / KIB
    return "" if needed <= has else f"it needs {needed:.0f} KiB of shared memory a block, of {has:.0f}"


def plan(hidden_size: int, compute: Any) -> Plan:
    """The smallest cluster whose shared memory holds the weights; if none does, the largest."""
    item = jnp.dtype(compute).itemsize
    asked = jax.config.jax_default_matmul_precision  # type: ignore[attr-defined]
    parts = 2 if item == 4 and asked in ("float32", "highest", "F32_F32_F32") else 1
    for blocks in CLUSTERS:
        hidden = -(-hidden_size // (8 * blocks)) * 8 * blocks  # the tensor cores take 8 columns or more
        units, slot = hidden // blocks, ROWS * LINE * parts
        fixed = (4 * hidden * parts + ROWS) * units * item + BARRIERS
        slots = max(2, min((SHARED_MEMORY - fixed) // slot, 4 * hidden * item // LINE))
        found = Plan(blocks, units, LINE // item, slots, parts, hidden, fixed + slots * slot)
        if found.shared <= SHARED_MEMORY:
            break
    return found


def run(signature: Signature, *operands: Any) -> list[Any]:
    """The results that `signature` names: outputs and last state, with or without residuals, or gradients."""
    arrays = dict(zip(signature.operands, operands, strict=True))
    found = (_backward if "d_ys" in arrays else _forward)(arrays, signature)
    return [found[name] for name in signature.results]


def _forward(arrays: Arrays, signature: Signature) -> Arrays:
    cut = plan(arrays["weight_hh"].shape[-1], arrays["xs"].dtype)
    dot = functools.partial(jnp.einsum, preferred_element_type=jnp.float32)
    inputs = dot("ntbi,ngi->ntbg", zero_padding(arrays["xs"], arrays.get("mask")), arrays["weight_ih"])
    for name in ("bias_ih", "bias_hh"):
        inputs += arrays[name][:, None, None] if name in arrays else 0.0
    sums = dot("nbr,ngr->nbg", arrays["h0"].astype(arrays["xs"].dtype), arrays["weight_hh"])
    given = {"inputs": ("NTBG", inputs), "sums": ("NBG", sums)} | _named(arrays, "h0", "c0")
    weight = resized("NGR", arrays["weight_hh"], {"H": cut.hidden, "R": cut.hidden})
    weight = weight.reshape(-1, 4, cut.blocks, cut.units, cut.hidden // cut.chunk, cut.chunk)
    weight = weight.transpose(0, 2, 4, 1, 3, 5)  # axes N, block, chunk, gate, unit, column
    return _loop(_forward_steps, given, arrays, weight, ("h", "c", *signature.results), signature.reverse, cut)


def _forward_steps(block: "Block", steps: int, reverse: bool) -> None:
    """From `h0` and `c0` to `h` and `c`; `sums` is the product of the weights with the state before a step."""

    def step(turn: Any, carry: Any) -> Any:
        at = steps - 1 - turn if reverse else turn
        kept, valid = block.flag("kept", at), block.flag("mask", at)
        *sums, h, c = (_select(kept, part, 0.0) for part in carry)
        z = [part + block.load("inputs", at, gate=gate) for gate, part in enumerate(sums)]
        i, f, g, o = gates = _sigmoid(z[0]), _sigmoid(z[1]), _tanh(z[2]), _sigmoid(z[3])
        next_c = f * c + i * g
        next_h = o * _tanh(next_c)
        block.store("ys", _select(valid, next_h, 0.0), at)
        next_h, next_c = _select(valid, next_h, h), _select(valid, next_c, c)
        block.store("hs", next_h, at)
        block.store("cs", next_c, at)
        for gate, value in enumerate(gates):
            block.store("gates", value, at, gate=gate)
        return *block.product([next_h], turn), next_h, next_c

    start = *(block.load("sums", gate=gate) for gate in range(4)), block.load("h0"), block.load("c0")
    *_, h, c = jax.lax.fori_loop(0, steps, step, start)
    block.store("h", h)
    block.store("c", c)


def _backward(arrays: Arrays, signature: Signature) -> Arrays:
    cut = plan(arrays["weight_hh"].shape[-1], arrays["xs"].dtype)
    given = _named(arrays, "gates", "cs", "c0", "d_ys", "d_h", "d_c")
    weight = resized("NGR", arrays["weight_hh"], {"H": cut.hidden, "R": cut.hidden})
    weight = weight.reshape(-1, 4 * cut.hidden // cut.chunk, cut.chunk, cut.blocks, cut.units)
    weight = weight.transpose(0, 3, 1, 4, 2)  # axes N, block, chunk, unit, column
    wanted = ("d_gates", "d_h0", "d_c0")
    found = _loop(_backward_steps, given, arrays, weight, wanted, signature.reverse, cut)
    products = functools.partial(gradients, d_hs=None, wanted=signature.results, reverse=signature.reverse)
    return found | jax.vmap(products)(arrays, found["d_gates"])


def _backward_steps(block: "Block", steps: int, reverse: bool) -> None:
    """From `d_h` and `d_c` to `d_h0` and `d_c0`."""

    def step(turn: Any, carry: Any) -> Any:
        d_h, d_c = carry
        at, before = (turn, turn + 1) if reverse else (steps - 1 - turn, steps - 2 - turn)
        kept, valid = block.flag("kept", at), block.flag("mask", at)
        i, f, g, o = (block.load("gates", at, gate=gate) for gate in range(4))
        c = jax.lax.cond(turn == steps - 1, lambda: block.load("c0"), lambda: block.load("cs", before))
        c = _select(kept, c, 0.0)
        tanh_c = _tanh(f * c + i * g)
        d_hs = d_h + block.load("d_ys", at)
        d_cs = d_c + d_hs * o * (1 - tanh_c * tanh_c)
        d_gates = d_cs * g * i * (1 - i), d_cs * c * f * (1 - f), d_cs * i * (1 - g * g), d_hs * tanh_c * o * (1 - o)
        d_gates = [_select(valid, part, 0.0) for part in d_gates]
        for gate, value in enumerate(d_gates):
            block.store("d_gates", value, at, gate=gate)
        held = 0.0 if valid is None else jnp.where(valid, 0.0, d_h)
        d_c = _select(valid, d_cs * f, d_c)
        d_h = block.product(d_gates, turn)[0] + held
        return _select(kept, d_h, 0.0), _select(kept, d_c, 0.0)

    d_h, d_c = jax.lax.fori_loop(0, steps, step, (block.load("d_h"), block.load("d_c")))
    block.store("d_h0", d_h)
    block.store("d_c0", d_c)


def _sigmoid(x: Any) -> Any:
    return 1 / (1 + jnp.exp(-x))


def _tanh(x: Any) -> Any:
    return 2 * _sigmoid(2 * x) - 1


def _select(flag: Any, value: Any, other: Any) -> Any:
    return value if flag is None else jnp.where(flag, value, other)


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


def _named(arrays: Arrays, *names: str) -> dict[str, tuple[str, Any]]:
    return {name: (axes(name), arrays[name]) for name in names}


def _loop(
    steps: Callable[["Block", int, bool], None],
    given: dict[str, tuple[str, Any]],
    arrays: Arrays,
    weight: Any,
    wanted: tuple[str, ...],
    reverse: bool,
    cut: Plan,
) -> Arrays:
    """Run `steps` on every block of every cluster.

    Args:
        steps: the program of a block: it reads what is `given`, and writes those `wanted` that it computes.
        given: axes and array of each operand.
        arrays: all operands of the operation.
        weight: (N, blocks, chunks, ..., columns of a chunk): of each block, the columns of `weight_hh` that it
            multiplies by.
        wanted: names of results.
        reverse: the direction of the forward pass.
        cut: how the layer is cut.
    """
    from jax.experimental import pallas as pl
    from jax.experimental.pallas import mosaic_gpu as plgpu

    size, compute = sizes({name: array.shape for name, array in arrays.items()}), arrays["xs"].dtype
    tiles = max(1, -(-size["B"] // ROWS))
    padded = size | {"B": tiles * ROWS, "H": cut.hidden, "R": cut.hidden, "G": 4 * cut.hidden}
    flags = {"mask": arrays.get("mask"), "kept": ~arrays["resets"] if "resets" in arrays else None}
    given |= {name: ("NTB", flag.astype(jnp.float32)) for name, flag in flags.items() if flag is not None}
    chunks, columns = weight.shape[2], math.prod(weight.shape[3:-1])
    pieces = jnp.stack(_pieces(weight.reshape(size["N"], cut.blocks, chunks, columns, cut.chunk), compute, cut.parts), 3)
    operands = {name: resized(of, array, padded) for name, (of, array) in given.items()}
    operands["weight"] = pieces.reshape(size["N"], cut.blocks, chunks * cut.parts, columns, cut.chunk)
    out = {
        name: jax.ShapeDtypeStruct(
            tuple(padded[axis] for axis in axes(name)), compute if name == "d_gates" else dtype(name, compute)
        )
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
        interpret=INTERPRET,
        kernel_name="lstm",
    )(*operands.values())
    return {name: resized(axes(name), array, size) for name, array in zip(out, found, strict=False)}


class Block(NamedTuple):
    """One block of a cluster: its arrays in global memory by name, and in shared memory; its member of the ensemble, its
    rows, and its place in the cluster.
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
        from jax.experimental.pallas import mosaic_gpu as plgpu

        ref = self.refs[name].at[self.member, *at, self.rows, self._own(gate)]
        return plgpu.load(ref, layout=plgpu.Layout.WGMMA, optimized=False).astype(jnp.float32)

    def flag(self, name: str, at: Any) -> Any:
        """A flag of each row, for all units; None if it was not given."""
        from jax.experimental.pallas import mosaic_gpu as plgpu

        if name not in self.refs:
            return None
        ref = self.refs[name].at[self.member, at, self.rows]
        found = plgpu.load(ref, layout=plgpu.Layout.WGMMA.reduce(1), optimized=False)
        return jax.lax.broadcast_in_dim(found != 0, (ROWS, self.cut.units), (0,))

    def store(self, name: str, value: Any, *at: Any, gate: int = 0) -> None:
        """Write the block's part of an array at a step, if it is wanted."""
        from jax.experimental.pallas import mosaic_gpu as plgpu

        if name in self.refs:
            ref = self.refs[name].at[self.member, *at, self.rows, self._own(gate)]
            plgpu.store(ref, value.astype(ref.dtype), optimized=False)

    def product(self, values: list[Any], turn: Any) -> list[Any]:
        """The block's weights times `values` of all blocks; one array for `units` columns."""
        from jax.experimental import pallas as pl
        from jax.experimental.pallas import mosaic_gpu as plgpu

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
