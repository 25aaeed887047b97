"""Rows of a record: contenders of one case that passed the gate, timed in turns; and the matrix peak."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.core.cases import Case
from benchmarks.core.contenders.base import BACKWARD, FORWARD, STREAMING, TRAINING
from benchmarks.core.gate import Admitted
from benchmarks.core.record import ABSENT, BYTES, FAILED, SECONDS, Row
from benchmarks.core.sampling import Call, Plan, sample

PEAK_SIZE, CACHED = 2048, 2**18  # rows of a matrix; bytes of an array that fits into the second-level cache

# The products of a call, relative to a forward pass; training needs no gradient of the inputs, see `operations`.
PRODUCTS = {FORWARD: 1, BACKWARD: 3, TRAINING: 3, STREAMING: 1}


def operations(case: Case, measure: str) -> float:
    """FLOPs of the matrix products of a call."""
    return PRODUCTS[measure] * case.flops - (case.input_flops if measure == TRAINING else 0.0)


def of_case(case: Case, measure: str) -> dict[str, Any]:
    """The last arguments of `timed`, for calls of a case."""
    steps = case.steps if measure == STREAMING else 1
    return {"about": {"shape": case.shape, "flops": operations(case, measure) / steps}, "steps": steps}


def timed(
    part: str,
    name: str,
    measure: str,
    admitted: Admitted,
    plan: Plan,
    baseline: str,
    about: dict[str, Any],
    steps: int = 1,
) -> list[Row]:
    """A row for every contender, whose calls make `steps` steps; those that did not pass have the reason."""
    seconds, calls = sample({who: work.run for who, work in admitted.works.items()}, plan, steps)
    rows = []
    for who, work in admitted.works.items():
        more = {"calls": calls[who]} | ({"note": note} if (note := work.note()) else {})
        rows.append(Row(part, name, who, measure, SECONDS, seconds[who], baseline, about=about | more))
    return [*rows, *refused(part, name, measure, admitted, about)]


def refused(part: str, name: str, measure: str, admitted: Admitted, about: dict[str, Any]) -> list[Row]:
    """Rows of those that failed or are not offered."""
    reasons = {who: FAILED + why for who, why in admitted.failed.items()}
    reasons |= {who: ABSENT + why for who, why in admitted.not_offered.items()}
    return [Row(part, name, who, measure, status=why, about=about) for who, why in reasons.items()]


def limits(plan: Plan) -> list[Row]:
    """What this machine can do at all: a float32 product in either framework, and a copy within the cache."""
    source, target = np.ones(CACHED // 8), np.empty(CACHED // 8)
    rows = product("peak", "product", PEAK_SIZE, plan)
    copied, _ = sample({"numpy": lambda: np.copyto(target, source)}, plan)
    about = {"shape": f"{CACHED} {BYTES}", "flops": 2.0 * CACHED}  # bytes read and written
    return [*rows, Row("cache", "copy", "numpy", "copy", SECONDS, copied["numpy"], about=about)]


def product(part: str, case: str, size: int, plan: Plan, dtype: str = "float32", by_torch: bool = True) -> list[Row]:
    """A square matrix product, in one or both frameworks."""
    import torch

    from benchmarks.core.contenders.in_torch import device, wait

    values = np.random.default_rng(0).standard_normal((size, size), np.float32)
    in_jax, dot = jnp.asarray(values, dtype), jax.jit(jnp.dot)
    turns: dict[str, Call] = {}
    if by_torch:
        in_torch = torch.from_numpy(values).to(device=device(), dtype=getattr(torch, dtype))
        turns["torch"] = lambda: (torch.matmul(in_torch, in_torch), wait())
    turns["jax"] = lambda: dot(in_jax, in_jax).block_until_ready()
    about = {"shape": f"{size},{size},{size}", "flops": 2.0 * size**3}
    seconds, _ = sample(turns, plan)
    return [Row(part, case, who, "product", SECONDS, found, about=about) for who, found in seconds.items()]
