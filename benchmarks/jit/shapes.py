"""Ten sequence lengths: compiled one by one, padded to a few, or to one."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.core.cases import Case, draw
from benchmarks.core.compiling import clocked, compilations
from benchmarks.core.contenders import BASELINE
from benchmarks.core.contenders.base import (
    BACKWARD,
    FORWARD,
    Results,
    Work,
    gradients,
    loss_scale,
    outputs,
    refusal,
)
from benchmarks.core.contenders.in_torch import in_torch
from benchmarks.core.gate import Admitted, fault, first_line, oracle
from benchmarks.core.measure import timed
from benchmarks.core.record import SECONDS, Row
from benchmarks.jit.measure import Effort
from benchmarks.jit.networks import run_steps, start, step

PART = "shapes"


class Way(NamedTuple):
    """`make(cases, measure)` prepares what makes a call for each length, and the results that the gate checks."""

    about: str
    make: Callable[[Sequence[Case], str], Callable[[Case], Work]]
    measures: tuple[str, ...] = (FORWARD, BACKWARD)
    backend: str = ""

    def refusal(self, measure: str) -> str:
        """Why it is not measured; empty if it is."""
        if measure not in self.measures:
            return f"studied in {' and '.join(self.measures)} alone"
        return refusal(self.backend) if self.backend else ""


def bucket(steps: int) -> int:
    """The next power of two."""
    return 1 << (steps - 1).bit_length()


def padded(to: Callable[[int, int], int], backend: str) -> Callable[[Sequence[Case], str], Callable[[Case], Work]]:
    """`functional.lstm` on inputs padded to `to(steps, longest)`, with `lengths` if any is padded."""
    from jax_lstm import functional

    def make(cases: Sequence[Case], measure: str) -> Callable[[Case], Work]:
        longest = max(case.steps for case in cases)
        exact = all(to(case.steps, longest) == case.steps for case in cases)

        def network(weights: Any, xs: Any, lengths: Any) -> Any:
            return functional.lstm(weights, xs, lengths=None if exact else lengths, backend=backend)[0]

        def loss(weights: Any, xs: Any, lengths: Any, scale: Any) -> Any:
            return jnp.sum(jnp.square(network(weights, xs, lengths))) * scale

        forward, both = jax.jit(network), jax.jit(jax.value_and_grad(loss, argnums=(0, 1)))

        def work(case: Case) -> Work:
            problem = draw(case)
            weights = jax.tree.map(jnp.asarray, problem.params)
            xs = _pad(problem.xs, to(case.steps, longest))
            lengths = jnp.full(case.batch, case.steps, jnp.int32)
            scale = loss_scale(problem) / problem.targets.size

            def results() -> Results:
                if measure == FORWARD:
                    return outputs(forward(weights, xs, lengths)[: case.steps])
                d_weights, d_xs = both(weights, xs, lengths, scale)[1]
                return gradients(d_xs[: case.steps], d_weights)

            call = {FORWARD: lambda: forward(weights, xs, lengths), BACKWARD: lambda: both(weights, xs, lengths, scale)}
            return Work(lambda: jax.block_until_ready(call[measure]()), results)

        return work

    return make


def _pad(xs: np.ndarray, steps: int) -> Any:
    return jnp.asarray(np.pad(xs, ((0, steps - len(xs)), (0, 0), (0, 0))))


def _by_fori_loop(cases: Sequence[Case], measure: str) -> Callable[[Case], Work]:
    longest, run = max(case.steps for case in cases), jax.jit(run_steps)

    def work(case: Case) -> Work:
        problem = draw(case)
        weights, xs = jax.tree.map(jnp.asarray, problem.layers[0][0]), _pad(problem.xs, longest)
        call = lambda: jax.block_until_ready(run(weights, xs, np.int32(case.steps)))  # noqa: E731
        return Work(call, lambda: outputs(call()[: case.steps]))

    return work


def _by_cell(cases: Sequence[Case], measure: str) -> Callable[[Case], Work]:
    """Inputs and outputs are lists of steps, since slicing and stacking would compile for every length."""
    one = jax.jit(step)

    def work(case: Case) -> Work:
        problem = draw(case)
        weights, inputs = jax.tree.map(jnp.asarray, problem.layers[0][0]), [jnp.asarray(x) for x in problem.xs]
        zeros = jax.tree.map(jnp.asarray, start(weights, case.batch))

        def call() -> list[Any]:
            state, ys = zeros, []
            for x in inputs:
                state = one(weights, state, x)
                ys.append(state.h)
            return jax.block_until_ready(ys)

        return Work(call, lambda: outputs(np.stack(call())))

    return work


WAYS: dict[str, Way] = {
    BASELINE: Way("torch.nn.LSTM, eager", lambda cases, measure: lambda case: in_torch(draw(case))[measure]),
    "exact": Way("`scan kernel` jitted, as many compilations as lengths", padded(lambda steps, longest: steps, "scan")),
    "buckets": Way(
        "`scan kernel`, padded to the next power of two, with `lengths`",
        padded(lambda steps, longest: bucket(steps), "scan"),
    ),
    "longest": Way("`scan kernel`, all padded to the longest, with `lengths`", padded(max, "scan")),
    "native, exact": Way(
        "`native`, as many compilations as lengths", padded(lambda steps, longest: steps, "native"), backend="native"
    ),
    "native, longest": Way("`native`, all padded to the longest", padded(max, "native"), backend="native"),
    "fori_loop": Way("the plain step in fori_loop, its number of steps an argument", _by_fori_loop, (FORWARD,)),
    "jitted cell": Way("the plain step jitted, a loop in Python", _by_cell, (FORWARD,)),
}


def lengths(cases: Sequence[Case], effort: Effort, measures: Sequence[str]) -> Iterator[list[Row]]:
    """Rows for each way: seconds per pass over all lengths, and of the first pass."""
    for measure in measures:
        yield _measured(cases, measure, effort)


def _measured(cases: Sequence[Case], measure: str, effort: Effort) -> list[Row]:
    steps, first = [case.steps for case in cases], cases[0]
    shape = f"{first.batch},{min(steps)}..{max(steps)},{first.input_size},{first.hidden_size},1"
    admitted, more = Admitted({}, {}, {}), []
    jax.clear_caches()  # once, since the functions must stay compiled until they are sampled
    for name, way in WAYS.items():
        if reason := way.refusal(measure):
            admitted.not_offered[name] = reason
            continue
        try:
            works = list(map(way.make(cases, measure), cases))
            run = partial(_pass, works)
            with compilations() as count, clocked() as seconds:
                run()
            wrong = [fault(work.results(), oracle(case, measure)) for work, case in zip(works, cases, strict=True)]
        except Exception as error:  # frameworks raise anything
            admitted.failed[name] = first_line(error)
            continue
        if any(wrong):
            admitted.failed[name] = next(filter(None, wrong))
            continue
        admitted.works[name] = Work(run, dict)
        more.append(Row(PART, shape, name, f"{measure}: first call", SECONDS, seconds))
        more.append(Row(PART, shape, name, f"{measure}: compilations", "", [count.number]))
    found = timed(PART, shape, measure, admitted, effort.plan, BASELINE, {"shape": shape})
    return [replace(row, about=row.about | {"about": WAYS[row.contender].about}) for row in found] + more


def _pass(works: Sequence[Work]) -> None:
    for work in works:
        work.run()
