"""Sharded arrays: rows and members stay on their devices, and gradients of the weights are summed over these."""

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax._src import dispatch
from jax.core import ShapedArray
from jax.experimental.custom_partitioning import custom_partitioning
from jax.sharding import AbstractMesh, Mesh, NamedSharding, PartitionSpec

from jax_lstm.kernels.fused.arrays import Signature, axes, sizes
from jax_lstm.kernels.primitives import identity

SPLIT = ("N", "B")  # a call is independent along these axes


def split_of(shardings: Mapping[str, Any]) -> dict[str, Any]:
    """The mesh axes over which N and B are sharded, by the first array that is; no mesh axis shards both."""
    split: dict[str, Any] = {}
    used: set[Any] = set()
    for name, sharding in shardings.items():
        for axis, mesh_axes in zip(axes(name), sharding.spec, strict=False):
            own = set(mesh_axes if isinstance(mesh_axes, tuple) else (mesh_axes,)) - {None}
            if axis in SPLIT and axis not in split and own and not own & used:
                split[axis] = mesh_axes
                used |= own
    return split


def spec_of(name: str, split: Mapping[str, Any]) -> PartitionSpec:
    return PartitionSpec(*(split.get(axis) for axis in axes(name)))


# To partition an operation, its lowering must know the devices. JAX tells them only to programs with a primitive in
# this set, which has no public name. So pyproject.toml caps jax at the versions where it is known.
needs_devices = identity("lstm_needs_devices")
dispatch.prim_requires_devices_during_lowering.add(needs_devices)


def align(arrays: Mapping[str, Any]) -> list[Any]:
    """The arrays, all sharded alike on a mesh with explicit axes, and varying over the same axes within `shard_map`.

    JAX then sums the gradients of those that were not.
    """
    types = {name: jax.typeof(array) for name, array in arrays.items()}
    varying = {name: at.manual_axis_type.varying for name, at in types.items()}
    union = frozenset().union(*varying.values())
    split = split_of({name: at.sharding for name, at in types.items()})
    mesh = next((at.sharding.mesh for at in types.values() if any(at.sharding.spec)), None)
    found = []
    for name, array in arrays.items():
        if missing := union - varying[name]:
            array = jax.lax.pcast(array, tuple(missing), to="varying")
        if mesh is not None and types[name].sharding.spec != (spec := spec_of(name, split)):
            array = jax.sharding.reshard(array, NamedSharding(mesh, spec))
        found.append(array)
    return found


def with_devices(operands: Sequence[Any], signature: Signature) -> list[Any]:
    """The operands, marked so that lowering the operation that takes them knows the devices, if it must.

    Plain JAX is partitioned by XLA; and where all axes of the mesh are manual, each device runs a call of its own.
    """
    mesh = jax.sharding.get_abstract_mesh()
    manual = bool(mesh.axis_names) and set(mesh.manual_axes) == set(mesh.axis_names)
    first, *others = operands
    return [first if manual or signature.lowering == "plain" else needs_devices.bind(first), *others]


def without_axes(ctx: Any) -> Any:
    """The context of a lowering, without the axes of `shard_map` over which arrays vary.

    Within a kernel, what is loaded would vary and what is computed would not, and JAX would refuse its loops.
    """

    def plain(avals: Sequence[Any]) -> list[Any]:
        return [ShapedArray(aval.shape, aval.dtype) for aval in avals]

    return ctx.replace(avals_in=plain(ctx.avals_in), avals_out=plain(ctx.avals_out))


@functools.cache
def partitioned(run: Callable[..., list[Any]], call: Signature) -> Callable[..., list[Any]]:
    """`run(call, ...)` as a function of its operands that XLA partitions along their sharded N and B."""
    function = custom_partitioning(functools.partial(run, call))

    def partition(mesh: Mesh, operands: Any, results: Any) -> Any:
        arrays = dict(zip((*call.operands, *call.results), (*operands, *results), strict=True))
        shardings = {name: array.sharding for name, array in arrays.items()}
        if not all(isinstance(sharding, NamedSharding) for sharding in shardings.values()):
            devices = sorted(operands[0].sharding.device_set, key=lambda device: device.id)
            mesh, shardings = Mesh(np.array(devices), ("all",)), {}
        size = sizes({name: array.shape for name, array in arrays.items()})
        # Rows that do not divide evenly would be padded with what must not enter a sum.
        split = {axis: over for axis, over in split_of(shardings).items() if size[axis] % _parts(mesh, over) == 0}

        def sharding_of(name: str) -> NamedSharding:
            return NamedSharding(mesh, spec_of(name, split))

        def on_each_device(*operands: Any) -> list[Any]:
            with jax.sharding.use_abstract_mesh(AbstractMesh((), ())):  # no mesh is in scope on one device
                found = run(call, *operands)
                return [
                    array if "B" in axes(name) or "B" not in split else jax.lax.psum(array, split["B"])
                    for name, array in zip(call.results, found, strict=True)
                ]

        found = [sharding_of(name) for name in call.results], tuple(sharding_of(name) for name in call.operands)
        return mesh, on_each_device, *found

    def rule(mesh: Any, operands: Any, results: Any) -> Any:
        sides = (", ".join(" ".join(axes(name).lower()) for name in side) for side in (call.operands, call.results))
        in_order = dict.fromkeys("".join(axes(name) for name in (*call.operands, *call.results)))
        whole = tuple(axis.lower() for axis in in_order if axis not in SPLIT)
        return " -> ".join(sides), {"need_replication_factors": whole}

    function.def_partition(partition, sharding_rule=rule)
    return function


def _parts(mesh: Mesh, over: Any) -> int:
    return math.prod(mesh.shape[name] for name in (over if isinstance(over, tuple) else (over,)))
