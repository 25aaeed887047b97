"""Compile training steps over a mesh for devices of this host, or lower them for others; they are never run.

`python -m benchmarks.scaling.step ARGUMENTS` takes JSON, and prints each row as a line of JSON. It is a child process,
since the number of devices is fixed when JAX starts.
"""

import dataclasses
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import numpy as np
from flax import nnx
from jax.sharding import AbstractMesh, AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from benchmarks.device import compile_for
from benchmarks.jit.exchanges import exchanges
from benchmarks.record import ROOT
from benchmarks.scaling.rows import Row, Size
from jax_lstm.checks import InputError
from jax_lstm.data.text import Alphabet, Text, TextConfig
from jax_lstm.tasks.text import LanguageModelling
from jax_lstm.train.config import ModelConfig, TrainConfig
from jax_lstm.train.mesh import DATA, MODEL
from jax_lstm.train.optimizer import make_optimizer
from jax_lstm.train.sharding import division, row_spec, shard_step
from jax_lstm.train.step import init_state, scan_steps, step_of
from jax_lstm.train.task import loss_of

MOST = 256  # devices
CALLS = 100  # training steps per call, the default of --chunk-steps
BYTES = 256  # symbols


def rows(size: Size, meshes: Sequence[tuple[int, int]], topology: str = "") -> Iterator[Row]:
    """Yield a row for each `(data, model)`, from a child: for `MOST` devices of the host, or those described."""
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={MOST}"
    child = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.scaling.step", json.dumps([size, meshes, topology])],
        cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT), "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    with child:
        assert child.stdout is not None
        for line in child.stdout:
            yield Row(**json.loads(line))
    if child.returncode:
        raise InputError(f"the compilation over {meshes} ended with {child.returncode}; see above")


def row(size: Size, data: int, model: int, topology: str = "") -> Row:
    """Compile for the first devices of this process, or of a described `topology`, such as "v5e:2x4"."""
    devices = compile_for.topology(topology).devices if topology else jax.devices()
    mesh = Mesh(np.array(devices[: data * model]).reshape(data, model), (DATA, MODEL))
    began = time.monotonic()
    run, arguments = program(size, mesh)
    compiled = run.trace(*arguments).lower(lowering_platforms=(devices[0].platform,)).compile()
    params = jax.tree.leaves(arguments[0].params)
    found = [dataclasses.asdict(each) for each in exchanges(compiled.as_text())]
    held = sum(_bytes(leaf.sharding.shard_shape(leaf.shape), leaf.dtype) for leaf in params)
    whole = sum(_bytes(leaf.shape, leaf.dtype) for leaf in params)
    seconds = time.monotonic() - began
    described = (topology, compile_for.memory(compiled)) if topology else ()
    return Row(*size, data, model, whole, held, flops(size), CALLS, found, seconds, *described)


def lowered(size: Size, data: int, model: int, platform: str) -> str:
    """Lower for a mesh of devices of another platform; returns the StableHLO."""
    mesh = AbstractMesh((data, model), (DATA, MODEL), axis_types=(AxisType.Auto,) * 2)
    run, arguments = program(size, mesh)
    return run.trace(*arguments).lower(lowering_platforms=(platform,)).as_text()


def program(size: Size, mesh: Any) -> tuple[Any, tuple[Any, ...]]:
    """The call that `jax-lstm train text --units bytes` jits for a mesh; its arguments as shapes and places."""
    devices = mesh.shape[DATA] * mesh.shape[MODEL]
    batch = size.rows * devices
    own = {"model": ModelConfig(size.hidden_size, size.layers), "text": TextConfig(units="bytes", steps=size.steps)}
    config = TrainConfig(task="text", batch_size=batch, **own)
    text = np.zeros(2**20, np.int32)  # of which the program sees the length
    task = LanguageModelling(config, Text(config.text, Alphabet("bytes"), text, text[:0]))
    model = nnx.eval_shape(lambda: task.build(config))
    model.train()
    optimizer = make_optimizer(config.optim, 1, nnx.state(model, nnx.Param))
    run_steps = scan_steps(step_of(nnx.graphdef(model), optimizer, loss_of(task), *division(mesh)), task.gather)

    def start() -> Any:
        model = task.build(config)
        return init_state(model, optimizer, model.start(batch))

    state = jax.eval_shape(start)
    run, specs = shard_step(lambda state, arrays, rows, numbers: run_steps(state, arrays, rows), mesh, state, 0)
    calls = jax.ShapeDtypeStruct((CALLS, batch), np.int32, sharding=NamedSharding(mesh, row_spec(0)))
    arrays = jax.ShapeDtypeStruct(text.shape, text.dtype, sharding=NamedSharding(mesh, P()))
    return run, (jax.tree.map(lambda leaf, spec: _placed(leaf, mesh, spec), state, specs), arrays, calls, {})


def flops(size: Size) -> float:
    """FLOPs per device and training step: 2 per weight and character forward, twice that backward."""
    units = size.hidden_size
    weights = size.layers * 4 * units * 2 * units + units * BYTES
    return 3 * 2.0 * weights * size.rows * size.steps


def _placed(leaf: Any, mesh: Any, spec: P) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=NamedSharding(mesh, spec))


def _bytes(shape: Sequence[int], dtype: Any) -> int:
    return int(np.prod(shape)) * np.dtype(dtype).itemsize


def main(arguments: str) -> None:
    size, meshes, topology = json.loads(arguments)
    for data, model in meshes:
        print(json.dumps(dataclasses.asdict(row(Size(*size), data, model, topology))), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
