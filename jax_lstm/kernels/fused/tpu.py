"""The fused operations on a TPU, in Pallas: one kernel for a whole sequence, whose weights stay in VMEM.

`h` and `c` stay there too, from the first step to the last. The products with the inputs of all steps, and those for
the gradients of weights and inputs, are large products of XLA before and after the kernel. tpu_loop.py has the loop.

Nothing here has run on a TPU yet. Its numbers are tested in Pallas's interpreter, and libtpu compiles it:
docs/tpu.md says what that proves.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from jax_lstm.kernels.base import Call, precision_asked
from jax_lstm.kernels.fused import pallas
from jax_lstm.kernels.fused.arrays import Arrays, Signature
from jax_lstm.kernels.fused.gradients import gradients
from jax_lstm.kernels.fused.pallas import named, select, unserved
from jax_lstm.kernels.fused.tpu_loop import LANES, MIB, VMEM, Loop, Refs, capacity, plan
from jax_lstm.kernels.masking import zero_padding

ALL = slice(None)


def refuses(call: Call) -> str:
    """Why this lowering does not support `call`; "" if it does."""
    if reason := unserved(call):
        return reason
    if call.chip not in (None, *VMEM):
        return f"it knows the chips {', '.join(VMEM)}; not {call.chip}"
    needed, has = plan(call).vmem, capacity(call.chip)
    chip = call.chip or f"{min(VMEM, key=lambda name: VMEM[name])}, which has the least (`chip` names another)"
    needs = f"it needs {needed / MIB:.1f} MiB of VMEM, and may use {has / MIB:.1f} MiB of {chip}"
    return "" if needed <= has else needs


def _forward(arrays: Arrays, signature: Signature) -> Arrays:
    loop = Loop(arrays, signature.chip)
    xs = loop.pad("NTBI", zero_padding(arrays["xs"], arrays.get("mask")))
    weight_ih = loop.pad("NGI", arrays["weight_ih"])
    inputs = jnp.einsum("ntbi,ngi->ntbg", xs, weight_ih, preferred_element_type=jnp.float32)
    for name in ("bias_ih", "bias_hh"):
        inputs += loop.pad("NG", arrays[name])[:, None, None] if name in arrays else 0.0
    given = {"inputs": ("NTBG", inputs)} | named(arrays, "h0", "c0")
    given["weight_hh"] = ("NRG", jnp.swapaxes(arrays["weight_hh"], 1, 2))
    if "weight_hr" in arrays:
        given["weight_hr"] = ("NHR", jnp.swapaxes(arrays["weight_hr"], 1, 2))
    return loop.run(_forward_step, given, ("h0", "c0"), ("h", "c"), signature.results, signature.reverse)


def _forward_step(refs: Refs, s: Any, count: int, h: Any, c: Any) -> None:
    """Step `s` of a chunk: from the state before it to the state after it, in place."""
    valid, kept = _flag(refs, "mask", s), _flag(refs, "kept", s)
    before, us = select(kept, h[...], 0.0), []
    x = before.astype(refs["weight_hh"].dtype)
    for units, gates in _units(c):
        z = [refs["inputs"][s, :, gate] + _product(x, refs["weight_hh"][:, gate]) for gate in gates]
        i, f, g, o = _sigmoid(z[0]), _sigmoid(z[1]), jnp.tanh(z[2]), _sigmoid(z[3])
        before_c = select(kept, c[:, units], 0.0)
        next_c = f * before_c + i * g
        us.append(o * jnp.tanh(next_c))
        c[:, units] = next_c = select(valid, next_c, before_c)
        _store(refs, s, units, cs=next_c)
        for gate, value in zip(gates, (i, f, g, o), strict=True):
            _store(refs, s, gate, gates=value)
    u = jnp.concatenate(us, axis=-1)
    y = _product(u, refs["weight_hr"][...]) if "weight_hr" in refs else u
    h[...] = next_h = select(valid, y, before)
    _store(refs, s, ALL, ys=select(valid, y, 0.0), hs=next_h)


def _backward(arrays: Arrays, signature: Signature) -> Arrays:
    loop, projected = Loop(arrays, signature.chip), "weight_hr" in arrays
    given = named(arrays, "gates", "cs", "d_ys", "d_h", "d_c", "weight_hh", "weight_hr")
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
    valid, kept = _flag(refs, "mask", s), _flag(refs, "kept", s)
    inside = (s + back >= 0) & (s + back < count)
    before = jnp.clip(s + back, 0, count - 1)
    d_hs = select(valid, d_h[...] + refs["d_ys"][s].astype(jnp.float32), 0.0)
    d_us = _product(d_hs, refs["weight_hr"][...]) if "weight_hr" in refs else d_hs
    for units, gates in _units(d_c):
        i, f, g, o = (refs["gates"][s, :, gate] for gate in gates)
        c = jnp.where(inside, refs["cs"][before, :, units], refs["edges"][0, :, units])
        c, tanh_c, d_u = select(kept, c, 0.0), jnp.tanh(refs["cs"][s, :, units]), d_us[:, units]
        d_cs = d_c[:, units] + d_u * o * (1 - tanh_c * tanh_c)
        d_gates = d_cs * g * i * (1 - i), d_cs * c * f * (1 - f), d_cs * i * (1 - g * g), d_u * tanh_c * o * (1 - o)
        for gate, value in zip(gates, d_gates, strict=True):
            _store(refs, s, gate, d_gates=select(valid, value, 0.0))
        d_c[:, units] = select(kept, select(valid, d_cs * f, d_c[:, units]), 0.0)
    d_before = _product(refs["d_gates"][s], refs["weight_hh"][...])
    d_h[...] = select(kept, select(valid, d_before, d_h[...]), 0.0)
    _store(refs, s, ALL, d_hs=d_hs)


def _units(c: Any) -> list[tuple[slice, list[slice]]]:
    """The hidden units, a tile at a time, so that few values are in use at once; and their columns of the gates."""
    tiles = [slice(at, at + LANES) for at in range(0, c.shape[1], LANES)]
    return [
        (own, [slice(own.start + at, own.stop + at) for at in range(0, 4 * c.shape[1], c.shape[1])]) for own in tiles
    ]


def _flag(refs: Refs, name: str, s: Any) -> jax.Array | None:
    """The flag `name` at step `s`, (B, 1): "mask", or "kept", where there is no reset. None if it is not given."""
    return refs[name][s] != 0 if name in refs else None


def _sigmoid(x: jax.Array) -> jax.Array:
    return 0.5 * jnp.tanh(0.5 * x) + 0.5  # tanh is one instruction


def _product(x: jax.Array, weight: Any) -> jax.Array:
    """`x @ weight` in float32. Pallas has two precisions: what asks for more than the default is given the highest."""
    asked = precision_asked()
    default = weight.dtype == jnp.bfloat16 or asked in (None, "default", "fastest", "bfloat16", "BF16_BF16_F32")
    precision = jax.lax.Precision.DEFAULT if default else jax.lax.Precision.HIGHEST
    return jnp.dot(x.astype(weight.dtype), weight, precision=precision, preferred_element_type=jnp.float32)


def _store(refs: Refs, s: Any, columns: slice, **values: jax.Array) -> None:
    """Write `columns` of step `s` of those results that are wanted."""
    for name in values.keys() & refs.keys():
        refs[name][s, :, columns] = values[name].astype(refs[name].dtype)


run = functools.partial(pallas.run, _forward, _backward)
