"""Both directions of a bidirectional layer: one kernel call each, or both in one, over rows and units."""

from collections.abc import Callable, Iterator
from typing import Any

import jax.numpy as jnp

from benchmarks.cases import Case, Problem
from benchmarks.contenders.base import BACKWARD, FORWARD, Contender, Runner
from benchmarks.contenders.in_jax import Model, runner
from benchmarks.gate import admit, lineup
from benchmarks.sampling import Timed
from benchmarks.setting import Setting
from benchmarks.timed import timed
from jax_lstm.kernels.auto import KERNELS
from jax_lstm.kernels.directions import one_by_one, together
from jax_lstm.params import LSTMParams, LSTMState

WAYS = {"one by one": one_by_one, "together": together}


def directions(setting: Setting) -> Iterator[Timed]:
    plan = setting.plan._replace(budget=setting.plan.budget / 4)
    for batch, hidden in setting.sides:
        case = Case(batch, 256, 64, hidden, bidirectional=True)
        for backend in setting.backends():
            contenders = {f"{backend}, {way}": Contender(_bidirectional(backend, run), "") for way, run in WAYS.items()}
            present = lineup(contenders, case)
            for measure in (FORWARD, BACKWARD):
                baseline = next(iter(contenders))
                yield timed(
                    "directions", f"B={batch}, H={hidden}", case, measure, admit(present, measure), plan, baseline
                )


def _bidirectional(backend: str, way: Callable[..., Any]) -> Callable[[Problem], Runner]:
    def build(problem: Problem) -> Runner:
        start = LSTMState(*jnp.zeros((2, problem.case.batch, problem.case.hidden_size)))
        weights = {name: jnp.asarray(value) for name, value in problem.params.items()}

        def apply(weights: Any, xs: Any) -> Any:
            both = [
                LSTMParams(
                    *(weights[f"{name}_l0{suffix}"] for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
                )
                for suffix in ("", "_reverse")
            ]
            (there, _), (back, state) = way(KERNELS[backend].run, both, xs, (start, start), None, None)
            return jnp.concatenate([there, back], axis=-1), state

        return runner(Model(weights, apply, lambda params: params), problem)

    return build
