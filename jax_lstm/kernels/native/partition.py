"""Sharded arrays under `jit`: rows and members stay where they are, and gradients of the weights are summed."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax._src.dispatch import prim_requires_devices_during_lowering
from jax.experimental.custom_partitioning import custom_partitioning
from jax.extend.core import Primitive
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jax_lstm.kernels.native.arrays import axes

SPLIT = ("N", "B")  # the axes along which a call falls into independent ones


def partitioned(primitive: Primitive, native: Callable[..., list[Any]]) -> Callable[..., list[Any]]:
    """`native(call, *operands)` as a function of operands and `call`, cut along the axes in which its data are sharded."""
    function = custom_partitioning(native, static_argnums=(0,))

    def partition(call: Any, mesh: Mesh, operands: Any, results: Any) -> Any:
        names = (*call.operands, *call.results)
        shardings = [array.sharding for array in (*operands, *results)]
        if not all(isinstance(sharding, NamedSharding) for sharding in shardings):
            devices = sorted(shardings[0].device_set, key=lambda device: device.id)
            mesh, shardings = Mesh(np.array(devices), ("all",)), []
        split: dict[str, Any] = {}
        for name, sharding in zip(names, shardings, strict=False):
            for axis, mesh_axes in zip(axes(name), sharding.spec, strict=False):
                if axis in SPLIT and mesh_axes is not None:
                    split.setdefault(axis, mesh_axes)

        def sharding_of(name: str) -> NamedSharding:
            return NamedSharding(mesh, PartitionSpec(*(split.get(axis) for axis in axes(name))))

        def on_each_device(*operands: Any) -> list[Any]:
            found = native(call, *operands)
            if "B" not in split:
                return found
            return [
                array if "B" in axes(name) else jax.lax.psum(array, split["B"])
                for name, array in zip(call.results, found, strict=True)
            ]

        found = [sharding_of(name) for name in call.results], tuple(sharding_of(name) for name in call.operands)
        return mesh, on_each_device, *found

    def rule(call: Any, mesh: Any, operands: Any, results: Any) -> Any:
        sides = (" , ".join(" ".join(axes(name).lower()) for name in side) for side in (call.operands, call.results))
        whole = {axis.lower() for name in (*call.operands, *call.results) for axis in axes(name) if axis not in SPLIT}
        return " -> ".join(sides), {"need_replication_factors": tuple(sorted(whole))}

    function.def_partition(partition, sharding_rule=rule)
    prim_requires_devices_during_lowering.add(primitive)
    return lambda *operands, call: function(call, *operands)
