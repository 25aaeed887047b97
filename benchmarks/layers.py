"""One layer: everyone at every case; bfloat16 against float32; and the peak of the machine."""

from collections.abc import Callable, Iterator, Mapping

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.cases import Case
from benchmarks.contenders import BASELINE, Contender, Runner, ours
from benchmarks.gate import admit
from benchmarks.sampling import Call, Plan, Timed, sample
from benchmarks.setting import Setting

PEAK_SIZE = 2048

# Which call of a runner, and how many times the products of the forward pass it takes.
CALLS: dict[str, tuple[Callable[[Runner], Call], int]] = {
    "forward": (lambda runner: runner.forward, 1),
    "forward+backward": (lambda runner: runner.gradients, 3),
}


def peak(setting: Setting) -> Iterator[Timed]:
    """The float32 product of two matrices: the most that either framework gets out of this machine."""
    import torch

    size = PEAK_SIZE
    a = np.random.default_rng(0).standard_normal((size, size), np.float32)
    in_torch, in_jax, product = torch.from_numpy(a), jnp.asarray(a), jax.jit(jnp.dot)
    turns: dict[str, Call] = {
        "torch": lambda: in_torch @ in_torch,
        "jax": lambda: product(in_jax, in_jax).block_until_ready(),
    }
    seconds, calls = sample(turns, setting.plan)
    shape = f"{size},{size},{size}"
    yield Timed("peak", "product", "product", BASELINE, seconds, calls, flops=2.0 * size**3, shape=shape)


def layers(setting: Setting) -> Iterator[Timed]:
    """Forward, and forward+backward."""
    for name, case in setting.cases.items():
        runners, failed = admit(setting.present(), case)
        yield from timed("layers", name, case, runners, failed, setting.plan, BASELINE)


def bfloat16(setting: Setting) -> Iterator[Timed]:
    """Weights, inputs and outputs in bfloat16 against float32, on each of our kernels, from H=256 up."""
    plan = setting.plan._replace(budget=setting.plan.budget / 4)  # two take less than seven
    for name, case in setting.cases.items():
        for backend in setting.backends() if case.hidden_size >= 256 else ():
            runners, failed = admit({backend: Contender(ours(backend), "")}, case)
            half = {f"{backend}, bfloat16": Contender(ours(backend, jnp.bfloat16), "")}
            half_runners, half_failed = admit(half, case, "bfloat16")
            yield from timed("bfloat16", name, case, runners | half_runners, failed | half_failed, plan, backend)


def timed(
    section: str,
    name: str,
    case: Case,
    runners: Mapping[str, Runner],
    failed: dict[str, str],
    plan: Plan,
    baseline: str,
    measures: tuple[str, ...] = tuple(CALLS),
) -> Iterator[Timed]:
    """Rows of those that passed the gate."""
    for measure in measures:
        call_of, products = CALLS[measure]
        seconds, calls = sample({who: call_of(runner) for who, runner in runners.items()}, plan)
        yield Timed(section, name, measure, baseline, seconds, calls, failed, products * case.flops, shape=case.shape)
