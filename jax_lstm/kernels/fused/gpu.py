"""Lowering of the fused operations for NVIDIA Hopper: a whole sequence in one kernel, in Pallas on Mosaic GPU.

A cluster of `BLOCKS` blocks runs `ROWS` rows. Each block owns a slice of the hidden units, keeps their part of
`weight_hh` in shared memory for all steps, and carries their state in registers. At every step it writes its slice to
global memory, waits for the others at a barrier of the cluster, and multiplies what all have written, chunk by chunk,
by its weights. Forward, that is h; backward, the gradients of the gates. Products that do not depend on the step before
are left to XLA: the projection of the inputs, and all gradients of weights and inputs.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jax_lstm.kernels.base import Call
from jax_lstm.kernels.fused.arrays import Arrays, Signature, results
from jax_lstm.kernels.fused.gradients import gradients
from jax_lstm.kernels.masking import zero_padding

BLOCKS = 8  # of a cluster: as many as every Hopper GPU can place
ROWS = 64  # of a cluster: the rows of one instruction of the tensor cores
SHARED_MEMORY = 227 * 1024  # bytes of a block, of which barriers take less than the last
BARRIERS = 1024


class Plan(NamedTuple):
    """How a layer is laid out: padded `hidden` units, `units` of a block, `chunk` columns of a product, of which `slots` are in
    shared memory at once."""

    hidden: int
    units: int
    chunk: int
    slots: int
    bytes: int

    @classmethod
    def of(cls, hidden_size: int, dtype: Any) -> "Plan":
        item = jnp.dtype(dtype).itemsize
        hidden = -(-hidden_size // 64) * 64  # 8 units of each block, and whole chunks
        units, chunk = hidden // BLOCKS, 128 // item  # the widest row that shared memory is swizzled in
        fixed = 4 * hidden * units * item + ROWS * units * item + BARRIERS
        slot = ROWS * chunk * item
        return cls(hidden, units, chunk, min((SHARED_MEMORY - fixed) // slot, 16), fixed + 2 * slot)


def run(call: Signature, *operands: Any) -> list[Any]:
    """The results that `call` names: outputs and last state, with or without residuals, or gradients."""
    arrays = dict(zip(call.operands, operands, strict=True))
    types = results(call.results, arrays)
    function = _backward if "d_ys" in arrays else _forward
    found = function(arrays, call.results, call.reverse)
    return [found[name].astype(at.dtype) for name, at in types.items()]


def _forward(arrays: Arrays, wanted: tuple[str, ...], reverse: bool) -> Arrays:
    xs = zero_padding(arrays["xs"], arrays.get("mask"))
    members, steps, batch, _ = xs.shape
    size = arrays["weight_hh"].shape[-1]
    plan = Plan.of(size, xs.dtype)
    weight_ih, weight_hh = (_by_block(arrays[name], plan) for name in ("weight_ih", "weight_hh"))
    weight_hh = _pad(weight_hh, 2, plan.hidden)
    biases = sum(_by_block(arrays[name], plan) for name in ("bias_ih", "bias_hh") if name in arrays)
    rows = functools.partial(_pad, axis=-2, to=-(-batch // ROWS) * ROWS)
    units = functools.partial(_pad, axis=-1, to=plan.hidden)
    dot = functools.partial(jnp.einsum, preferred_element_type=jnp.float32)
    xw = dot("ntbi,ngi->ntbg", rows(xs), weight_ih) + jnp.reshape(biases, (-1, 1, 1, 4 * plan.hidden))
    h0, c0 = rows(units(arrays["h0"])), rows(units(arrays["c0"]))
    hw = dot("nbh,ngh->nbg", h0.astype(xs.dtype), weight_hh)
    weight = _chunks(weight_hh.reshape(members, BLOCKS, 4 * plan.units, plan.hidden), plan)
    given = {"xw": xw, "hw": hw, "h0": h0, "c0": c0, "weight": weight}
    given |= {name: _flag(arrays[name], rows) for name in ("mask", "resets") if name in arrays}
    names = {"hs": xs.dtype, "h": c0.dtype, "c": c0.dtype}
    if "mask" in arrays:
        names["ys"] = xs.dtype
    if "gates" in wanted:
        names |= {"gates": c0.dtype, "cs": c0.dtype}
    leading = {name: (members,) if name in "hc" else (members, steps) for name in names}
    width = {name: 4 * plan.hidden if name == "gates" else plan.hidden for name in names}
    out = {
        name: jax.ShapeDtypeStruct((*leading[name], c0.shape[1], width[name]), dtype) for name, dtype in names.items()
    }
    found = _kernel(_forward_steps, plan, given, out, steps, reverse)
    found.setdefault("ys", found["hs"])
    gates = found.pop("gates", None)
    found = {name: array[..., :batch, :size] for name, array in found.items()}
    if gates is not None:
        gates = gates.reshape(*gates.shape[:-1], 4, plan.hidden)[..., :batch, :, :size]
        found["gates"] = gates.reshape(*gates.shape[:-2], 4 * size)
    return found


def _forward_steps(refs: Any, scratch: Any, plan: Plan, n: Any, rows: Any, block: Any, times: Any) -> None:
    from jax.experimental import pallas as pl
    from jax.experimental.pallas import mosaic_gpu as plgpu

    steps, reverse = times
    own = pl.ds(block * plan.units, plan.units)
    load, store = _access()
    each = functools.partial(plgpu.load, layout=plgpu.Layout.WGMMA, optimized=False)

    def step(t: Any, carry: Any) -> Any:
        hw, h, c = carry
        at = steps - 1 - t if reverse else t
        if "resets" in refs:
            reset = load(refs["resets"].at[n, at, rows], plan.units)
            h, c = jnp.where(reset, 0, h), jnp.where(reset, 0, c)

        def gate(k: int) -> Any:
            columns = pl.ds((4 * block + k) * plan.units, plan.units)
            own = hw[:, k * plan.units : (k + 1) * plan.units]
            own = jnp.where(reset, 0, own) if "resets" in refs else own
            return own + each(refs["xw"].at[n, at, rows, columns])

        i, f, g, o = _sigmoid(gate(0)), _sigmoid(gate(1)), _tanh(gate(2)), _sigmoid(gate(3))
        c_next = f * c + i * g
        h_next = o * _tanh(c_next)
        if "gates" in refs:
            for k, gate in enumerate((i, f, g, o)):
                columns = pl.ds(k * plan.hidden + block * plan.units, plan.units)
                store(refs["gates"].at[n, at, rows, columns], gate)
        if "mask" in refs:
            valid = load(refs["mask"].at[n, at, rows], plan.units)
            c_next, h_next = jnp.where(valid, c_next, c), jnp.where(valid, h_next, h)
            store(refs["ys"].at[n, at, rows, own], jnp.where(valid, h_next, 0).astype(refs["ys"].dtype))
        if "cs" in refs:
            store(refs["cs"].at[n, at, rows, own], c_next)
        scratch["own"][...] = h_next.astype(scratch["own"].dtype)
        plgpu.commit_smem()
        plgpu.copy_smem_to_gmem(scratch["own"], refs["hs"].at[n, at, rows, own])
        plgpu.wait_smem_to_gmem(0)
        plgpu.barrier_arrive(scratch["together"])
        plgpu.barrier_wait(scratch["together"])
        return _product(refs["hs"].at[n, at, rows], scratch, plan.hidden // plan.chunk, plan), h_next, c_next

    hw = each(refs["hw"].at[n, rows, pl.ds(block * 4 * plan.units, 4 * plan.units)])
    carry = hw, each(refs["h0"].at[n, rows, own]), each(refs["c0"].at[n, rows, own])
    _, h, c = jax.lax.fori_loop(0, steps, step, carry)
    store(refs["h"].at[n, rows, own], h)
    store(refs["c"].at[n, rows, own], c)


def _backward(arrays: Arrays, wanted: tuple[str, ...], reverse: bool) -> Arrays:
    members, steps, batch, size = arrays["cs"].shape
    plan = Plan.of(size, arrays["xs"].dtype)
    rows = functools.partial(_pad, axis=-2, to=-(-batch // ROWS) * ROWS)
    units = functools.partial(_pad, axis=-1, to=plan.hidden)
    given = {name: rows(units(arrays[name])) for name in ("cs", "c0", "d_ys", "d_h", "d_c")}
    gates = units(arrays["gates"].reshape(members, steps, batch, 4, size))
    given["gates"] = rows(gates.reshape(members, steps, batch, 4 * plan.hidden))
    given |= {name: _flag(arrays[name], rows) for name in ("mask", "resets") if name in arrays}
    weight = units(_pad(arrays["weight_hh"].reshape(members, 4, size, size), 2, plan.hidden))
    columns = jnp.swapaxes(weight.reshape(members, 4 * plan.hidden, plan.hidden), 1, 2)
    given["weight"] = _chunks(columns.reshape(members, BLOCKS, plan.units, 4 * plan.hidden), plan)
    types = {"d_gates": arrays["xs"].dtype, "d_h0": arrays["c0"].dtype, "d_c0": arrays["c0"].dtype}
    found = _kernel(
        _backward_steps,
        plan,
        given,
        {
            name: jax.ShapeDtypeStruct(given["gates" if name == "d_gates" else "c0"].shape, dtype)
            for name, dtype in types.items()
        },
        steps,
        reverse,
    )
    d_gates = found.pop("d_gates").reshape(members, steps, -1, 4, plan.hidden)[:, :, :batch, :, :size]
    found = {name: array[:, :batch, :size] for name, array in found.items()}
    return found | gradients(arrays, d_gates.reshape(members, steps, batch, 4 * size), wanted, reverse)


def _backward_steps(refs: Any, scratch: Any, plan: Plan, n: Any, rows: Any, block: Any, times: Any) -> None:
    from jax.experimental import pallas as pl
    from jax.experimental.pallas import mosaic_gpu as plgpu

    steps, reverse = times
    own = pl.ds(block * plan.units, plan.units)
    load, store = _access()
    each = functools.partial(plgpu.load, layout=plgpu.Layout.WGMMA, optimized=False)

    def step(t: Any, carry: Any) -> Any:
        d_h, d_c = carry
        at = t if reverse else steps - 1 - t
        i, f, g, o = (
            each(refs["gates"].at[n, at, rows, pl.ds(k * plan.hidden + block * plan.units, plan.units)])
            for k in range(4)
        )
        before = jnp.minimum(at + 1, steps - 1) if reverse else jnp.maximum(at - 1, 0)
        c = jax.lax.cond(
            t == steps - 1,
            lambda: each(refs["c0"].at[n, rows, own]),
            lambda: each(refs["cs"].at[n, before, rows, own]),
        )
        if "resets" in refs:
            reset = load(refs["resets"].at[n, at, rows], plan.units)
            c = jnp.where(reset, 0, c)
        shown = _tanh(f * c + i * g)
        d_y = d_h + each(refs["d_ys"].at[n, at, rows, own]).astype(jnp.float32)
        d_state = d_c + d_y * o * (1 - shown * shown)
        d_gates = [
            d_state * g * i * (1 - i),
            d_state * c * f * (1 - f),
            d_state * i * (1 - g * g),
            d_y * shown * o * (1 - o),
        ]
        d_state = d_state * f
        held = None
        if "mask" in refs:
            valid = load(refs["mask"].at[n, at, rows], plan.units)
            d_gates = [jnp.where(valid, d_gate, 0) for d_gate in d_gates]
            d_state, held = jnp.where(valid, d_state, d_c), jnp.where(valid, 0, d_h)
        for k, d_gate in enumerate(d_gates):
            columns = pl.ds(k * plan.hidden + block * plan.units, plan.units)
            plgpu.wait_smem_to_gmem(0, wait_read_only=True)
            scratch["own"][...] = d_gate.astype(scratch["own"].dtype)
            plgpu.commit_smem()
            plgpu.copy_smem_to_gmem(scratch["own"], refs["d_gates"].at[n, at, rows, columns])
        plgpu.wait_smem_to_gmem(0)
        plgpu.barrier_arrive(scratch["together"])
        plgpu.barrier_wait(scratch["together"])
        d_h = _product(refs["d_gates"].at[n, at, rows], scratch, 4 * plan.hidden // plan.chunk, plan)
        d_h = d_h if held is None else d_h + held
        if "resets" in refs:
            d_h, d_state = jnp.where(reset, 0, d_h), jnp.where(reset, 0, d_state)
        return d_h, d_state

    carry = tuple(each(refs[name].at[n, rows, own]) for name in ("d_h", "d_c"))
    d_h, d_c = jax.lax.fori_loop(0, steps, step, carry)
    store(refs["d_h0"].at[n, rows, own], d_h)
    store(refs["d_c0"].at[n, rows, own], d_c)


def _product(written: Any, scratch: Any, chunks: int, plan: Plan) -> Any:
    """The product of what all blocks have `written` with this block's weights."""
    from jax.experimental import pallas as pl
    from jax.experimental.pallas import mosaic_gpu as plgpu

    def fetch(k: Any) -> None:
        slot, columns = k % plan.slots, pl.ds(k * plan.chunk, plan.chunk)
        plgpu.copy_gmem_to_smem(written.at[:, columns], scratch["ring"].at[slot], scratch["full"].at[slot])

    def accumulate(sums: Any) -> Any:
        def add(k: Any, _: None) -> None:
            slot = k % plan.slots
            plgpu.barrier_wait(scratch["full"].at[slot])
            plgpu.wgmma(sums, scratch["ring"].at[slot], scratch["weight"].at[k].T)
            if chunks > plan.slots:
                plgpu.wgmma_wait(1)  # the chunk before is done, and its slot free
                pl.when((0 < k) & (k <= chunks - plan.slots))(lambda: fetch(k - 1 + plan.slots))

        jax.lax.fori_loop(0, chunks, add, None)
        return sums[...]

    for k in range(min(chunks, plan.slots)):
        fetch(k)
    return pl.run_scoped(accumulate, plgpu.ACC((ROWS, scratch["weight"].shape[1]), jnp.float32))


def _kernel(body: Callable[..., None], plan: Plan, given: Arrays, out: Any, steps: int, reverse: bool) -> Arrays:
    from jax.experimental import pallas as pl
    from jax.experimental.pallas import mosaic_gpu as plgpu

    members, chunks, width = given["weight"].shape[0], *given["weight"].shape[2:4]
    dtype = given["weight"].dtype
    tiles = given["c0"].shape[1] // ROWS
    swizzled = plgpu.TilingTransform((8, plan.chunk)), plgpu.SwizzleTransform(128)
    scratch = {
        "weight": plgpu.SMEM((chunks, width, plan.chunk), dtype, transforms=swizzled),
        "ring": plgpu.SMEM((plan.slots, ROWS, plan.chunk), dtype, transforms=swizzled),
        "own": plgpu.SMEM((ROWS, plan.units), dtype),
        "full": plgpu.Barrier(num_barriers=plan.slots),
        "loaded": plgpu.Barrier(),
        "together": plgpu.ClusterBarrier(collective_axes=("block",)),
    }

    def kernel(*refs: Any, **scratch: Any) -> None:
        named = dict(zip((*given, *out), refs, strict=True))
        tile, block = jax.lax.axis_index("tile"), jax.lax.axis_index("block")
        n, rows = tile // tiles, pl.ds(tile % tiles * ROWS, ROWS)
        plgpu.copy_gmem_to_smem(named["weight"].at[n, block], scratch["weight"], scratch["loaded"])
        plgpu.barrier_wait(scratch["loaded"])
        body(named, scratch, plan, n, rows, block, (steps, reverse))

    found = plgpu.kernel(
        kernel,
        out_type=tuple(out.values()),
        scratch_types=scratch,
        grid=(members * tiles,),
        grid_names=("tile",),
        cluster=(BLOCKS,),
        cluster_names=("block",),
    )(*given.values())
    return dict(zip(out, found, strict=True))


def _access() -> Any:
    from jax.experimental.pallas import mosaic_gpu as plgpu

    def flags(ref: Any, units: int) -> Any:
        found = plgpu.load(ref, layout=plgpu.Layout.WGMMA.reduce(1), optimized=False)
        return jax.lax.broadcast_in_dim(found > 0, (ROWS, units), (0,))

    return flags, functools.partial(plgpu.store, optimized=False)


def _sigmoid(z: Any) -> Any:
    return 1 / (1 + jnp.exp(-z))


def _tanh(z: Any) -> Any:
    return 2 * _sigmoid(2 * z) - 1


def _pad(array: Any, axis: int, to: int) -> Any:
    """The array with zeros behind it up to the size `to` along `axis`."""
    more = [(0, 0)] * array.ndim
    more[axis] = (0, to - array.shape[axis])
    return jnp.pad(array, more)


def _flag(flag: Any, rows: Callable[..., Any]) -> Any:
    return rows(flag[..., None].astype(jnp.float32))[..., 0]


def _by_block(array: Any, plan: Plan) -> Any:
    """(N, 4H, ...) in the order of PyTorch to (N, 4H, ...) in the order block, gate, unit of the block; padded."""
    members, gates, *others = array.shape
    padded = _pad(array.reshape(members, 4, gates // 4, *others), 2, plan.hidden)
    split = padded.reshape(members, 4, BLOCKS, plan.units, *others)
    return jnp.swapaxes(split, 1, 2).reshape(members, 4 * plan.hidden, *others)


def _chunks(weights: Any, plan: Plan) -> Any:
    """(N, blocks, columns, K) to (N, blocks, chunks of K, columns, chunk)."""
    members, blocks, columns, _ = weights.shape
    return jnp.swapaxes(weights.reshape(members, blocks, columns, -1, plan.chunk), 2, 3)
