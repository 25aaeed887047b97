"""`jax_lstm.LSTM` against `torch.nn.LSTM` on configurations that nobody chose: Hypothesis draws them.

Outputs, last states and the gradients of all that goes in, from PyTorch's weights; float64 mostly, some float32. What
costs time is compiling: in the plain run the options and sizes are a pool of 48 configurations, drawn once from the
space of all, and each meets numbers and lengths drawn ten times: 480 examples. The longer run draws everything anew,
3000 times, in about an hour:

    pytest -m slow -n 0 tests/proof/test_drawn.py

`DRAWN=100` in the environment makes that 100. The plain run draws the same every time, the longer one what is new.
"""

import functools
import itertools
import os
import random
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
import pytest
from flax import nnx
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from side_by_side import assert_same, torch

import jax_lstm as jl


class Configuration(NamedTuple):
    """What is compiled anew when it changes."""

    dtype: str
    input_size: int
    hidden_size: int
    num_layers: int
    bias: bool
    batch_first: bool
    bidirectional: bool
    proj_size: int
    steps: int
    rows: int | None  # None: unbatched
    with_state: bool
    with_lengths: bool

    def fits(self) -> bool:
        return self.proj_size < self.hidden_size and not (self.rows is None and self.with_lengths)

    def options(self) -> tuple[int | bool | float, ...]:
        """The arguments of PyTorch's constructor, in its order."""
        sizes = (self.input_size, self.hidden_size, self.num_layers)
        return (*sizes, self.bias, self.batch_first, 0.0, self.bidirectional, self.proj_size)


# The kernel forms the sums of its gates in three ways: up to 16 rows; more rows; more rows and more than 256 inputs.
SIZES, BOOLS = range(1, 8), (False, True)
SPACE: dict[str, Sequence[Any]] = {
    "dtype": ("float64", "float64", "float64", "float32"),
    "input_size": (*SIZES, 256),
    "hidden_size": SIZES,
    "num_layers": (1, 2, 3),
    "bias": BOOLS,
    "batch_first": BOOLS,
    "bidirectional": BOOLS,
    "proj_size": (0, 0, 0, 1, 2, 3),
    "steps": range(1, 7),
    "rows": (1, 2, 3, 4, 17, None),
    "with_state": BOOLS,
    "with_lengths": BOOLS,
}


def pool(size: int) -> list[Configuration]:
    rng = random.Random(1)  # the first seed with which the pool holds every pair of options
    drawn = (Configuration(**{name: rng.choice(values) for name, values in SPACE.items()}) for _ in itertools.count())
    return list(itertools.islice(filter(Configuration.fits, drawn), size))


POOL, EACH = pool(48), 10
ANY = st.builds(Configuration, **{name: st.sampled_from(values) for name, values in SPACE.items()}).filter(
    Configuration.fits
)


class Numbers(NamedTuple):
    """What may change without compiling."""

    seed: int
    scale: float  # weights are uniform between its negative and itself: small, or beyond the linear part of the gates
    lengths: list[int]  # of as many rows as there may be

    def of_rows(self, configuration: Configuration) -> list[int]:
        return [1 + (length - 1) % configuration.steps for length in self.lengths[: configuration.rows]]


NUMBERS = st.builds(
    Numbers,
    st.integers(0, 2**32 - 1),
    st.sampled_from((0.1, 0.5, 1.0)),
    st.lists(st.integers(1, 6), min_size=17, max_size=17),
)
TIMES = int(os.environ.get("DRAWN", "3000"))
plain = functools.partial(
    settings, deadline=None, database=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)


def check(configuration: Configuration, numbers: Numbers) -> None:
    with jax.enable_x64(configuration.dtype == "float64"):
        rng, d = np.random.default_rng(numbers.seed), configuration
        reference = torch.nn.LSTM(*d.options()).to(getattr(torch, d.dtype))
        with torch.no_grad():
            for weight in reference.parameters():
                weight.copy_(torch.tensor(rng.uniform(-numbers.scale, numbers.scale, tuple(weight.shape))))
        batch = () if d.rows is None else (d.rows,)
        shape = (*batch, d.steps) if d.batch_first else (d.steps, *batch)
        x, state = rng.standard_normal((*shape, d.input_size)).astype(d.dtype), None
        if d.with_state:
            layers = d.num_layers * (2 if d.bidirectional else 1)
            state = tuple(
                rng.standard_normal((layers, *batch, size)).astype(d.dtype)
                for size in (d.proj_size or d.hidden_size, d.hidden_size)
            )
        lengths = np.array(numbers.of_rows(d)) if d.with_lengths else None
        graph, abstract = skeleton(d.options(), d.dtype)
        weights = {name: weight.detach().numpy() for name, weight in reference.named_parameters()}
        names = [str(path[0]) for path, _ in nnx.to_flat_state(abstract)]
        params = jax.tree.unflatten(jax.tree.structure(abstract), [weights.pop(name) for name in names])
        assert not weights
        assert_same(reference, graph, params, x, state, lengths, numbers.seed)


@functools.cache
def skeleton(options: tuple[Any, ...], dtype: str) -> tuple[Any, nnx.State]:
    """Our module without numbers, so that none need be drawn and compiled for each shape."""
    graph, abstract = nnx.split(nnx.eval_shape(lambda: jl.LSTM(*options, param_dtype=dtype, rngs=nnx.Rngs(0))))
    return graph, abstract


def test_the_pool_holds_every_pair_of_options() -> None:
    held = {"num_layers", "bias", "batch_first", "bidirectional", "with_state", "with_lengths", "dtype"}
    for one, other in itertools.combinations(sorted(held), 2):
        pairs = {(getattr(c, one), getattr(c, other)) for c in POOL}
        assert pairs == set(itertools.product(set(SPACE[one]), set(SPACE[other]))), (one, other)
    assert {c.input_size == 256 for c in POOL if c.rows == 17} == {False, True}
    for name in ("proj_size", "steps", "rows", "input_size", "hidden_size"):
        assert {getattr(c, name) for c in POOL} == set(SPACE[name]), name


class TestFirstQuarter:
    """Four classes, so that the workers of pytest-xdist share them, and none compiles what another does."""

    @pytest.mark.parametrize("number", range(0, len(POOL), 4))
    @plain(max_examples=EACH, derandomize=True)
    @given(NUMBERS)
    def test_drawn(self, number: int, numbers: Numbers) -> None:
        check(POOL[number], numbers)


class TestSecondQuarter:
    @pytest.mark.parametrize("number", range(1, len(POOL), 4))
    @plain(max_examples=EACH, derandomize=True)
    @given(NUMBERS)
    def test_drawn(self, number: int, numbers: Numbers) -> None:
        check(POOL[number], numbers)


class TestThirdQuarter:
    @pytest.mark.parametrize("number", range(2, len(POOL), 4))
    @plain(max_examples=EACH, derandomize=True)
    @given(NUMBERS)
    def test_drawn(self, number: int, numbers: Numbers) -> None:
        check(POOL[number], numbers)


class TestFourthQuarter:
    @pytest.mark.parametrize("number", range(3, len(POOL), 4))
    @plain(max_examples=EACH, derandomize=True)
    @given(NUMBERS)
    def test_drawn(self, number: int, numbers: Numbers) -> None:
        check(POOL[number], numbers)


@pytest.mark.slow
class TestLonger:
    @plain(max_examples=TIMES)
    @given(ANY, NUMBERS)
    def test_drawn_anew(self, configuration: Configuration, numbers: Numbers) -> None:
        check(configuration, numbers)
        if skeleton.cache_info().currsize > 100:  # what was compiled is not needed again, and fills the memory
            skeleton.cache_clear()
            jax.clear_caches()
