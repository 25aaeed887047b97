"""The fused operations on a TPU, in Pallas: one kernel for a whole sequence, whose weights stay in VMEM.

`h` and `c` stay there too, from the first step to the last. The products with the inputs of all steps, and those for
the gradients of weights and inputs, are large products of XLA before and after the kernel. tpu_loop.py has the loop.

Nothing here has run on a TPU yet. Its numbers are tested in Pallas's interpreter, and libtpu compiles it:
docs/accelerators.md says what that proves.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from jax_lstm.kernels.base import Call
from jax_lstm.kernels.fused.arrays import Arrays, Signature
from jax_lstm.kernels.fused.gradients import gradients
from jax_lstm.kernels.fused.tpu_loop import LANES, MIB, VMEM, Loop, Refs, capacity, plan
from jax_lstm.kernels.masking import zero_padding


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
