"""Both directions of a bidirectional layer: one kernel call each, or both in one call, over B and H."""

from collections.abc import Iterator
from dataclasses import astuple
from typing import Any

from benchmarks.cases import Case
from benchmarks.contenders.base import BACKWARD, FORWARD, Contender
from benchmarks.contenders.ours import ours
from benchmarks.gate import admit, lineup
from benchmarks.sampling import Timed
from benchmarks.setting import Setting
from benchmarks.timed import timed
from jax_lstm.kernels import KERNELS, Kernel

PAIRS = {"one by one": False, "together": True}


def directions(setting: Setting) -> Iterator[Timed]:
    plan = setting.plan._replace(budget=setting.plan.budget / 4)
    for batch, hidden in setting.sides:
        case = Case(batch, 256, 64, hidden, bidirectional=True)
        for backend in setting.backends():
            contenders = {
                f"{backend}, {name}": Contender(ours(with_pairs(KERNELS[backend], pairs)), "")
                for name, pairs in PAIRS.items()
            }
            present = lineup(contenders, case)
            for measure in (FORWARD, BACKWARD):
                baseline = next(iter(contenders))
                yield timed(
                    "directions", f"B={batch}, H={hidden}", case, measure, admit(present, measure), plan, baseline
                )


def with_pairs(kernel: Kernel, pairs: bool) -> Kernel:
    """The same kernel, with both directions always, or never, in one call."""

    class Fixed(type(kernel)):
        def pairs(self, batch: Any, hidden_size: int) -> bool:
            return pairs

    return Fixed(*astuple(kernel))
