"""The fused operations as JAX primitives: shapes, batching, sharding, lowering and derivatives.

    infer      variables -> outputs
    forward    variables -> outputs and residuals for the backward pass
    tangents   tangents of the variables -> tangents of the outputs; linear, in plain JAX on every platform
    backward   the transpose of `tangents`

`infer` is differentiated into `forward` and `tangents`, and `tangents` is transposed into `backward`, so that reverse
mode runs on the platform's lowering. Everything else (forward mode, second derivatives, exported programs, platforms
without a lowering of their own) runs in plain JAX, see `jax_lstm.kernels.fused.plain`.
"""

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import jax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from jax_lstm.kernels.base import Call
from jax_lstm.kernels.fused import lowerings, plain, stacks
from jax_lstm.kernels.fused.arrays import (
    RESIDUALS,
    Arrays,
    Signature,
    at_layer,
    axes,
    depth,
    each,
    layer_of,
    results,
    sizes,
    tangent,
)
from jax_lstm.kernels.fused.batching import merge_axis
from jax_lstm.kernels.fused.sharding import align, partitioned, spec_of, split_of, with_devices, without_axes
from jax_lstm.kernels.primitives import compiled


class Operation:
    """One of the operations; called with arrays by name, it returns arrays by name.

    `function` computes it in plain JAX for one layer, `layers` for a stack. If `lowered`, platforms may have lowerings
    of their own for it; otherwise it is plain JAX on all of them.
    """

    def __init__(self, name: str, function: plain.Plain, layers: Callable[..., Arrays], lowered: bool = True):
        self.plain, self.layers = function, layers
        self.primitive = Primitive(f"lstm_{name}")
        self.primitive.multiple_results = True
        self.primitive.def_impl(functools.partial(compiled, self._outside_jit))
        self.primitive.def_abstract_eval(_abstract_eval)
        mlir.register_lowering(self.primitive, mlir.lower_fun(self.in_plain_jax, multiple_results=True))
        for platform in {row.platform for row in lowerings.LOWERINGS} if lowered else ():
            mlir.register_lowering(self.primitive, functools.partial(self._lower, platform), platform=platform)
        batching.primitive_batchers[self.primitive] = self._fold if lowered else self._batch_plain
        ad.primitive_jvps[self.primitive] = self._jvp

    def __call__(self, arrays: Mapping[str, Any], results: Iterable[str], *asked: Any) -> Arrays:
        signature = Signature(tuple(arrays), tuple(results), *asked)
        operands = with_devices(align(arrays), signature)
        return dict(zip(signature.results, self.primitive.bind(*operands, signature=signature), strict=True))

    def _outside_jit(self, *operands: Any, signature: Signature) -> list[Any]:
        return self.primitive.bind(*with_devices(operands, signature), signature=signature)

    def in_plain_jax(self, *operands: Any, signature: Signature) -> list[Any]:
        """The results, computed by `plain`; for a stack, layer by layer."""
        arrays = dict(zip(signature.operands, operands, strict=True))
        if depth(arrays) > 1:
            found = self.layers(self, arrays, signature.results, *signature.asked)
        else:
            found = self.plain(arrays, signature.results, signature.reverse)
        return [found[name] for name in signature.results]

    def _lower(self, platform: str, ctx: Any, *operands: Any, signature: Signature) -> Any:
        arrays = dict(zip(signature.operands, ctx.avals_in, strict=True))
        size = sizes({name: array.shape for name, array in arrays.items()})
        proj_size = size["R"] if "weight_hr" in arrays else 0
        given = tuple(name for name in ("mask", "resets") if name in arrays)
        shape = size["T"], size["B"], size["I"], size["H"]
        call = Call(platform, arrays["xs"].dtype, *shape, proj_size, given, signature.chip)
        exporting = ctx.module_context.lowering_parameters.for_export
        row = None if exporting else lowerings.choose(signature.lowering, call)
        if row is None or (depth(arrays) > 1 and not row.stacks):
            function = functools.partial(self.in_plain_jax, signature=signature)
        else:
            function, ctx = partitioned(row.run, signature), without_axes(ctx)
        return mlir.lower_fun(function, multiple_results=True)(ctx, *operands)

    def _batch_plain(self, operands: Sequence[Any], at: Sequence[Any], *, signature: Signature) -> tuple[Any, Any]:
        function = functools.partial(self.in_plain_jax, signature=signature)
        return jax.vmap(function, in_axes=tuple(at))(*operands), [0] * len(signature.results)

    def _fold(self, operands: Sequence[Any], at: Sequence[Any], *, signature: Signature) -> tuple[Any, Any]:
        """Fold the batch into N or B: more members where the weights are batched, more rows where only data is."""
        named = list(zip(signature.operands, operands, at, strict=True))
        count = next(operand.shape[axis] for _, operand, axis in named if axis is not None)
        rows_suffice = all("B" in axes(name) for name in signature.results) and all(
            axis is None or "B" in axes(name) for name, _, axis in named
        )
        into = "B" if rows_suffice else "N"
        merged = {name: merge_axis(operand, axis, name, into, count) for name, operand, axis in named}
        found = self(merged, signature.results, *signature.asked)
        first, operand, axis = named[0]  # it has both axes
        own = [size for i, size in enumerate(operand.shape) if i != axis][axes(first).index(into)]
        places = [axes(name).index(into) for name in signature.results]
        return [
            array.reshape(*array.shape[:place], count, own, *array.shape[place + 1 :])
            for array, place in zip(found.values(), places, strict=True)
        ], places

    def _jvp(self, primals: Sequence[Any], tangents: Sequence[Any], *, signature: Signature) -> Any:
        active = [i for i, value in enumerate(tangents) if _is_tangent(value)]

        def function(*values: Any) -> list[Any]:
            operands = list(primals)
            for i, value in zip(active, values, strict=True):
                operands[i] = value
            return self.in_plain_jax(*operands, signature=signature)

        return jax.jvp(function, [primals[i] for i in active], [tangents[i] for i in active])


def _abstract_eval(*operands: Any, signature: Signature) -> list[Any]:
    arrays = dict(zip(signature.operands, operands, strict=True))
    split, like = split_of(each(lambda array: array.sharding, arrays)), operands[0]
    return [
        like.update(
            shape=at.shape, dtype=at.dtype, weak_type=False, sharding=like.sharding.update(spec=spec_of(name, split))
        )
        for name, at in results(signature.results, arrays).items()
    ]


def _is_tangent(value: Any) -> bool:
    return type(value) is not ad.Zero and value.dtype != jax.dtypes.float0


def _jvp_of_infer(primals: Sequence[Any], d: Sequence[Any], *, signature: Signature) -> tuple[list[Any], list[Any]]:
    arrays = dict(zip(signature.operands, primals, strict=True))
    layers, h = range(depth(arrays)), "hs" if "mask" in arrays else "ys"
    residuals = [at_layer(name, layer) for layer in layers for name in RESIDUALS]
    hs = {at_layer("hs", layer): at_layer(h, layer) for layer in layers}
    found = forward(arrays, dict.fromkeys((*signature.results, *residuals, *hs.values())), *signature.asked)
    d_arrays = {tangent(name): value for name, value in zip(arrays, d, strict=True) if _is_tangent(value)}
    known = arrays | {name: found[name] for name in residuals} | {name: found[kept] for name, kept in hs.items()}
    d_found = tangents(known | d_arrays, [tangent(name) for name in signature.results], *signature.asked)
    return [found[name] for name in signature.results], list(d_found.values())


def _transpose(cotangents: Sequence[Any], *operands: Any, signature: Signature) -> list[Any]:
    named = dict(zip(signature.operands, operands, strict=True))
    wanted = [name for name, operand in named.items() if ad.is_undefined_primal(operand)]
    known = {name: operand for name, operand in named.items() if name.removeprefix("d_") == name}
    outer = {name: ad.instantiate_zeros(value) for name, value in zip(signature.results, cotangents, strict=True)}
    run = backward if min(map(layer_of, wanted)) == 0 else functools.partial(stacks.downwards, backward)
    found = run(outer | known, wanted, *signature.asked)
    return [found.get(name) for name in signature.operands]


infer = Operation("infer", plain.infer, stacks.upwards)
forward = Operation("forward", plain.run, stacks.upwards)
tangents = Operation("tangents", plain.tangents, stacks.tangents_upwards, lowered=False)
backward = Operation("backward", plain.backward, stacks.downwards)
ad.primitive_jvps[infer.primitive] = _jvp_of_infer
ad.primitive_transposes[tangents.primitive] = _transpose
