"""The fused operations on NVIDIA Hopper, in Pallas on Mosaic GPU: one kernel for a whole sequence.

A cluster of blocks runs 64 rows. Each block keeps the part of `weight_hh` for its slice of the hidden units in shared
memory, and their state in registers. At every step the blocks exchange their slices (forward those of `h`, backward
the gradients of the gates) through global memory, wait at one barrier of the cluster, and multiply what all of them
wrote by their own weights, in the tensor cores. The products with the inputs of all steps, and those for the gradients
of weights and inputs, are large products of XLA before and after the kernel.

In bfloat16, products take bfloat16. In float32, they take TF32, as XLA's do, or, where a `jax.default_matmul_precision`
of float32 is asked for, the sum of three TF32 products, which is as exact as float32. Sums and states are in float32.

Nothing here has run on a GPU yet. Its numbers are tested in Pallas's interpreter, and XLA and Mosaic compile it for an
H100: docs/gpu.md says what that proves.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from jax_lstm.kernels.base import Call
from jax_lstm.kernels.fused import pallas
from jax_lstm.kernels.fused.arrays import Arrays, Signature
from jax_lstm.kernels.fused.gpu_cluster import KIB, SHARED_MEMORY, Block, on_clusters, plan
from jax_lstm.kernels.fused.gradients import gradients
from jax_lstm.kernels.fused.pallas import named, resized, select, unserved
from jax_lstm.kernels.masking import zero_padding

NEEDS = (0, 12)  # version of JAX: Mosaic GPU of older ones cannot store from registers to global memory
CHIPS = ("h100", "h200")  # Hopper, compute capability 9


def refuses(call: Call) -> str:
    """Why this lowering does not support `call`; "" if it does."""
    if jax.__version_info__ < NEEDS:
        return f"it needs JAX {'.'.join(map(str, NEEDS))} or later; this is {jax.__version__}"
    if reason := unserved(call):
        return reason
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


def _forward(arrays: Arrays, signature: Signature) -> Arrays:
    cut = plan(arrays["weight_hh"].shape[-1], arrays["xs"].dtype)
    dot = functools.partial(jnp.einsum, preferred_element_type=jnp.float32)
    inputs = dot("ntbi,ngi->ntbg", zero_padding(arrays["xs"], arrays.get("mask")), arrays["weight_ih"])
    for name in ("bias_ih", "bias_hh"):
        inputs += arrays[name][:, None, None] if name in arrays else 0.0
    sums = dot("nbr,ngr->nbg", arrays["h0"].astype(arrays["xs"].dtype), arrays["weight_hh"])
    given = {"inputs": ("NTBG", inputs), "sums": ("NBG", sums)} | named(arrays, "h0", "c0")
    weight = resized("NGR", arrays["weight_hh"], {"H": cut.hidden, "R": cut.hidden})
    weight = weight.reshape(-1, 4, cut.blocks, cut.units, cut.hidden // cut.chunk, cut.chunk)
    weight = weight.transpose(0, 2, 4, 1, 3, 5)  # axes N, block, chunk, gate, unit, column
    return on_clusters(_forward_steps, given, arrays, weight, ("h", "c", *signature.results), signature.reverse, cut)


def _forward_steps(block: Block, steps: int, reverse: bool) -> None:
    """From `h0` and `c0` to `h` and `c`; `sums` is the product of the weights with the state before a step."""

    def step(turn: Any, carry: Any) -> Any:
        at = steps - 1 - turn if reverse else turn
        kept, valid = block.flag("kept", at), block.flag("mask", at)
        *sums, h, c = (select(kept, part, 0.0) for part in carry)
        z = [part + block.load("inputs", at, gate=gate) for gate, part in enumerate(sums)]
        i, f, g, o = gates = _sigmoid(z[0]), _sigmoid(z[1]), _tanh(z[2]), _sigmoid(z[3])
        next_c = f * c + i * g
        next_h = o * _tanh(next_c)
        block.store("ys", select(valid, next_h, 0.0), at)
        next_h, next_c = select(valid, next_h, h), select(valid, next_c, c)
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
    given = named(arrays, "gates", "cs", "c0", "d_ys", "d_h", "d_c")
    weight = resized("NGR", arrays["weight_hh"], {"H": cut.hidden, "R": cut.hidden})
    weight = weight.reshape(-1, 4 * cut.hidden // cut.chunk, cut.chunk, cut.blocks, cut.units)
    weight = weight.transpose(0, 3, 1, 4, 2)  # axes N, block, chunk, unit, column
    wanted = ("d_gates", "d_h0", "d_c0")
    found = on_clusters(_backward_steps, given, arrays, weight, wanted, signature.reverse, cut)
    products = functools.partial(gradients, d_hs=None, wanted=signature.results, reverse=signature.reverse)
    return found | jax.vmap(products)(arrays, found["d_gates"])


def _backward_steps(block: Block, steps: int, reverse: bool) -> None:
    """From `d_h` and `d_c` to `d_h0` and `d_c0`."""

    def step(turn: Any, carry: Any) -> Any:
        d_h, d_c = carry
        at, before = (turn, turn + 1) if reverse else (steps - 1 - turn, steps - 2 - turn)
        kept, valid = block.flag("kept", at), block.flag("mask", at)
        i, f, g, o = (block.load("gates", at, gate=gate) for gate in range(4))
        c = jax.lax.cond(turn == steps - 1, lambda: block.load("c0"), lambda: block.load("cs", before))
        c = select(kept, c, 0.0)
        tanh_c = _tanh(f * c + i * g)
        d_hs = d_h + block.load("d_ys", at)
        d_cs = d_c + d_hs * o * (1 - tanh_c * tanh_c)
        d_gates = d_cs * g * i * (1 - i), d_cs * c * f * (1 - f), d_cs * i * (1 - g * g), d_hs * tanh_c * o * (1 - o)
        d_gates = [select(valid, part, 0.0) for part in d_gates]
        for gate, value in enumerate(d_gates):
            block.store("d_gates", value, at, gate=gate)
        held = 0.0 if valid is None else jnp.where(valid, 0.0, d_h)
        d_c = select(valid, d_cs * f, d_c)
        d_h = block.product(d_gates, turn)[0] + held
        return select(kept, d_h, 0.0), select(kept, d_c, 0.0)

    d_h, d_c = jax.lax.fori_loop(0, steps, step, (block.load("d_h"), block.load("d_c")))
    block.store("d_h0", d_h)
    block.store("d_c0", d_c)


def _sigmoid(x: Any) -> Any:
    return 1 / (1 + jnp.exp(-x))


def _tanh(x: Any) -> Any:
    return 2 * _sigmoid(2 * x) - 1


run = functools.partial(pallas.run, _forward, _backward)
