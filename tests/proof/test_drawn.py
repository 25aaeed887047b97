"""`jax_lstm.LSTM` against `torch.nn.LSTM` on configurations that nobody chose: Hypothesis draws them.

Outputs, last states and the gradients of every input and parameter, from PyTorch's weights; float64 mostly, some
float32. Compiling takes the time: 24 configurations are drawn once, compiled as one program, and called with numbers
and lengths drawn six times, the same in every run. Another 60 are new in every run, and

    DRAWN=10000 pytest -m slow -n 0 tests/proof/test_drawn.py

as many as one likes; it prints how many it drew.
"""

import copy
import functools
import itertools
import os
import random
from collections import namedtuple
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from side_by_side import Case, Compared, assert_same, by_torch_with_gradients, compare, torch, with_weights_of

import jax_lstm as jl
from jax_lstm.tolerances import TOLERANCES, difference

# `scan` computes pre-activations in three ways: up to 16 rows; more rows; more rows and more than 256 inputs.
SIZES, BOOLS = range(1, 8), (False, True)
SPACE: dict[str, Sequence[Any]] = {
    "dtype": ("float64", "float64", "float64", "float32"),
    "backend": ("auto", "auto", "auto", "scan"),
    "input_size": (*SIZES, 256),
    "hidden_size": SIZES,
    "num_layers": (1, 2, 3),
    "bias": BOOLS,
    "batch_first": BOOLS,
    "bidirectional": BOOLS,
    "proj_size": (0, 0, 0, 1, 2, 3),
    "steps": range(1, 7),
    "rows": (1, 2, 3, 4, 17, None),  # None: unbatched
    "with_state": BOOLS,
    "with_lengths": BOOLS,
}


class Configuration(namedtuple("Configuration", [*SPACE])):
    """What is compiled anew when it changes."""

    def fits(self) -> bool:
        return self.proj_size < self.hidden_size and not (self.rows is None and self.with_lengths)

    def options(self) -> tuple[int | bool | float, ...]:
        """The arguments of PyTorch's constructor, in its order."""
        sizes = (self.input_size, self.hidden_size, self.num_layers)
        return (*sizes, self.bias, self.batch_first, 0.0, self.bidirectional, self.proj_size)


# The first seed with which 24 hold every pair of options.
RNG = random.Random(221)
DRAWN = (Configuration(*map(RNG.choice, SPACE.values())) for _ in itertools.count())
POOL = list(itertools.islice(filter(Configuration.fits, DRAWN), 24))
PARTS = {name: st.sampled_from(values) for name, values in SPACE.items()}
ANY = st.builds(Configuration, **PARTS).filter(Configuration.fits)


class Numbers(NamedTuple):
    """What may change without compiling."""

    seed: int
    scale: float  # weights are uniform between its negative and itself: small, or beyond the linear part of the gates
    lengths: list[int]  # of as many rows as there may be


NUMBERS = st.builds(
    Numbers,
    st.integers(0, 2**32 - 1),
    st.sampled_from((0.1, 0.5, 1.0)),
    st.lists(st.integers(1, 6), min_size=17, max_size=17),
)
plain = functools.partial(
    settings, deadline=None, database=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)


def check(configurations: Sequence[Configuration], numbers: Numbers) -> None:
    cases = [case(each, numbers) for each in configurations]
    with jax.enable_x64(True):
        compared = compare(cases)
    for configuration, drawn, arrays in zip(configurations, cases, compared, strict=True):
        try:
            if configuration.dtype == "float64":
                assert_same(arrays, "float64")
            else:
                assert_close(drawn, arrays)
        except AssertionError as error:
            raise AssertionError(f"{configuration}: {error}") from error


def assert_close(drawn: Case, arrays: Compared) -> None:
    """In float32: ours is as close to PyTorch's float64 as the tolerance says, or as PyTorch's float32 is, times ten.

    With few units or saturated gates a gradient is a small difference of large terms, and both lose digits.
    """
    state = None if drawn.state is None else tuple(part.astype(np.float64) for part in drawn.state)
    wide = drawn._replace(reference=copy.deepcopy(drawn.reference).double(), x=drawn.x.astype(np.float64), state=state)
    exact_outputs, exact_gradients, _ = by_torch_with_gradients(wide)
    for kind, ours, theirs, exact in (
        ("outputs", arrays.outputs, arrays.expected_outputs, exact_outputs),
        ("gradients", arrays.gradients, arrays.expected_gradients, exact_gradients),
    ):
        assert ours.keys() == exact.keys()
        for name, array in exact.items():
            limit = max(TOLERANCES[kind].float32, 10 * difference(theirs[name], array).relative)
            assert difference(ours[name], array).relative <= limit, f"{kind}: {name}"


def case(of: Configuration, numbers: Numbers) -> Case:
    rng = np.random.default_rng(numbers.seed)
    reference = torch.nn.LSTM(*of.options()).to(getattr(torch, of.dtype))
    with torch.no_grad():
        for weight in reference.parameters():
            weight.copy_(torch.tensor(rng.uniform(-numbers.scale, numbers.scale, tuple(weight.shape))))
    batch = () if of.rows is None else (of.rows,)
    shape = (*batch, of.steps) if of.batch_first else (of.steps, *batch)
    x, state = rng.standard_normal((*shape, of.input_size)).astype(of.dtype), None
    if of.with_state:
        layers = of.num_layers * (2 if of.bidirectional else 1)
        sizes = (of.proj_size or of.hidden_size, of.hidden_size)
        state = tuple(rng.standard_normal((layers, *batch, size)).astype(of.dtype) for size in sizes)
    lengths = 1 + (np.array(numbers.lengths[: of.rows]) - 1) % of.steps if of.with_lengths else None
    split = with_weights_of(reference, jl.LSTM, *of.options(), param_dtype=of.dtype, backend=of.backend)
    return Case(reference, *split, x, state, lengths, numbers.seed)


def test_the_pool_holds_every_pair_of_options() -> None:
    held = {"num_layers", "bias", "batch_first", "bidirectional", "with_state", "with_lengths", "dtype", "backend"}
    for one, other in itertools.combinations(sorted(held), 2):
        pairs = {(getattr(c, one), getattr(c, other)) for c in POOL}
        assert pairs == set(itertools.product(set(SPACE[one]), set(SPACE[other]))), (one, other)
    assert {c.input_size == 256 for c in POOL if c.rows == 17 and c.backend == "scan"} == {False, True}
    for name in ("proj_size", "steps", "rows", "input_size", "hidden_size"):
        assert {getattr(c, name) for c in POOL} == set(SPACE[name]), name


@plain(max_examples=6, derandomize=True)
@given(NUMBERS)
def test_drawn_numbers(numbers: Numbers) -> None:
    check(POOL, numbers)


def test_drawn_configurations(capsys: pytest.CaptureFixture[str]) -> None:
    drawn = 0

    @plain(max_examples=int(os.environ.get("DRAWN", "60")))
    @given(ANY, NUMBERS)
    def each(configuration: Configuration, numbers: Numbers) -> None:
        nonlocal drawn
        check([configuration], numbers)
        jax.clear_caches()  # compiled programs are not needed again, and fill the memory
        drawn += 1

    each()
    with capsys.disabled():
        print(f" {drawn:,} configurations agree", end=" ")
