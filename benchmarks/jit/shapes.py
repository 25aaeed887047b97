"""Ten sequence lengths: compiled one by one, padded to a few, or to one."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.gate import fault
from benchmarks.jit.anatomy import clocked, compilations
from benchmarks.jit.measuring import Effort
from benchmarks.jit.networks import run_steps, start, step
from benchmarks.jit.programs import FORWARD, MEASURES, in_torch, outputs
from benchmarks.jit.rows import Row, compared
from benchmarks.jit.sizes import Results, Size, gradients, oracle, problem
from benchmarks.jit.variants import VARIANTS
from benchmarks.sampling import Call, sample
from jax_lstm import functional, interop
from jax_lstm.params import LSTMParams


class Runs(NamedTuple):
    """`call(at)` runs the length with that index; `results(value, at)` are what the gate checks."""

    call: Callable[[int], Any]
    results: Callable[[Any, int], Results]


class Way(NamedTuple):
    """`make(sizes, measure)` prepares the runs of all lengths; `measures` are those it supports."""

    about: str
    make: Callable[[list[Size], str], Runs]
    measures: tuple[str, ...] = MEASURES
    backend: str = ""

    def refusal(self, size: Size, measure: str) -> str:
        """Why it is not measured; empty if it is."""
        if measure not in self.measures:
            return f"studied in {' and '.join(self.measures)} alone"
        return VARIANTS[self.backend].refusal(size, measure) if self.backend else ""


def bucket(steps: int) -> int:
    """The next power of two."""
    return 1 << (steps - 1).bit_length()


def padded(to: Callable[[int, int], int], backend: str) -> Callable[[list[Size], str], Runs]:
    """`functional.lstm` on inputs padded to `to(steps, longest)`, with `lengths` if any is padded."""

    def make(sizes: list[Size], measure: str) -> Runs:
        longest = max(size.steps for size in sizes)
        inputs = []
        for size in sizes:
            xs, more = problem(size)[1], to(size.steps, longest) - size.steps
            inputs.append(jnp.asarray(np.pad(xs, ((0, more), (0, 0), (0, 0)))))
        lengths = [jnp.full(size.batch, size.steps, jnp.int32) for size in sizes]
        exact = all(len(xs) == size.steps for xs, size in zip(inputs, sizes, strict=True))
        weights = [_weights(size) for size in sizes]

        def network(weights: Any, xs: Any, lengths: Any) -> Any:
            return functional.lstm(weights, xs, lengths=None if exact else lengths, backend=backend)[0]

        def loss(weights: Any, xs: Any, lengths: Any, count: Any) -> Any:
            return jnp.sum(jnp.square(network(weights, xs, lengths))) / count

        if measure == FORWARD:
            forward = jax.jit(network)
            return Runs(lambda at: forward(weights[at], inputs[at], lengths[at]), _outputs)
        both = jax.jit(jax.value_and_grad(loss, argnums=(0, 1)))
        counts = [float(size.steps * size.batch * size.hidden_size) for size in sizes]
        return Runs(lambda at: both(weights[at], inputs[at], lengths[at], counts[at])[1], results)

    def results(value: Any, at: int) -> Results:
        d_weights, d_xs = value
        layer = LSTMParams(**{name.removesuffix("_l0"): d for name, d in d_weights.items()})
        return gradients([layer], d_xs)

    return make


def _outputs(ys: Any, at: int) -> Results:
    return outputs(ys)


def _weights(size: Size) -> dict[str, Any]:
    return jax.tree.map(jnp.asarray, interop.to_state_dict(problem(size)[0][0], "{}_l0"))


def _by_fori_loop(sizes: list[Size], measure: str) -> Runs:
    longest, run = max(size.steps for size in sizes), jax.jit(run_steps)
    weights = [jax.tree.map(jnp.asarray, problem(size)[0][0]) for size in sizes]
    inputs = [jnp.asarray(np.pad(problem(size)[1], ((0, longest - size.steps), (0, 0), (0, 0)))) for size in sizes]
    return Runs(lambda at: run(weights[at], inputs[at], np.int32(sizes[at].steps)), _outputs)


def _by_cell(sizes: list[Size], measure: str) -> Runs:
    """Inputs and outputs are lists of steps, since slicing and stacking would compile for every length."""
    one = jax.jit(step)
    weights = [jax.tree.map(jnp.asarray, problem(size)[0][0]) for size in sizes]
    inputs = [[jnp.asarray(x) for x in problem(size)[1]] for size in sizes]
    zeros = jax.tree.map(jnp.asarray, start(weights[0], sizes[0].batch))

    def call(at: int) -> list[Any]:
        state, ys = zeros, []
        for x in inputs[at]:
            state = one(weights[at], state, x)
            ys.append(state.h)
        return ys

    return Runs(call, lambda ys, at: outputs(np.stack(ys)))


def _in_torch(sizes: list[Size], measure: str) -> Runs:
    programs = [in_torch(size, measure) for size in sizes]
    return Runs(lambda at: programs[at].function(), lambda value, at: programs[at].results(value))


WAYS: dict[str, Way] = {
    "torch": Way("torch.nn.LSTM, eager", _in_torch),
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


def rows(sizes: list[Size], effort: Effort, measures: Sequence[str] = MEASURES) -> Iterator[list[Row]]:
    """A row for each way: `seconds` per pass over all lengths, `first` for the first pass."""
    for measure in measures:
        yield compared(_measured(sizes, measure, effort))


def _measured(sizes: list[Size], measure: str, effort: Effort) -> list[Row]:
    found, turns = {}, {}
    lengths, first = [size.steps for size in sizes], sizes[0]
    shape = f"{first.batch},{min(lengths)}..{max(lengths)},{first.input_size},{first.hidden_size},1"
    jax.clear_caches()  # once, since the functions must stay compiled until they are sampled
    for name, way in WAYS.items():
        row = Row(
            "shapes", name, measure, f"shapes {shape} {measure}", shape, first.batch, max(lengths), first.input_size,
            first.hidden_size, 1, way.about, not_offered=way.refusal(first, measure),
        )  # fmt: skip
        found[name] = row
        if row.not_offered:
            continue
        try:
            runs = way.make(sizes, measure)
            found[name] = _first_pass(row, runs, sizes)
            turns[name] = _a_pass(runs, len(sizes))
        except Exception as error:  # frameworks raise anything
            found[name] = replace(row, failed=f"{type(error).__name__}: {error}".splitlines()[0])
    seconds, calls = sample({name: turn for name, turn in turns.items() if not found[name].failed}, effort.plan)
    return [
        replace(row, seconds=seconds[name], calls=calls[name]) if name in seconds else row
        for name, row in found.items()
    ]


def _first_pass(row: Row, runs: Runs, sizes: list[Size]) -> Row:
    """The first pass over all lengths, its cost, and what the gate found wrong."""
    with compilations() as count:
        values, first = clocked(lambda: [runs.call(at) for at in range(len(sizes))])
    wrong = [_fault(runs.results(value, at), size) for at, (value, size) in enumerate(zip(values, sizes, strict=True))]
    return replace(
        row,
        failed=next(filter(None, wrong), ""),
        compilations=count.number,
        compilation_seconds=count.seconds,
        first=[first],
    )


def _a_pass(runs: Runs, count: int) -> Call:
    return lambda: [jax.block_until_ready(runs.call(at)) for at in range(count)]


def _fault(results: Results, size: Size) -> str:
    """Check the results of one length, without the padding."""
    expected = oracle(size)
    results = {
        name: value[: size.steps] if name in ("outputs", "gradient of inputs") else value
        for name, value in results.items()
    }
    return fault(results, {name: expected[name] for name in results})
