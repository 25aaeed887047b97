"""Split the batch over devices of the host, in a child process, since their number is fixed when JAX starts.

`python -m benchmarks.jit.devices ARGUMENTS` takes JSON, and prints the rows as JSON on its last line.
"""

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from benchmarks.jit.measuring import Candidate, Effort, measure, unmeasured
from benchmarks.jit.networks import Network
from benchmarks.jit.programs import MEASURES, Program, in_jax
from benchmarks.jit.rows import Row
from benchmarks.jit.sizes import Size
from benchmarks.jit.variants import VARIANTS, YARDSTICK
from benchmarks.record import ROOT
from benchmarks.sampling import Plan

SPREAD = ("scan", "scan kernel", "native")  # variants to run on several devices
WAYS = {
    "": "`{}` on one of {} devices",
    ", sharded inputs": "`{}` jitted, its inputs lying on {} devices: the compiler partitions the program",
    ", shard_map": "`{}` under shard_map on {} devices: each runs its rows, gradients of weights are summed at the end",
}


def rows(
    size: Size, count: int, effort: Effort, measures: Sequence[str] = MEASURES, spread: Sequence[str] = SPREAD
) -> list[Row]:
    """The rows, from a child process with `count` devices and as many threads as this process."""
    asked = {
        "size": dataclasses.asdict(size),
        "count": count,
        "measures": measures,
        "spread": spread,
        "plan": effort.plan,
        "compiles": effort.compiles,
        "texts": str(effort.texts.resolve()) if effort.texts else "",
    }
    ran = subprocess.run(
        [sys.executable, "-m", "benchmarks.jit.devices", json.dumps(asked)],
        cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if ran.returncode:
        last = (ran.stderr.strip().splitlines() or ["no message"])[-1]
        return [
            replace(unmeasured("devices", size, name, entry, candidate, count), failed=f"the process ended: {last}")
            for name in measures
            for entry, candidate in candidates(size, count, name, spread).items()
        ]
    return [Row(**row) for row in json.loads(ran.stdout.splitlines()[-1])]


def candidates(size: Size, count: int, name: str, spread: Sequence[str]) -> dict[str, Candidate]:
    """PyTorch, and each variant on one device and, in two ways, on all."""
    found = {YARDSTICK: Candidate(lambda: VARIANTS[YARDSTICK].program(size, name), VARIANTS[YARDSTICK].about)}
    for variant in spread:
        refusal = VARIANTS[variant].refusal(size, name)
        for way, about in WAYS.items():
            found[variant + way] = Candidate(
                lambda variant=variant, way=way: _program(variant, way, size, count, name),
                about.format(variant, count),
                refusal=refusal,
            )
    return found


def _program(variant: str, way: str, size: Size, count: int, name: str) -> Program:
    network = VARIANTS[variant].network
    assert network is not None
    if not way:
        return in_jax(network, size, name)
    mesh = jax.make_mesh((count,), ("rows",))
    rows, everywhere = P(None, "rows"), P()
    if way == ", shard_map":
        network = _mapped(network, mesh, rows, everywhere)
    return in_jax(network, size, name, place=(NamedSharding(mesh, everywhere), NamedSharding(mesh, rows)))


def _mapped(network: Network, mesh: Any, rows: Any, everywhere: Any) -> Network:
    # `check_vma` would require the zeros that a scan starts from to be marked as varying by device.
    return jax.shard_map(network, mesh=mesh, in_specs=(everywhere, rows), out_specs=rows, check_vma=False)


def main(arguments: str) -> None:
    asked = json.loads(arguments)
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_num_cpu_devices", asked["count"])
    jax.config.update("jax_enable_compilation_cache", False)
    size, count = Size(**asked["size"]), asked["count"]
    effort = Effort(Plan(*asked["plan"]), asked["compiles"], texts=Path(asked["texts"]) if asked["texts"] else None)
    found = [
        row
        for name in asked["measures"]
        for row in measure("devices", size, name, candidates(size, count, name, asked["spread"]), effort, count)
    ]
    print(json.dumps([dataclasses.asdict(row) for row in found], allow_nan=False))


if __name__ == "__main__":
    main(sys.argv[1])
