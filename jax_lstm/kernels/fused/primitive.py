"""The native operations as JAX primitives: shapes, batching, partitioning, lowering and derivatives.

    infer      variables -> outputs
    forward    variables -> outputs and what the way back needs
    tangents   tangents of the variables -> tangents of the outputs; linear, and in plain JAX everywhere
    backward   the transpose of `tangents`

`infer` is differentiated into `forward` and `tangents`, and `tangents` is transposed into `backward`; so reverse mode
runs natively. Whatever else is asked for (forward mode, a second derivative) runs in plain JAX, see
`jax_lstm.kernels.fused.plain`; so does every operation on other platforms and in exported programs.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax._src import dispatch  # has no public name
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from jax_lstm.kernels.fused import plain
from jax_lstm.kernels.fused.arrays import OUTPUTS, Arrays, axes, every, results, tangent
from jax_lstm.kernels.fused.cpu import lowering
from jax_lstm.kernels.fused.partition import alike, partitioned, spec_of, split_of

KEPT = ("gates", "cs")  # by `forward`, and `hs` where there is a mask


class Call(NamedTuple):
    """What is known of a call when compiling: the names of its operands and of its results, and the direction."""

    operands: tuple[str, ...]
    results: tuple[str, ...]
    reverse: bool


class Operation(NamedTuple):
    primitive: Primitive
    plain: plain.Plain

    def __call__(self, arrays: Mapping[str, Any], results: Sequence[str], reverse: bool) -> Arrays:
        call = Call(tuple(arrays), tuple(results), reverse)
        return dict(zip(results, self.primitive.bind(*alike(arrays), call=call), strict=True))

    def in_plain_jax(self, *operands: Any, call: Call) -> list[Any]:
        found = self.plain(dict(zip(call.operands, operands, strict=True)), call.results, call.reverse)
        return [found[name] for name in call.results]


def _operation(name: str, function: plain.Plain, native: Callable[..., list[Any]] | None) -> Operation:
    primitive = Primitive(f"lstm_{name}")
    primitive.multiple_results = True
    operation = Operation(primitive, function)

    def abstract_eval(*operands: Any, call: Call) -> list[Any]:
        arrays = dict(zip(call.operands, operands, strict=True))
        split, like = split_of(every(lambda array: array.sharding, arrays)), operands[0]
        return [
            like.update(
                shape=at.shape,
                dtype=at.dtype,
                weak_type=False,
                sharding=like.sharding.update(spec=spec_of(name, split)),
            )
            for name, at in results(call.results, arrays).items()
        ]

    lower_plain = mlir.lower_fun(operation.in_plain_jax, multiple_results=True)
    dispatch.simple_impl(primitive)
    primitive.def_abstract_eval(abstract_eval)
    mlir.register_lowering(primitive, lower_plain)
    if native is not None:
        lower_native = mlir.lower_fun(
            lambda *operands, call: partitioned(native, call)(*operands), multiple_results=True
        )

        def lower(ctx: Any, *operands: Any, call: Call) -> Any:
            exporting = ctx.module_context.lowering_parameters.for_export
            return (lower_plain if exporting else lower_native)(ctx, *operands, call=call)

        dispatch.prim_requires_devices_during_lowering.add(primitive)  # as `custom_partitioning` does
        mlir.register_lowering(primitive, lower, platform="cpu")
        batching.primitive_batchers[primitive] = functools.partial(_fold, operation)
    else:
        batching.primitive_batchers[primitive] = functools.partial(_batch_plain, operation)
    ad.primitive_jvps[primitive] = functools.partial(_jvp_of_plain, operation)
    return operation


# Batching: what is batched in its data alone gets more rows, what is batched in its weights more members.


def _fold(
    operation: Operation, operands: Sequence[Any], at: Sequence[Any], *, call: Call
) -> tuple[list[Any], list[int]]:
    named = list(zip(call.operands, operands, at, strict=True))
    count = next(operand.shape[axis] for _, operand, axis in named if axis is not None)
    rows_suffice = all("B" in axes(name) for name in call.results) and all(
        axis is None or "B" in axes(name) for name, _, axis in named
    )
    into = "B" if rows_suffice else "N"
    found = operation(
        {name: _merge(operand, axis, name, into, count) for name, operand, axis in named}, call.results, call.reverse
    )
    places = [axes(name).index(into) for name in call.results]
    first, operand, axis = named[0]  # it has both axes
    own = [size for i, size in enumerate(operand.shape) if i != axis][axes(first).index(into)]
    return [
        array.reshape(*array.shape[:place], count, own, *array.shape[place + 1 :])
        for array, place in zip(found.values(), places, strict=True)
    ], places


def _merge(operand: Any, axis: int | None, name: str, into: str, count: int) -> Any:
    """The operand with its batched axis merged into another; repeated `count` times if it has no batched axis."""
    if into not in axes(name):
        return operand
    place = axes(name).index(into)
    if axis is None:
        operand = jnp.broadcast_to(
            jnp.expand_dims(operand, place), (*operand.shape[:place], count, *operand.shape[place:])
        )
    else:
        operand = jnp.moveaxis(operand, axis, place)
    return operand.reshape(*operand.shape[:place], count * operand.shape[place + 1], *operand.shape[place + 2 :])


def _batch_plain(operation: Operation, operands: Sequence[Any], at: Sequence[Any], *, call: Call) -> tuple[Any, Any]:
    function = functools.partial(operation.in_plain_jax, call=call)
    return jax.vmap(function, in_axes=tuple(at))(*operands), [0] * len(call.results)


# Derivatives.


def _is_tangent(value: Any) -> bool:
    return type(value) is not ad.Zero and value.dtype != jax.dtypes.float0


def _jvp_of_plain(operation: Operation, primals: Sequence[Any], tangents: Sequence[Any], *, call: Call) -> Any:
    active = [i for i, value in enumerate(tangents) if _is_tangent(value)]

    def function(*values: Any) -> list[Any]:
        operands = list(primals)
        for i, value in zip(active, values, strict=True):
            operands[i] = value
        return operation.in_plain_jax(*operands, call=call)

    return jax.jvp(function, [primals[i] for i in active], [tangents[i] for i in active])


def _jvp_of_infer(primals: Sequence[Any], tangents: Sequence[Any], *, call: Call) -> tuple[list[Any], list[Any]]:
    arrays = dict(zip(call.operands, primals, strict=True))
    kept = KEPT + ("hs",) * ("mask" in arrays)
    found = forward(arrays, (*OUTPUTS, *kept), call.reverse)
    names = call.operands
    d = {tangent(name): value for name, value in zip(names, tangents, strict=True) if _is_tangent(value)}
    known = arrays | {name: found[name] for name in KEPT} | {"hs": found.get("hs", found["ys"])}
    d_found = tangents_(known | d, [tangent(name) for name in call.results], call.reverse)
    return [found[name] for name in call.results], list(d_found.values())


def _transpose(cotangents: Sequence[Any], *operands: Any, call: Call) -> list[Any]:
    named = dict(zip(call.operands, operands, strict=True))
    wanted = [name for name, operand in named.items() if ad.is_undefined_primal(operand)]
    known = {name: operand for name, operand in named.items() if name.removeprefix("d_") == name}
    outer = {name: ad.instantiate_zeros(value) for name, value in zip(call.results, cotangents, strict=True)}
    found = backward(outer | known, wanted, call.reverse)
    return [found.get(name) for name in call.operands]


infer = _operation("infer", plain.infer, lowering.forward)
forward = _operation("forward", plain.run, lowering.forward)
tangents_ = _operation("tangents", plain.tangents, None)
backward = _operation("backward", plain.backward, lowering.backward)
ad.primitive_jvps[infer.primitive] = _jvp_of_infer
ad.primitive_transposes[tangents_.primitive] = _transpose
