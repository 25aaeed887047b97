"""Split the batch over devices of the host, in a child process, since their number is fixed when JAX starts."""

from collections.abc import Sequence
from typing import Any

import jax
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from benchmarks.core import child
from benchmarks.core.cases import Case
from benchmarks.core.contenders import BASELINE
from benchmarks.core.contenders.base import Contender
from benchmarks.core.record import FAILED, Row
from benchmarks.jit.measure import Effort, named, rows
from benchmarks.jit.networks import Network, layer_by_layer, scan
from benchmarks.jit.variants import VARIANTS, Variant, build, by_kernel
from jax_lstm.kernels import Fused, Scan

PART = "devices"
NETWORKS = {"scan": layer_by_layer(scan()), "scan kernel": by_kernel(Scan()), "native": by_kernel(Fused("native"))}
ONE, SHARDED, MAPPED = "", ", sharded inputs", ", shard_map"
WAYS = {
    ONE: "`{}` on one of {} devices",
    SHARDED: "`{}` jitted, its inputs lying on {} devices: the compiler partitions the program",
    MAPPED: "`{}` under shard_map on {} devices: each runs its rows, gradients of weights are summed at the end",
}


def on_devices(
    case: Case, count: int, effort: Effort, measures: Sequence[str], names: Sequence[str] = tuple(NETWORKS)
) -> list[Row]:
    """The rows, from a child with `count` devices and as many threads as this process."""
    found = child.run(_measured, case, count, effort, measures, names)
    if found.failed:
        why, ways = f"{FAILED}the process ended: {found.failed}", [name + way for name in names for way in WAYS]
        return [Row(PART, named(case), who, measure, status=why) for measure in measures for who in ways]
    return found.value


def variants(count: int, names: Sequence[str]) -> dict[str, Variant]:
    """PyTorch, and each network on one device and, in two ways, on all."""
    found = {BASELINE: VARIANTS[BASELINE]}
    mesh = jax.make_mesh((count,), ("rows",))
    place = (NamedSharding(mesh, P()), NamedSharding(mesh, P(None, "rows")))
    for name in names:
        for way, about in WAYS.items():
            network = _mapped(NETWORKS[name], mesh) if way == MAPPED else NETWORKS[name]
            made = build(network, place=None if way == ONE else place)
            backend = "native" if name == "native" else ""
            found[name + way] = Variant(Contender(made, about.format(name, count), backend=backend))
    return found


def _mapped(network: Network, mesh: Any) -> Network:
    rows = P(None, "rows")
    # `check_vma` would require the zeros that a scan starts from to be marked as varying by device.
    return jax.shard_map(network, mesh=mesh, in_specs=(P(), rows), out_specs=rows, check_vma=False)


def _measured(case: Case, count: int, effort: Effort, measures: Sequence[str], names: Sequence[str]) -> list[Row]:
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_num_cpu_devices", count)
    jax.config.update("jax_enable_compilation_cache", False)
    groups = (rows(PART, case, measure, variants(count, names), effort, count) for measure in measures)
    return [row for group in groups for row in group]
