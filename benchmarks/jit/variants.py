"""The variants of `jit`: ways to write and compile one LSTM, a row each."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from benchmarks.core.cases import Case, Problem
from benchmarks.core.contenders import BASELINE
from benchmarks.core.contenders.base import BACKWARD, FORWARD, TRAINING, Contender, Runner
from benchmarks.core.contenders.in_jax import Model, runner, torch_names
from benchmarks.core.contenders.in_torch import in_torch
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
from jax_lstm.kernels import Fused, Kernel, Scan
from jax_lstm.params import LSTMParams

GRID = ("base", "steps", "hidden", "layers")
BASE = ("base",)
BOTH = (FORWARD, BACKWARD)
ALL = (*BOTH, TRAINING)


class Variant(NamedTuple):
    """A contender and the `sweeps` and `measures` that it is part of.

    `most`: the largest steps times layers of a measure, and `why`. `deep`: it needs several layers.
    """

    contender: Contender
    sweeps: tuple[str, ...] = BASE
    measures: tuple[str, ...] = BOTH
    most: Mapping[str, int] = {}
    why: str = ""
    deep: bool = False

    def refusal(self, case: Case, measure: str) -> str:
        """Why it is not measured; empty if it is."""
        most = self.most.get(measure)
        if most is not None and case.steps * case.num_layers > most:
            return f"at most {most} steps times layers: {self.why}"
        return "one layer" if self.deep and case.num_layers < 2 else self.contender.absent()


def build(
    network: Network, dtype: str = "float32", jitted: bool = True, donate: bool = False, place: Any = None
) -> Callable[[Problem], Runner]:
    """`place`: the shardings of weights and inputs, or None."""

    def of(problem: Problem) -> Runner:
        arrays = ([params for (params,) in problem.layers], problem.xs)
        arrays = jax.tree.map(lambda array: jnp.asarray(array, dtype), arrays)
        weights, xs = arrays if place is None else jax.device_put(arrays, place)

        def names(weights: Any) -> dict[str, Any]:
            return torch_names(problem, lambda layer, _: jax.tree.map(lambda a: a.astype(jnp.float32), weights[layer]))

        model = Model(weights, lambda weights, xs: (network(weights, xs), None), names, jitted=jitted, donate=donate)
        return runner(model, problem._replace(xs=xs))

    return of


def variant(about: str, network: Network, sweeps: tuple[str, ...] = BASE, **more: Any) -> Variant:
    """A row of the table; `more` are fields of `Variant`, arguments of `build`, or a `backend` that must be here."""
    options = {name: more.pop(name) for name in ("dtype", "jitted", "donate") if name in more}
    backend, dtype = more.pop("backend", ""), options.get("dtype", "float32")
    return Variant(Contender(build(network, **options), about, backend=backend, dtype=dtype), sweeps, **more)


def by_kernel(kernel: Kernel) -> Network:
    """One of our kernels, layer by layer."""

    def layer(params: LSTMParams, xs: jax.Array) -> jax.Array:
        return kernel.sequence(params, start(params, xs.shape[1]), xs)[0]

    return layer_by_layer(layer)


DISPATCHED = {FORWARD: 64, BACKWARD: 64}
UNROLLED = {FORWARD: 64, BACKWARD: 16}
LONG_COMPILE = "compiling takes minutes beyond"
LONG_RUN = "every operation is a dispatch, and a call takes seconds beyond"

VARIANTS: dict[str, Variant] = {
    BASELINE: Variant(Contender(in_torch, "torch.nn.LSTM, eager: the yardstick"), (*GRID, "precision"), ALL),
    "eager": variant(
        "op-by-op JAX, no jit anywhere",
        layer_by_layer(python_loop()), (*BASE, "steps"), jitted=False, most=DISPATCHED, why=LONG_RUN,
    ),
    "jitted cell": variant(
        "a jitted step, called from a loop in Python; its gradient by autodiff of that loop",
        layer_by_layer(python_loop(jax.jit(step))), (*BASE, "steps"), jitted=False, most=DISPATCHED, why=LONG_RUN,
    ),
    "unrolled": variant(
        "a loop in Python, traced within jit",
        layer_by_layer(python_loop()), (*BASE, "steps", "layers"), most=UNROLLED, why=LONG_COMPILE,
    ),
    "fori_loop": variant(
        "fori_loop with a number of steps that only the device knows: a `while`", layer_by_layer(fori_loop(True))
    ),
    "fori_loop, static": variant(
        "fori_loop with a number of steps known when tracing: JAX makes a scan of it", layer_by_layer(fori_loop(False))
    ),
    "scan": variant(
        "lax.scan, autodiff, inputs projected in the loop", layer_by_layer(scan()), (*GRID, "precision"), measures=ALL
    ),
    "scan, unroll=2": variant("`scan`, two steps an iteration", layer_by_layer(scan(unroll=2))),
    "scan, unroll=4": variant("`scan`, four steps an iteration", layer_by_layer(scan(unroll=4)), (*BASE, "hidden")),
    "scan, unroll=8": variant("`scan`, eight steps an iteration", layer_by_layer(scan(unroll=8)), BASE),
    "scan, hoisted": variant(
        "inputs of all steps projected before the loop, one array (T, B, 4H)",
        layer_by_layer(scan(step_of_projected, project)), (*BASE, "hidden"),
    ),
    "scan, hoisted, 4 arrays": variant(
        "`scan, hoisted` as four arrays (T, B, H), one a gate",
        layer_by_layer(scan(step_of_four, project_four)), (*BASE, "hidden")
    ),
    "scan, remat steps": variant(
        "jax.checkpoint around every step", layer_by_layer(scan(jax.checkpoint(step))), (*BASE, "steps")
    ),
    "scan, remat chunks": variant(
        "jax.checkpoint around pieces of about sqrt(T) steps", layer_by_layer(in_chunks), (*BASE, "steps")
    ),
    "scan over layers": variant(
        "layers after the first in a scan over their stacked weights", scan_over_layers, ("layers",), deep=True
    ),
    "all layers in a step": variant(
        "one scan over time whose step takes all layers", all_layers_in_a_step, ("layers",), deep=True
    ),
    "scan kernel": variant(
        "jax_lstm's `scan`: derivatives written by hand", by_kernel(Scan()), (*GRID, "precision"), measures=ALL
    ),
    "scan kernel, unroll=4": variant("`scan kernel`, four steps an iteration", by_kernel(Scan(unroll=4))),
    'scan kernel, remat="gates"': variant(
        "`scan kernel`; keeps states, computes gates again", by_kernel(Scan(remat="gates")), (*BASE, "steps")
    ),
    'scan kernel, remat="chunks"': variant(
        "`scan kernel`; keeps about sqrt(T) states", by_kernel(Scan(remat="chunks")), (*BASE, "steps")
    ),
    "native": variant(
        "jax_lstm's `native`: one call of a C++ library",
        by_kernel(Fused("native")), (*GRID, "precision"), measures=ALL, backend="native",
    ),
    "scan, bfloat16": variant(
        "`scan` on weights and inputs in bfloat16; state and sums in float32",
        layer_by_layer(scan()), ("precision",), dtype="bfloat16",
    ),
    "scan kernel, bfloat16": variant(
        "`scan kernel`, likewise", by_kernel(Scan()), ("precision",), dtype="bfloat16"
    ),
    "native, bfloat16": variant(
        "`native`, likewise", by_kernel(Fused("native")), ("precision",), dtype="bfloat16", backend="native"
    ),
} | {
    f"{name}, donated": variant(
        f"`{name}` with optax.adam, its state donated", network, ("base", "hidden"),
        measures=(TRAINING,), donate=True, backend="native" if name == "native" else "",
    )
    for name, network in {
        "scan": layer_by_layer(scan()), "scan kernel": by_kernel(Scan()), "native": by_kernel(Fused("native"))
    }.items()
}  # fmt: skip


def of_sweep(sweep: str, measure: str, without: tuple[str, ...] = ()) -> dict[str, Variant]:
    return {
        name: each
        for name, each in VARIANTS.items()
        if sweep in each.sweeps and measure in each.measures and name not in without
    }
