"""One layer: all contenders at every case, bfloat16 against float32, and the matrix peak."""

from collections.abc import Iterator

import jax.numpy as jnp

from benchmarks.contenders import BASELINE
from benchmarks.contenders.base import BACKWARD, FORWARD, Contender
from benchmarks.contenders.ours import ours
from benchmarks.gate import Admitted, admit, lineup
from benchmarks.sampling import Timed
from benchmarks.setting import Setting
from benchmarks.timed import peak as product
from benchmarks.timed import timed
from jax_lstm.kernels import Scan


def peak(setting: Setting) -> Iterator[Timed]:
    yield product(setting.plan)


def layers(setting: Setting) -> Iterator[Timed]:
    """Forward, and forward+backward."""
    for name, case in setting.cases.items():
        present = lineup(setting.present(), case)
        for measure in (FORWARD, BACKWARD):
            yield timed("layers", name, case, measure, admit(present, measure), setting.plan, BASELINE)


def bfloat16(setting: Setting) -> Iterator[Timed]:
    """bfloat16 against float32 for each of our kernels, from H=256 up."""
    plan = setting.plan._replace(budget=setting.plan.budget / 4)  # fewer contenders than in `layers`
    for name, case in setting.cases.items():
        for backend in setting.backends() if case.hidden_size >= 256 else ():
            full = lineup({backend: Contender(ours(backend), "")}, case)
            half = lineup({f"{backend}, bfloat16": Contender(ours(backend, jnp.bfloat16), "")}, case)
            for measure in (FORWARD, BACKWARD):
                (works, failed, _), (more, wrong, _) = admit(full, measure), admit(half, measure, "bfloat16")
                admitted = Admitted(works | more, failed | wrong, {})
                yield timed("bfloat16", name, case, measure, admitted, plan, backend)


def unroll(setting: Setting) -> Iterator[Timed]:
    """The kernel `scan` with `unroll` 1, 2 and 4."""
    plan = setting.plan._replace(budget=setting.plan.budget / 4)
    contenders = {f"unroll={times}": Contender(ours(Scan(unroll=times)), "") for times in (1, 2, 4)}
    for name, case in setting.cases.items():
        for measure in (FORWARD, BACKWARD):
            admitted = admit(lineup(contenders, case), measure)
            yield timed("unroll", name, case, measure, admitted, plan, "unroll=1")
