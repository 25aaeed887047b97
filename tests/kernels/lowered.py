"""Lowerings of the fused primitive, called as the primitive calls them: for kernels that run in an interpreter."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import oracle

from jax_lstm.kernels.fused.arrays import OUTPUTS, Signature, axes, dtype


class Case(NamedTuple):
    members: int = 1
    steps: int = 3
    batch: int = 3
    hidden_size: int = 7
    proj_size: int = 0
    bias: bool = True
    reverse: bool = False
    mask: bool = False
    resets: bool = False


def draw(case: Case, compute: Any) -> dict[str, np.ndarray]:
    """Operands and cotangents by name, with values that `compute` and the type of the state represent exactly.

    Masked inputs are NaN.
    """
    rng = np.random.default_rng(0)
    size = {"N": case.members, "T": case.steps, "B": case.batch, "I": 4, "H": case.hidden_size}
    size |= {"G": 4 * size["H"], "R": case.proj_size or size["H"]}
    names = ["xs", "weight_ih", "weight_hh", *(["bias_ih", "bias_hh"] if case.bias else [])]
    names += [*(["weight_hr"] if case.proj_size else []), "h0", "c0", "d_ys", "d_h", "d_c"]
    found = {}
    for name in names:
        shape = tuple(size[axis] for axis in axes(name))
        width = size["H"] ** -0.5 if "weight" in name else 1.0
        found[name] = np.asarray(jnp.asarray(width * rng.standard_normal(shape), dtype(name, compute)))
    if case.mask:
        found["mask"] = rng.random(found["xs"].shape[:3]) < 0.7
        found["xs"] = np.where(found["mask"][..., None], found["xs"], np.nan).astype(found["xs"].dtype)
    if case.resets:
        found["resets"] = rng.random(found["xs"].shape[:3]) < 0.3
    return found


def expected(arrays: dict[str, np.ndarray], reverse: bool) -> dict[str, np.ndarray]:
    """Outputs and gradients of every member, by the float64 oracle."""
    members = []
    for at in range(len(arrays["xs"])):
        own = {
            name: array[at] if array.dtype == bool else array[at].astype(np.float64) for name, array in arrays.items()
        }
        params = {name: own[name] for name in own if name.startswith(("weight", "bias"))}
        options: dict[str, Any] = {name: own[name] for name in ("mask", "resets") if name in own}
        ys, h, c, tapes = oracle.layer(params, own["xs"], own["h0"], own["c0"], reverse=reverse, **options)
        d_params, d_xs, d_h0, d_c0 = oracle.layer_backward(params, tapes, own["d_ys"], own["d_h"], own["d_c"])
        gradients = {f"d_{name}": value for name, value in (d_params | {"xs": d_xs, "h0": d_h0, "c0": d_c0}).items()}
        members.append({"ys": ys, "h": h, "c": c} | gradients)
    return {name: np.stack([member[name] for member in members]) for name in members[0]}


def lowered(
    run: Callable[..., Any], arrays: dict[str, Any], reverse: bool, backward: bool = True, chip: str | None = None
) -> dict[str, Any]:
    """Outputs, residuals and gradients that a lowering's `run` computes."""

    def call(arrays: dict[str, Any], wanted: tuple[str, ...]) -> dict[str, Any]:
        signature = Signature(tuple(arrays), wanted, reverse, "pallas", chip)
        found = jax.jit(lambda *operands: run(signature, *operands))(*arrays.values())
        return dict(zip(wanted, jax.block_until_ready(found), strict=True))

    cotangents = {name: array for name, array in arrays.items() if name in ("d_ys", "d_h", "d_c")}
    operands = {name: array for name, array in arrays.items() if name not in cotangents}
    outputs = call(operands, (*OUTPUTS, "gates", "cs", *(["hs"] if "mask" in arrays else [])))
    if not backward:
        return outputs
    known = {"gates": outputs["gates"], "cs": outputs["cs"], "hs": outputs.get("hs", outputs["ys"])}
    wanted = tuple(f"d_{name}" for name in operands if name not in ("mask", "resets"))
    return outputs | call(operands | known | cotangents, wanted)
