"""Compile training steps over a mesh for devices of this host, or lower them for others; they are never run.

`python -m benchmarks.scaling.step ARGUMENTS` takes JSON, and prints each row as a line of JSON. It is a child process,
since the number of devices is fixed when JAX starts.
"""

import dataclasses
import json
import os
import re
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

from benchmarks.device.compile_for import memory
from benchmarks.device.topology import described, platform
from benchmarks.jit.exchanges import exchanges
from benchmarks.record import ROOT
from benchmarks.scaling.rows import HOST, Row, Size, Target
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
PALLAS = re.compile('custom_call_target="(tpu_custom_call|mosaic_gpu)')


def rows(size: Size, meshes: Sequence[tuple[int, int]], target: Target = HOST) -> Iterator[Row]:
    """Yield a row for each `(data, model)`, from a child: for `MOST` devices of the host, or those described."""
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={MOST}"
    child = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.scaling.step", json.dumps([size, meshes, target])],
        cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT), "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    with child:
        assert child.stdout is not None
        for line in child.stdout:
            yield Row(**json.loads(line))
    if child.returncode:
        raise InputError(f"the compilation over {meshes} ended with {child.returncode}; see above")


def row(size: Size, data: int, model: int, target: Target = HOST) -> Row:
    """Compile for the first devices of this process, or of those described."""
    devices = described(target.topology) if target.topology else jax.devices()
    mesh = Mesh(np.array(devices[: data * model]).reshape(data, model), (DATA, MODEL))
    began = time.monotonic()
    run, arguments = program(size, mesh, target)
    compiled = run.trace(*arguments).lower(lowering_platforms=(platform(devices[0]),)).compile()
    params, text = jax.tree.leaves(arguments[0].params), compiled.as_text()
    return Row(
        *size,
        data,
        model,
        parameters=sum(_bytes(leaf.shape, leaf.dtype) for leaf in params),
        held=sum(_bytes(leaf.sharding.shard_shape(leaf.shape), leaf.dtype) for leaf in params),
        flops=flops(size),
        calls=CALLS,
        exchanges=[dataclasses.asdict(each) for each in exchanges(text)],
        seconds=time.monotonic() - began,
        **target._asdict(),
        memory=memory(compiled) if target.topology else {},
        calls_kernel=PALLAS.search(text) is not None,
    )


def lowered(size: Size, data: int, model: int, platform: str) -> str:
    """Lower for a mesh of devices of another platform; returns the StableHLO."""
    mesh = AbstractMesh((data, model), (DATA, MODEL), axis_types=(AxisType.Auto,) * 2)
    run, arguments = program(size, mesh)
    return run.trace(*arguments).lower(lowering_platforms=(platform,)).as_text()


def program(size: Size, mesh: Any, target: Target = HOST) -> tuple[Any, tuple[Any, ...]]:
    """The call that `jax-lstm train text --units bytes` jits for a mesh; its arguments as shapes and places."""
    devices = mesh.shape[DATA] * mesh.shape[MODEL]
    batch = size.rows * devices
    chip = (f"chip={target.topology.partition(':')[0]}",) if target.kernel == "pallas" else ()
    config = TrainConfig(
        task="text",
        batch_size=batch,
        precision=target.dtype,
        model=ModelConfig(size.hidden_size, size.layers, backend=target.kernel, backend_args=chip),
        text=TextConfig(units="bytes", steps=size.steps),
    )
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
    size, meshes, target = json.loads(arguments)
    for data, model in meshes:
        print(json.dumps(dataclasses.asdict(row(Size(*size), data, model, Target(*target)))), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
