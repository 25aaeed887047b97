"""Timed rows of a record: interleaved samples of the works that passed the gate."""

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.cases import Case
from benchmarks.contenders.base import BACKWARD, FORWARD, STREAMING, TRAINING
from benchmarks.gate import Admitted
from benchmarks.sampling import Call, Plan, Timed, sample

PEAK_SIZE = 2048

# The products of a call, relative to a forward pass; training needs no gradient of the inputs, see `operations`.
PRODUCTS = {FORWARD: 1, BACKWARD: 3, TRAINING: 3, STREAMING: 1}


def operations(case: Case, measure: str) -> float:
    """FLOPs of the matrix products of a call."""
    return PRODUCTS[measure] * case.flops - (case.input_flops if measure == TRAINING else 0.0)


def timed(section: str, name: str, case: Case, measure: str, admitted: Admitted, plan: Plan, baseline: str) -> Timed:
    """Time one measure at one case."""
    steps = case.steps if measure == STREAMING else 1
    seconds, calls = sample({who: work.run for who, work in admitted.works.items()}, plan, steps)
    return Timed(
        section,
        name,
        measure,
        baseline,
        seconds,
        calls,
        admitted.failed,
        operations(case, measure) / steps,
        shape=case.shape,
        not_offered=admitted.not_offered,
        notes={who: note for who, work in admitted.works.items() if (note := work.note())},
    )


def peak(plan: Plan) -> Timed:
    """Time a float32 product of two matrices, the peak of either framework on this machine."""
    import torch

    from benchmarks.contenders.in_torch import device, wait

    size = PEAK_SIZE
    a = np.random.default_rng(0).standard_normal((size, size), np.float32)
    in_torch, in_jax, product = torch.from_numpy(a).to(device()), jnp.asarray(a), jax.jit(jnp.dot)

    def of_torch() -> None:
        torch.matmul(in_torch, in_torch)
        wait()

    turns: dict[str, Call] = {"torch": of_torch, "jax": lambda: product(in_jax, in_jax).block_until_ready()}
    seconds, calls = sample(turns, plan)
    shape = f"{size},{size},{size}"
    return Timed("peak", "product", "product", "torch", seconds, calls, flops=2.0 * size**3, shape=shape)
