"""Problems for kernels: random arguments by sizes and options, and a scalar loss in which every result counts."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jax_lstm.kernels import Fused, Kernel, Reference, Scan
from jax_lstm.params import LSTMParams, LSTMState, state_dtype


def sequence(kernel: Kernel) -> Callable[..., Any]:
    """What a kernel does with one layer in one direction, as a function of `params, xs, state`."""
    return lambda params, xs, state, **options: kernel.sequence(params, LSTMState(*state), xs, **options)


native, plain, scan, reference = (sequence(kernel) for kernel in (Fused("native"), Fused("plain"), Scan(), Reference()))


class Sizes(NamedTuple):
    steps: int = 4
    batch: int = 3
    input_size: int = 3
    hidden_size: int = 5
    proj_size: int = 0


SIZES = Sizes()


class Problem(NamedTuple):
    params: LSTMParams
    xs: Any
    state: LSTMState
    options: dict[str, Any]  # mask, resets: arrays


def problem(
    sizes: Sizes = SIZES,
    dtype: Any = "float32",
    *,
    bias: bool = True,
    mask: bool = False,
    resets: bool = False,
    seed: int = 0,
) -> Problem:
    """NumPy arrays of `dtype`, the same numbers for every type but for rounding."""
    rng = np.random.default_rng(seed)
    steps, batch, input_size, hidden_size, proj_size = sizes
    output_size, dtype = proj_size or hidden_size, jnp.dtype(dtype)
    width = 1.5 / np.sqrt(hidden_size + input_size)

    def draw(*shape: int, scale: float = width) -> Any:
        return (scale * rng.standard_normal(shape)).astype(jnp.bfloat16).astype(dtype)  # exact in all types

    params = LSTMParams(
        draw(4 * hidden_size, input_size),
        draw(4 * hidden_size, output_size),
        *((draw(4 * hidden_size), draw(4 * hidden_size)) if bias else (None, None)),
        draw(proj_size, hidden_size) if proj_size else None,
    )
    xs = draw(steps, batch, input_size, scale=1.0)
    state = LSTMState(*(draw(batch, size, scale=0.7).astype(state_dtype(dtype)) for size in (output_size, hidden_size)))
    options = {}
    if mask:
        options["mask"] = rng.random((steps, batch)) < 0.6
    if resets:
        options["resets"] = rng.random((steps, batch)) < 0.3
    return Problem(params, xs, state, options)


def loss(kernel: Callable[..., Any], params: Any, xs: Any, state: Any, **options: Any) -> tuple[jax.Array, Any]:
    """A scalar that weights every entry of every result differently, and the results."""
    ys, last = kernel(params, xs, state, **options)
    total = jnp.zeros((), state_dtype(xs.dtype))
    for part in (ys, last.h, last.c):
        part = part.astype(total.dtype)
        weights = np.cos(0.7 * np.arange(part.size)).reshape(part.shape).astype(jnp.bfloat16).astype(total.dtype)
        total += jnp.sum(weights * part + 0.5 * weights * part * part)
    return total, (ys, last)


def gradients(kernel: Callable[..., Any], case: Problem, **options: Any) -> tuple[Any, Any]:
    """The gradients of the loss by parameters, inputs and state, and the results of the kernel."""
    function = functools.partial(loss, kernel, **case.options, **options)
    return jax.jit(jax.grad(function, argnums=(0, 1, 2), has_aux=True))(*case[:3])
