"""The variants of `jit`: ways to write and compile one LSTM."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jax

from benchmarks.contenders import Contender
from benchmarks.jit.networks import (
    Network,
    all_layers_in_a_step,
    fori_loop,
    in_chunks,
    layer_by_layer,
    project,
    project_four,
    python_loop,
    scan,
    scan_over_layers,
    start,
    step,
    step_of_four,
    step_of_projected,
)
from benchmarks.jit.programs import BOTH, FORWARD, Program, in_jax, in_torch
from benchmarks.jit.sizes import Size
from jax_lstm.kernels import Fused, Kernel, Scan
from jax_lstm.params import LSTMParams

YARDSTICK = "torch"
GRID = ("base", "steps", "hidden", "layers")
BASE = ("base",)


@dataclass(frozen=True)
class Variant:
    """`network` None is PyTorch. Without `jitted` it runs operation by operation.

    `most`: the largest steps times layers of a measure, and `why`. `deep`: it needs several layers.
    """

    about: str
    network: Network | None
    sweeps: tuple[str, ...] = BASE
    jitted: bool = True
    dtype: str = "float32"
    backend: str = ""
    most: Mapping[str, int] = field(default_factory=dict)
    why: str = ""
    deep: bool = False

    def program(self, size: Size, measure: str) -> Program:
        if self.network is None:
            return in_torch(size, measure)
        return in_jax(self.network, size, measure, self.jitted, self.dtype)

    def refusal(self, size: Size, measure: str) -> str:
        """Why it is not measured; empty if it is."""
        most = self.most.get(measure)
        if most is not None and size.steps * size.layers > most:
            return f"at most {most} steps times layers: {self.why}"
        if self.deep and size.layers < 2:
            return "one layer"
        return Contender(lambda problem: None, "", backend=self.backend).absent() if self.backend else ""  # type: ignore[arg-type, return-value]


def by_kernel(kernel: Kernel) -> Network:
    """One of our kernels, layer by layer."""

    def layer(params: LSTMParams, xs: jax.Array) -> jax.Array:
        return kernel.sequence(params, start(params, xs.shape[1]), xs)[0]

    return layer_by_layer(layer)


def hoisted(steps: Any, before: Any) -> Network:
    return layer_by_layer(scan(steps, before))


DISPATCHED = {FORWARD: 64, BOTH: 64}
UNROLLED = {FORWARD: 64, BOTH: 16}
LONG_COMPILE = "compiling takes minutes beyond"
LONG_RUN = "every operation is a dispatch, and a call takes seconds beyond"

VARIANTS: dict[str, Variant] = {
    "torch": Variant("torch.nn.LSTM, eager: the yardstick", None, (*GRID, "precision")),
    "eager": Variant(
        "op-by-op JAX, no jit anywhere",
        layer_by_layer(python_loop()), (*BASE, "steps"), jitted=False, most=DISPATCHED, why=LONG_RUN,
    ),
    "jitted cell": Variant(
        "a jitted step, called from a loop in Python; its gradient by autodiff of that loop",
        layer_by_layer(python_loop(jax.jit(step))), (*BASE, "steps"), jitted=False, most=DISPATCHED, why=LONG_RUN,
    ),
    "unrolled": Variant(
        "a loop in Python, traced within jit",
        layer_by_layer(python_loop()), (*BASE, "steps", "layers"), most=UNROLLED, why=LONG_COMPILE,
    ),
    "fori_loop": Variant(
        "fori_loop with a number of steps that only the device knows: a `while`", layer_by_layer(fori_loop(True))
    ),
    "fori_loop, static": Variant(
        "fori_loop with a number of steps known when tracing: JAX makes a scan of it", layer_by_layer(fori_loop(False))
    ),
    "scan": Variant("lax.scan, autodiff, inputs projected in the loop", layer_by_layer(scan()), (*GRID, "precision")),
    "scan, unroll=2": Variant("`scan`, two steps an iteration", layer_by_layer(scan(unroll=2))),
    "scan, unroll=4": Variant("`scan`, four steps an iteration", layer_by_layer(scan(unroll=4)), (*BASE, "hidden")),
    "scan, unroll=8": Variant("`scan`, eight steps an iteration", layer_by_layer(scan(unroll=8)), BASE),
    "scan, hoisted": Variant(
        "inputs of all steps projected before the loop, one array (T, B, 4H)",
        hoisted(step_of_projected, project), (*BASE, "hidden"),
    ),
    "scan, hoisted, 4 arrays": Variant(
        "`scan, hoisted` as four arrays (T, B, H), one a gate",
        hoisted(step_of_four, project_four), (*BASE, "hidden")
    ),
    "scan, remat steps": Variant(
        "jax.checkpoint around every step", layer_by_layer(scan(jax.checkpoint(step))), (*BASE, "steps")
    ),
    "scan, remat chunks": Variant(
        "jax.checkpoint around pieces of about sqrt(T) steps", layer_by_layer(in_chunks), (*BASE, "steps")
    ),
    "scan over layers": Variant(
        "layers after the first in a scan over their stacked weights", scan_over_layers, ("layers",), deep=True
    ),
    "all layers in a step": Variant(
        "one scan over time whose step takes all layers", all_layers_in_a_step, ("layers",), deep=True
    ),
    "scan kernel": Variant(
        "jax_lstm's `scan`: derivatives written by hand", by_kernel(Scan()), (*GRID, "precision")
    ),
    "scan kernel, unroll=4": Variant("`scan kernel`, four steps an iteration", by_kernel(Scan(unroll=4))),
    'scan kernel, remat="gates"': Variant(
        "`scan kernel`; keeps states, computes gates again", by_kernel(Scan(remat="gates")), (*BASE, "steps")
    ),
    'scan kernel, remat="chunks"': Variant(
        "`scan kernel`; keeps about sqrt(T) states", by_kernel(Scan(remat="chunks")), (*BASE, "steps")
    ),
    "native": Variant(
        "jax_lstm's `native`: one call of a C++ library",
        by_kernel(Fused("native")), (*GRID, "precision"), backend="native",
    ),
    "scan, bfloat16": Variant(
        "`scan` on weights and inputs in bfloat16; state and sums in float32",
        layer_by_layer(scan()), ("precision",), dtype="bfloat16",
    ),
    "scan kernel, bfloat16": Variant(
        "`scan kernel`, likewise", by_kernel(Scan()), ("precision",), dtype="bfloat16"
    ),
    "native, bfloat16": Variant(
        "`native`, likewise", by_kernel(Fused("native")), ("precision",), dtype="bfloat16", backend="native"
    ),
}  # fmt: skip


def of_sweep(sweep: str, without: tuple[str, ...] = ()) -> dict[str, Variant]:
    return {name: row for name, row in VARIANTS.items() if sweep in row.sweeps and name not in without}
