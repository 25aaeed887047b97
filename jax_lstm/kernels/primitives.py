"""Primitives that know the platform that they are lowered for: it is not known when a program is traced."""

import functools
from collections.abc import Callable
from typing import Any

import jax
from jax.experimental.layout import Layout, with_layout_constraint
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from jax_lstm.checks import InputError
from jax_lstm.kernels.base import PLATFORMS


def compiled(bind: Callable[..., Any], *operands: Any, **params: Any) -> Any:
    """Run a primitive outside `jit`: compiled once for each `params` and operands, even under `jax.disable_jit`."""
    with jax.disable_jit(False):
        return _jitted(bind, **params)(*operands)


@functools.cache
def _jitted(bind: Callable[..., Any], **params: Any) -> Any:
    return jax.jit(functools.partial(bind, **params))


def identity(name: str, lower: Callable[..., Any] = lambda platform, ctx, x, **params: x) -> Primitive:
    """A primitive that returns its one array; `lower(platform, ctx, x, **params)` lowers it on each of `PLATFORMS`."""
    primitive = Primitive(name)
    primitive.def_impl(functools.partial(compiled, primitive.bind))
    primitive.def_abstract_eval(lambda x, **params: x)
    ad.deflinear2(primitive, lambda cotangent, x, **params: [cotangent])
    batching.defvectorized(primitive)

    def lower_on(platform: str, ctx: Any, x: Any, **params: Any) -> Any:
        return [lower(platform, ctx, x, **params)]

    mlir.register_lowering(primitive, lambda ctx, x, **params: [x])
    for platform in PLATFORMS:
        mlir.register_lowering(primitive, functools.partial(lower_on, platform), platform=platform)
    return primitive


def _refuse(platform: str, ctx: Any, x: Any, *, refusals: tuple[tuple[str, str], ...]) -> Any:
    if message := dict(refusals).get(platform):
        raise InputError(message)
    return x


# A program is traced once, and lowered for one platform or several: only then is it known whether it can be served.
only_where_served = identity("lstm_only_where_served", _refuse)  # refusals: ((platform, message), ...)


def _lay_out(platform: str, ctx: Any, x: Any) -> Any:
    if platform != "tpu" or ctx.module_context.lowering_parameters.for_export:  # which allows no such constraint
        return x
    layout = Layout(tuple(range(ctx.avals_in[0].ndim)))
    return mlir.lower_fun(lambda x: with_layout_constraint(x, layout), multiple_results=False)(ctx, x)[0]


# Left alone, XLA for TPU gives a product over all steps a layout in which the steps of a row are neighbours, and a loop
# then gathers each step from all over the array.
time_major = identity("time_major", _lay_out)
