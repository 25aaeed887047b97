"""A stack of layers at several sizes, with every option: what a kernel makes of it, held against the oracle."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import oracle
from kernels.cases import Arrays, Case, assert_close, draw, named

from jax_lstm.kernels import Kernel
from jax_lstm.kernels.base import Direction, Stack
from jax_lstm.params import LSTMState, state_dtype

# How many layers, and the first of them: one step, fewer and more steps than are reported at a time, and work enough
# for several threads.
CASES = {
    "one step": (2, Case(1, 1, 2, 3)),
    "two layers": (2, Case(19, 3, 4, 7)),
    "three, without bias": (3, Case(8, 4, 9, 5, bias=False)),
    "mask": (3, Case(11, 2, 3, 5, mask=True)),
    "resets": (2, Case(11, 2, 3, 5, resets=True)),
    "all": (4, Case(21, 3, 3, 6, proj_size=2, mask=True, resets=True)),
    "on threads": (3, Case(300, 2, 5, 33)),
    "on threads, all": (2, Case(200, 4, 40, 48, proj_size=30, mask=True, resets=True)),
}
Layers = tuple[Arrays, ...]  # the first has the inputs of the stack, the last the cotangent of its outputs


def draw_layers(case: Case, count: int, dtype: Any = "float64") -> Layers:
    """Layers that read each other's outputs, with one mask and one array of resets."""
    first = draw(case, dtype)
    size = case.proj_size or case.hidden_size
    upper = case._replace(input_size=size, mask=False, resets=False)
    return first, *(draw(upper, dtype, seed) for seed in range(1, count))


def stack_of(kernel: Kernel) -> Callable[..., Any]:
    """What a kernel does with a stack, as a function of `params, xs, states`, both by layer."""

    def run(params: Any, xs: Any, states: Any, **options: Any) -> Any:
        layers = tuple((Direction(*own),) for own in zip(params, [LSTMState(*state) for state in states], strict=True))
        return kernel.run(Stack(xs, layers, (None,) * len(layers), **options))

    return run


def point(layers: Layers) -> tuple[Any, Any, Any]:
    """The arguments of `stack_of`."""
    return tuple(own.params for own in layers), layers[0].xs, tuple(own.state for own in layers)


def loss(run: Callable[..., Any], layers: Layers, *at: Any) -> jax.Array:
    """Outputs and last states weighted by their cotangents."""
    ys, last = run(*at, **layers[0].options)
    d_state = [np.stack(parts) for parts in zip(*(own.d_state for own in layers), strict=True)]
    total = (ys * layers[-1].d_ys).sum()
    for found, weights in zip(last, d_state, strict=True):
        total += (found * weights).sum()
    return total


def assert_is_the_oracle(run: Callable[..., Any], case: Case, count: int, dtype: str) -> None:
    """Outputs and gradients of everything are what the oracle computes layer by layer."""
    layers, exact = draw_layers(case, count, dtype), draw_layers(case, count)
    outputs, pullback = jax.vjp(lambda *at: run(*at, **layers[0].options), *point(layers))
    d_state = LSTMState(*(jnp.stack(parts) for parts in zip(*(own.d_state for own in layers), strict=True)))
    d_params, d_xs, d_states = pullback((layers[-1].d_ys, d_state))
    ys, tapes, options, own = exact[0].xs, [], exact[0].options, state_dtype(dtype)
    for at, layer in enumerate(exact):
        ys, h, c, tape = oracle.layer(named(layer.params), ys, *layer.state, **options)
        tapes.append(tape)
        assert_close("outputs", outputs[1].h[at], h, own, dtype, f"h of layer {at}")
        assert_close("outputs", outputs[1].c[at], c, own, dtype, f"c of layer {at}")
    assert_close("outputs", outputs[0], ys, dtype, dtype, "ys")
    d_ys = exact[-1].d_ys
    for at, layer in reversed(list(enumerate(exact))):
        expected, d_ys, d_h, d_c = oracle.layer_backward(named(layer.params), tapes[at], d_ys, *layer.d_state)
        for name, gradient in expected.items():
            assert_close("gradients", named(d_params[at])[name], gradient, dtype, dtype, f"{name} of layer {at}")
        assert_close("gradients", d_states[at].h, d_h, own, dtype, f"h of layer {at}")
        assert_close("gradients", d_states[at].c, d_c, own, dtype, f"c of layer {at}")
    assert_close("gradients", d_xs, d_ys, dtype, dtype, "xs")
