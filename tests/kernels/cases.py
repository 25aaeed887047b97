"""One layer in one direction at many sizes, with every option: what a kernel makes of it, held against the oracle."""

import functools
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import oracle
from agree import assert_agree

from jax_lstm.kernels import KERNELS, Kernel, Scan
from jax_lstm.params import LSTMParams, LSTMState, state_dtype
from jax_lstm.tolerances import difference

# 8 bits round h at every step by up to 1/512 of its size, and errors add up over steps.
BFLOAT16 = 3e-2


class Case(NamedTuple):
    """T, B, I, H, and options."""

    steps: int
    batch: int
    input_size: int
    hidden_size: int
    proj_size: int = 0
    bias: bool = True
    reverse: bool = False
    mask: bool = False
    resets: bool = False


# Odd sizes and single ones, and rows enough for each way to project the inputs and to split a call over threads.
CASES = {
    "plain": Case(5, 3, 4, 7),
    "without bias, reverse": Case(5, 3, 4, 7, bias=False, reverse=True),
    "one of each": Case(1, 1, 1, 1),
    "one row": Case(9, 1, 3, 33, mask=True, reverse=True),
    "one step of a wide input": Case(1, 2, 256, 4),
    "many rows": Case(3, 67, 5, 16, resets=True, reverse=True),
    "many rows, wide": Case(3, 20, 260, 5, bias=False),
    "many rows, large": Case(2, 18, 512, 512),
    "many steps": Case(70, 6, 2, 24),
    "wide": Case(6, 19, 70, 100, mask=True),
    "projection": Case(5, 3, 4, 7, proj_size=2),
    "wide projection": Case(3, 40, 17, 64, proj_size=24, resets=True),
    "mask": Case(6, 4, 3, 5, mask=True),
    "resets, without bias": Case(6, 4, 3, 5, bias=False, resets=True),
    "all": Case(11, 18, 3, 5, proj_size=4, reverse=True, mask=True, resets=True),
    "all but projection": Case(11, 4, 3, 5, mask=True, resets=True, reverse=True),
}

RUN: dict[str, Kernel] = {name: kernel for name, kernel in KERNELS.items() if name not in ("cudnn", "pallas")}
OPTIONS = {"scan, gates": Scan(remat="gates"), "scan, chunks": Scan(remat="chunks"), "scan, unrolled": Scan(unroll=3)}
ALL = RUN | OPTIONS


def sequence(kernel: Kernel) -> Callable[..., Any]:
    """What a kernel does with one layer in one direction, as a function of `params, xs, state`."""
    return lambda params, xs, state, **options: kernel.sequence(params, LSTMState(*state), xs, **options)


native, scan = sequence(KERNELS["native"]), sequence(KERNELS["scan"])


class Arrays(NamedTuple):
    """What goes into a kernel, in NumPy, and the cotangents of what comes out."""

    params: LSTMParams
    xs: np.ndarray
    state: LSTMState
    d_ys: np.ndarray
    d_state: LSTMState
    options: dict[str, Any]  # mask, resets: arrays


def draw(case: Case, dtype: Any = "float64", seed: int = 0) -> Arrays:
    """The same numbers in every type: they are those of bfloat16. Masked inputs are NaN."""
    rng, dtype = np.random.default_rng(seed), jnp.dtype(dtype)
    rows, output = (case.steps, case.batch), case.proj_size or case.hidden_size
    scale = min(1, 4 / (case.input_size + case.hidden_size) ** 0.5)  # sums of much the same size in all cases

    def rounded(array: np.ndarray, to: Any = dtype) -> Any:
        return array.astype(jnp.bfloat16).astype(to)

    def normal(*shape: int) -> Any:
        return rounded(rng.standard_normal(shape))

    def state() -> LSTMState:
        shapes = ((case.batch, output), (case.batch, case.hidden_size))
        return LSTMState(*(rounded(rng.standard_normal(shape), state_dtype(dtype)) for shape in shapes))

    params = oracle.random_params(rng, case.input_size, case.hidden_size, case.bias, case.proj_size)
    xs, options = normal(*rows, case.input_size), {}
    if case.mask:
        options["mask"] = rng.random(rows) < 0.7
        xs[~options["mask"]] = np.nan
    if case.resets:
        options["resets"] = rng.random(rows) < 0.3
    params = LSTMParams(**{name: rounded(scale * value) for name, value in params.items()})
    return Arrays(params, xs, state(), normal(*rows, output), state(), options)


def named(params: LSTMParams) -> dict[str, Any]:
    return {name: value for name, value in params._asdict().items() if value is not None}


@functools.cache
def by_oracle(case: Case) -> tuple[list[np.ndarray], dict[str, np.ndarray]]:
    """Outputs with the last h and c, and gradients by name."""
    params, xs, (h, c), d_ys, d_state, options = draw(case)
    given = named(params)
    *outputs, tapes = oracle.layer(given, xs, h, c, reverse=case.reverse, **options)
    d_params, d_xs, d_h, d_c = oracle.layer_backward(given, tapes, d_ys, *d_state)
    return outputs, d_params | {"xs": d_xs, "h": d_h, "c": d_c}


def run_cases(kernel: Kernel, cases: Iterable[Case], dtype: str) -> dict[Case, Any]:
    """Outputs and gradients by case, all in one program, which compiles faster than one for each."""

    def run(case: Case, arrays: Arrays) -> Any:
        function = functools.partial(sequence(kernel), reverse=case.reverse, **arrays.options)
        outputs, pullback = jax.vjp(function, arrays.params, arrays.xs, arrays.state)
        return outputs, pullback((arrays.d_ys, arrays.d_state))

    with jax.enable_x64(dtype == "float64"):
        program = jax.jit(lambda drawn: {case: run(case, arrays) for case, arrays in drawn.items()})
        return program({case: draw(case, dtype) for case in cases})


def assert_is_the_oracle(found: Any, case: Case, dtype: str) -> None:
    """`found`, as `run_cases` returns it for `case`, is what the oracle computes."""
    outputs, gradients = by_oracle(case)
    (ys, state), (g_params, g_xs, g_state) = found
    for at, (got, expected) in enumerate(zip((ys, *state), outputs, strict=True)):
        assert_close("outputs", got, expected, state_dtype(dtype) if at else dtype, dtype, ("ys", "h", "c")[at])
    computed = named(g_params) | {"xs": g_xs, "h": g_state.h, "c": g_state.c}
    assert computed.keys() == gradients.keys()
    for name, expected in gradients.items():
        own = state_dtype(dtype) if name in "hc" else dtype
        assert_close("gradients", computed[name], expected, own, dtype, name)


def assert_close(kind: str, got: Any, expected: Any, own: Any, dtype: str, name: str) -> None:
    """`got` has the type `own`, and the tolerance of a computation in `dtype`."""
    if dtype != "bfloat16":
        assert_agree(kind, got, expected, own, name)
    else:
        assert got.dtype == own, name
        assert difference(got, expected).relative <= BFLOAT16, name


def loss(kernel: Callable[..., Any], params: Any, xs: Any, state: Any, **options: Any) -> jax.Array:
    """A scalar in which every entry of every result counts differently."""
    ys, last = kernel(params, xs, state, **options)
    total = jnp.zeros((), state_dtype(xs.dtype))
    for part in (ys, last.h, last.c):
        part = part.astype(total.dtype)
        weights = np.cos(0.7 * np.arange(part.size)).reshape(part.shape).astype(jnp.bfloat16).astype(total.dtype)
        total += jnp.sum(weights * part + 0.5 * weights * part * part)
    return total


def gradients(kernel: Callable[..., Any], arrays: Arrays, **options: Any) -> Any:
    """The gradients of the loss by parameters, inputs and state."""
    function = functools.partial(loss, kernel, **arrays.options, **options)
    return jax.jit(jax.grad(function, argnums=(0, 1, 2)))(*arrays[:3])
