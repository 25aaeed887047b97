"""Small stacks, which the native kernel runs in one call: numbers, transformations, and when they are not one call."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from kernels.cases import Case
from kernels.stacked import CASES, assert_is_the_oracle, draw_layers, loss, point, stack_of

import jax_lstm as jl
from jax_lstm.kernels import KERNELS
from jax_lstm.kernels.fused import unavailable
from jax_lstm.tolerances import difference

pytestmark = pytest.mark.skipif(bool(unavailable()), reason=unavailable())

native, plain = stack_of(KERNELS["native"]), stack_of(KERNELS["plain"])
scan = stack_of(KERNELS["scan"])  # layer by layer, with derivatives of its own
SMALL = draw_layers(Case(9, 2, 3, 5, 2, mask=True, resets=True), 3, "float32")


def calls(function: Callable[..., Any], *args: Any) -> list[str]:
    """The native operations in the compiled program, in order."""
    text = jax.jit(function).lower(*args).compile().as_text() or ""
    return [word for word in ("infer", "forward", "backward") for _ in range(text.count(f'"jax_lstm_{word}"'))]


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
@pytest.mark.parametrize("name", CASES)
def test_it_is_the_oracle(name: str, dtype: str) -> None:
    count, case = CASES[name]
    with jax.enable_x64(dtype == "float64"):
        assert_is_the_oracle(jax.jit(native), case, count, dtype)


def test_platforms_without_stacks_run_layer_by_layer() -> None:
    for name in ("three, without bias", "all"):
        count, case = CASES[name]
        assert_is_the_oracle(jax.jit(plain), case, count, "float32")


def test_one_call_each_way() -> None:
    at = point(SMALL)
    assert calls(partial(loss, native, SMALL), *at) == ["infer"]
    assert calls(jax.grad(partial(loss, native, SMALL), argnums=(0, 1, 2)), *at) == ["forward", "backward"]


@pytest.mark.parametrize(
    ("options", "rows", "found"),
    [
        ({}, 4, ["infer"]),
        ({}, 5, ["infer"] * 2),
        ({"hidden_size": 65}, 1, ["infer"] * 2),
        ({"bidirectional": True}, 2, ["infer"] * 2),  # both directions of a layer are one call
        ({"dropout": 0.5}, 2, ["infer"] * 2),
    ],
)
def test_what_is_one_call(options: dict[str, Any], rows: int, found: list[str]) -> None:
    lstm = jl.LSTM(**{"input_size": 3, "hidden_size": 5, "num_layers": 2, "rngs": nnx.Rngs(0)} | options)
    given = {"dropout": lstm.dropout, "key": jax.random.key(0)} if lstm.dropout else {}
    assert calls(lambda x: jl.functional.lstm(lstm.params, x, **given)[0], jnp.ones((7, rows, 3))) == found


def test_an_exported_stack_runs_without_the_library() -> None:
    at, options = point(SMALL), SMALL[0].options
    exported = jax.export.export(jax.jit(partial(native, **options)), platforms=("cpu", "tpu"))(*at)
    assert "jax_lstm_" not in exported.mlir_module()
    assert_same(jax.jit(exported.call)(*at), jax.jit(partial(scan, **options))(*at))


@pytest.mark.parametrize("lowest", [1, 2])
def test_frozen_layers_are_not_differentiated(lowest: int) -> None:
    """The gradients of the upper layers alone take no backward pass through those below."""
    params, xs, states = point(SMALL)

    def upper(own: Any, run: Any) -> jax.Array:
        return loss(run, SMALL, params[:lowest] + own, xs, states)

    assert calls(jax.grad(partial(upper, run=native)), params[lowest:]) == ["forward", *["backward"] * (3 - lowest)]
    assert_same(*(jax.jit(jax.grad(partial(upper, run=run)))(params[lowest:]) for run in (native, scan)))


TRANSFORMATIONS: dict[str, Callable[..., Any]] = {
    "forward mode": lambda f, at, along: jax.jvp(f, at, along),
    "of the inputs": lambda f, at, along: jax.jvp(lambda xs: f(at[0], xs, at[2]), at[1:2], along[1:2]),
    "of the upper layer": lambda f, at, along: jax.jvp(
        lambda own: f((*at[0][:-1], own), *at[1:]), at[0][-1:], along[0][-1:]
    ),
    "forward over reverse": lambda f, at, along: jax.jvp(jax.grad(f, argnums=(0, 1, 2)), at, along),
    "vmap over data": lambda f, at, along: jax.vmap(jax.value_and_grad(f), (None, 0, None))(
        at[0], jnp.stack([at[1], 2 * at[1]]), at[2]
    ),
    "vmap over weights": lambda f, at, along: jax.vmap(jax.grad(f, argnums=(0, 1)), (0, None, None))(
        jax.tree.map(lambda *both: jnp.stack(both), at[0], along[0]), *at[1:]
    ),
    "remat": lambda f, at, along: jax.grad(jax.checkpoint(f), argnums=(0, 1, 2))(*at),
}


QUICK = ("of the upper layer", "vmap over weights")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in QUICK else [pytest.mark.slow]) for name in TRANSFORMATIONS]
)
def test_transformed(name: str) -> None:
    at, rng = point(SMALL), np.random.default_rng(1)
    at = (at[0], np.nan_to_num(at[1]), at[2])
    along: Any = jax.tree.map(lambda array: rng.standard_normal(array.shape).astype(array.dtype), at)
    found, expected = (
        jax.jit(partial(TRANSFORMATIONS[name], partial(loss, run, SMALL)))(at, along) for run in (native, scan)
    )
    assert_same(found, expected)


def test_an_ensemble_of_stacks_is_one_call_each_way() -> None:
    at = point(SMALL)
    params = jax.tree.map(lambda array: np.stack([array, 0.5 * array, 2 * array]), at[0])
    over = jax.vmap(jax.grad(partial(loss, native, SMALL)), (0, None, None))
    assert calls(over, params, *at[1:]) == ["forward", "backward"]


@pytest.mark.parametrize("batched", ["weights", "data"])
def test_members_and_many_rows_on_threads(batched: str) -> None:
    """More members than threads, and by `vmap` more rows than advance together."""
    layers = draw_layers(Case(60, 3, 20, 40, mask=True, resets=True), 3, "float32")
    params, xs, states = point(layers)
    axes = (0, None, None) if batched == "weights" else (None, 0, None)
    at = [
        jax.tree.map(lambda array: np.stack([array, 0.9 * array, 0.8 * array]), argument) if axis == 0 else argument
        for argument, axis in zip((params, xs, states), axes, strict=True)
    ]
    found, expected = (
        jax.jit(jax.vmap(jax.value_and_grad(partial(loss, run, layers), argnums=(0, 1, 2)), axes))(*at)
        for run in (native, scan)
    )
    assert_same(found, expected)


def test_every_layer_without_a_projection_has_outputs_of_its_hidden_size() -> None:
    """Else the library would write past the end of what it was given."""
    projected, one = draw_layers(Case(3, 2, 4, 6, proj_size=2), 2, "float32")
    layers = projected, one._replace(params=one.params._replace(weight_hr=None))
    with pytest.raises(jax.errors.JaxRuntimeError, match="must be equal without `weight_hr`"):
        jax.block_until_ready(jax.jit(native)(*point(layers)))


def assert_same(got: Any, expected: Any) -> None:
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
        assert difference(a, b).relative <= 1e-5
