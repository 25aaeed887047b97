"""The fused operations on a TPU, in Pallas: one kernel for a whole sequence, whose `weight_hh` stays in VMEM.

The grid runs over ensemble members, blocks of rows, and chunks of steps, one chunk after the other; `h` and `c` stay in
VMEM from the first to the last. While a chunk is computed, the next one is copied. The products with the inputs of all
steps, and those for the gradients of weights and inputs, are large products of XLA before and after the kernel.

Nothing here has run on a TPU yet. Its numbers are tested in Pallas's interpreter, and libtpu compiles it:
docs/accelerators.md says what that proves.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

from jax_lstm.kernels.base import Call
from jax_lstm.kernels.fused.arrays import Arrays, Signature, axes, dtype, sizes
from jax_lstm.kernels.fused.gradients import gradients
from jax_lstm.kernels.masking import zero_padding

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


def refuses(call: Call) -> str:
    """Why this lowering cannot serve `call`; "" if it can."""
    if jnp.dtype(call.dtype) not in (jnp.float32, jnp.bfloat16):
        return f"it computes in float32 or bfloat16; not in {jnp.dtype(call.dtype).name}"
    if not all(isinstance(size, int) for size in (call.steps, call.batch)):
        return "it needs fixed sizes; T or B is symbolic"
    if call.chip not in (None, *VMEM):
        return f"it knows the chips {', '.join(VMEM)}; not {call.chip}"
    needed, has = plan(call).vmem, capacity(call.chip)
    chip = call.chip or f"{min(VMEM, key=lambda name: VMEM[name])}, which has the least (`chip` names another)"
    return (
        "" if needed <= has else f"it needs {needed / MIB:.1f} MiB of VMEM, and may use {has / MIB:.1f} MiB of {chip}"
    )


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
    flags = 4 * LANES * len(set(call.given) & {"mask", "resets"})
    values = 4 * (4 * 4 * hidden + 8 * (hidden + output))  # a row: gates and their gradients; states
    for most in (ROWS, ROWS // 2, ROWS // 4, ROWS // 8):
        blocks = -(-call.batch // most)
        rows = _up(-(-call.batch // blocks), SUBLANES)
        for steps in (STEPS, STEPS // 2, STEPS // 4, 1):
            steps = min(steps, call.steps)
            vmem = weights + rows * (2 * steps * (max(forward, backward) + flags) + values)
            found = Plan(rows, blocks, steps, -(-call.steps // steps), hidden, output, vmem)
            if vmem <= capacity(call.chip):
                return found
    return found


def _up(size: int, multiple: int) -> int:
    return -(-size // multiple) * multiple


def run(signature: Signature, *operands: Any) -> list[Any]:
    """The results that `signature` names: outputs and last state, with or without residuals, or gradients."""
    arrays = dict(zip(signature.operands, operands, strict=True))
    found = (_backward if "d_ys" in arrays else _forward)(arrays, signature)
    return [found[name] for name in signature.results]


def _forward(arrays: Arrays, signature: Signature) -> Arrays:
    loop = Loop(arrays, signature.chip)
    xs = loop.pad("NTBI", zero_padding(arrays["xs"], arrays.get("mask")))
    weight_ih = loop.pad("NGI", arrays["weight_ih"])
    inputs = jnp.einsum("ntbi,ngi->ntbg", xs, weight_ih, preferred_element_type=jnp.float32)
    for name in ("bias_ih", "bias_hh"):
        inputs += loop.pad("NG", arrays[name])[:, None, None] if name in arrays else 0.0
    given = {"inputs": ("NTBG", inputs)} | loop.named("h0", "c0")
    given["weight_hh"] = ("NRG", jnp.swapaxes(arrays["weight_hh"], 1, 2))
    if "weight_hr" in arrays:
        given["weight_hr"] = ("NHR", jnp.swapaxes(arrays["weight_hr"], 1, 2))
    return loop.run(_forward_step, given, ("h0", "c0"), ("h", "c"), signature.results, signature.reverse)


def _forward_step(refs: Refs, s: Any, count: int, h: Any, c: Any) -> None:
    """Step `s` of a chunk: from the state before it to the state after it, in place."""
    valid, reset = _flags(refs, s)
    before = h[...] if reset is None else jnp.where(reset, 0.0, h[...])
    x, us = before.astype(refs["weight_hh"].dtype), []
    for units in _units(c):
        columns = [slice(units.start + k * c.shape[1], units.stop + k * c.shape[1]) for k in range(4)]
        z = [refs["inputs"][s, :, gate] + _product(x, refs["weight_hh"][:, gate]) for gate in columns]
        i, f, g, o = gates = _sigmoid(z[0]), _sigmoid(z[1]), jnp.tanh(z[2]), _sigmoid(z[3])
        before_c = c[:, units] if reset is None else jnp.where(reset, 0.0, c[:, units])
        after_c = f * before_c + i * g
        us.append(o * jnp.tanh(after_c))
        c[:, units] = after_c = after_c if valid is None else jnp.where(valid, after_c, before_c)
        _store(refs, s, units, cs=after_c)
        for columns_of_gate, gate in zip(columns, gates, strict=True):
            _store(refs, s, columns_of_gate, gates=gate)
    u = jnp.concatenate(us, axis=-1)
    after_h = y = _product(u, refs["weight_hr"][...]) if "weight_hr" in refs else u
    if valid is not None:
        after_h, y = jnp.where(valid, after_h, before), jnp.where(valid, y, 0.0)
    h[...] = after_h
    _store(refs, s, slice(None), ys=y, hs=after_h)


def _backward(arrays: Arrays, signature: Signature) -> Arrays:
    loop, projected = Loop(arrays, signature.chip), "weight_hr" in arrays
    given = loop.named("gates", "cs", "d_ys", "d_h", "d_c", "weight_hh", "weight_hr")
    given["edges"] = ("NCBH", loop.edges(arrays["cs"], arrays["c0"], signature.reverse))
    results = ("d_gates", "d_h0", "d_c0", *(("d_hs",) if projected else ()))
    step = functools.partial(_backward_step, 1 if signature.reverse else -1)
    found = loop.run(step, given, ("d_h", "d_c"), ("d_h0", "d_c0"), results, not signature.reverse)
    products = functools.partial(gradients, wanted=signature.results, reverse=signature.reverse)
    return found | jax.vmap(products)(arrays, found["d_gates"], found.get("d_hs"))


def _backward_step(back: int, refs: Refs, s: Any, count: int, d_h: Any, d_c: Any) -> None:
    """Step `s` of a chunk: from the gradient of the state after it to that of the state before it, in place.

    The step before it in the forward pass is `s + back`; `edges` has the `c` before the chunk.
    """
    valid, reset = _flags(refs, s)
    before = s + back
    inside, before = (before >= 0) & (before < count), jnp.clip(before, 0, count - 1)
    d_hs = d_h[...] + refs["d_ys"][s].astype(jnp.float32)
    d_hs = d_hs if valid is None else jnp.where(valid, d_hs, 0.0)
    d_u = _product(d_hs, refs["weight_hr"][...]) if "weight_hr" in refs else d_hs
    for units in _units(d_c):
        columns = [slice(units.start + k * d_c.shape[1], units.stop + k * d_c.shape[1]) for k in range(4)]
        i, f, g, o = (refs["gates"][s, :, gate] for gate in columns)
        c = jnp.where(inside, refs["cs"][before, :, units], refs["edges"][0, :, units])
        c = c if reset is None else jnp.where(reset, 0.0, c)
        tanh_c, d_o, after = jnp.tanh(refs["cs"][s, :, units]), d_u[:, units], d_c[:, units]
        own = after + d_o * o * (1 - tanh_c * tanh_c)
        slopes = own * g * i * (1 - i), own * c * f * (1 - f), own * i * (1 - g * g), d_o * tanh_c * o * (1 - o)
        for gate, slope in zip(columns, slopes, strict=True):
            _store(refs, s, gate, d_gates=slope if valid is None else jnp.where(valid, slope, 0.0))
        own = own * f if valid is None else jnp.where(valid, own * f, after)
        d_c[:, units] = own if reset is None else jnp.where(reset, 0.0, own)
    own = _product(refs["d_gates"][s], refs["weight_hh"][...])
    own = own if valid is None else jnp.where(valid, own, d_h[...])
    d_h[...] = own if reset is None else jnp.where(reset, 0.0, own)
    _store(refs, s, slice(None), d_hs=d_hs)


def _units(c: Any) -> list[slice]:
    """The hidden units, a tile at a time: few values are then in use at once."""
    return [slice(at, at + LANES) for at in range(0, c.shape[1], LANES)]


def _flags(refs: Refs, s: Any) -> tuple[jax.Array | None, jax.Array | None]:
    """Whether step `s` counts, and whether the state is reset before it, each (B, 1); None if that is not given."""
    valid, reset = (refs[name][s] != 0 if name in refs else None for name in ("mask", "resets"))
    return valid, reset


def _sigmoid(x: jax.Array) -> jax.Array:
    return 0.5 * jnp.tanh(0.5 * x) + 0.5  # tanh is one instruction


def _product(x: jax.Array, weight: Any) -> jax.Array:
    """`x @ weight` in float32. Pallas has two precisions: what asks for more than the default is given the highest."""
    asked = jax.config.jax_default_matmul_precision  # type: ignore[attr-defined]
    default = weight.dtype == jnp.bfloat16 or asked in (None, "default", "fastest", "bfloat16", "BF16_BF16_F32")
    precision = jax.lax.Precision.DEFAULT if default else jax.lax.Precision.HIGHEST
    return jnp.dot(x.astype(weight.dtype), weight, precision=precision, preferred_element_type=jnp.float32)


def _store(refs: Refs, s: Any, columns: slice, **values: jax.Array) -> None:
    """Write `columns` of step `s` of those results that are wanted."""
    for name in values.keys() & refs.keys():
        refs[name][s, :, columns] = values[name].astype(refs[name].dtype)


class Loop:
    """A loop over the steps of a call, as a Pallas kernel on named arrays. Axes are letters, as in `arrays.def`.

    C are the chunks.
    """

    def __init__(self, arrays: Arrays, chip: str | None):
        self.arrays, self.compute = arrays, arrays["xs"].dtype
        self.size = sizes({name: array.shape for name, array in arrays.items()})
        self.size.setdefault("R", self.size["H"])
        shape = (self.size[axis] for axis in "TBIH")
        proj_size = self.size["R"] if "weight_hr" in arrays else 0
        self.plan = plan(Call("tpu", self.compute, *shape, proj_size, tuple(arrays), chip))
        padded = {"B": self.plan.rows * self.plan.blocks, "H": self.plan.hidden, "R": self.plan.output}
        self.padded = self.size | padded | {"G": 4 * self.plan.hidden, "C": self.plan.chunks}

    def named(self, *names: str) -> dict[str, tuple[str, jax.Array]]:
        """Those of the call's arrays that were given, with their axes."""
        return {name: (axes(name), self.arrays[name]) for name in names if name in self.arrays}

    def pad(self, of: str, array: jax.Array) -> jax.Array:
        """Fill an array with the axes `of` with zeros up to whole tiles."""
        return _resized(of, array, self.padded)

    def edges(self, cs: jax.Array, c0: jax.Array, reverse: bool) -> jax.Array:
        """The `c` before each chunk, (N, C, B, H), in the order in which the forward pass runs."""
        steps = self.plan.steps
        if reverse:
            return jnp.concatenate([cs[:, steps::steps], c0[:, None]], axis=1)
        return jnp.concatenate([c0[:, None], cs[:, steps - 1 : -1 : steps]], axis=1)

    def run(
        self,
        step: Callable[..., None],
        given: dict[str, tuple[str, jax.Array]],
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
        flags = {
            name: ("NTB1", self.arrays[name][..., None].astype(jnp.int32))
            for name in ("mask", "resets")
            if name in self.arrays
        }
        given = {name: (of, self.pad(of, array)) for name, (of, array) in (given | flags).items()}
        wanted = {name: axes(name) for name in dict.fromkeys((*ends, *results))}
        kernel = functools.partial(self._kernel, step, (*given, *wanted), starts, ends, reverse)
        block = functools.partial(self._block, reverse=reverse)
        found = pl.pallas_call(
            kernel,
            grid=(self.size["N"], self.plan.blocks, self.plan.chunks),
            in_specs=[block(of) for of, _ in given.values()],
            out_specs=[block(of) for of in wanted.values()],
            out_shape=[
                jax.ShapeDtypeStruct(tuple(self.padded[axis] for axis in of), self._dtype(name))
                for name, of in wanted.items()
            ],
            scratch_shapes=[pltpu.VMEM((self.plan.rows, given[name][1].shape[-1]), jnp.float32) for name in starts],
            compiler_params=pltpu.CompilerParams(
                dimension_semantics=("parallel", "parallel", "arbitrary"), vmem_limit_bytes=self.plan.vmem
            ),
            name="lstm",
        )(*(array for _, array in given.values()))
        return {name: _resized(axes(name), array, self.size) for name, array in zip(wanted, found, strict=True)}

    def _dtype(self, name: str) -> Any:
        return self.compute if name == "d_gates" else dtype(name, self.compute)

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


def _resized(of: str, array: jax.Array, to: dict[str, int]) -> jax.Array:
    """`array` with the axes `of`, cut or filled with zeros to the sizes `to`; each of the four gates on its own."""
    gates = of.find("G")
    if gates >= 0:
        array = array.reshape(*array.shape[:gates], 4, -1, *array.shape[gates + 1 :])
    letters = of.replace("G", "4H")
    shape = tuple(to.get(axis, size) for axis, size in zip(letters, array.shape, strict=True))
    array = jnp.pad(array, [(0, max(0, new - old)) for new, old in zip(shape, array.shape, strict=True)])
    array = array[tuple(slice(size) for size in shape)]
    return array.reshape(*shape[:gates], -1, *shape[gates + 2 :]) if gates >= 0 else array
