"""The part `scaling`: what the devices of a training step exchange, from the compiled program; nothing is run.

A child process compiles, since the number of devices is fixed when JAX starts.
"""

import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import jax
import numpy as np
from flax import nnx
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from benchmarks.core import child
from benchmarks.core.hlo import KINDS, Exchange, exchanges
from benchmarks.core.record import BYTES, SECONDS, Row
from benchmarks.device.compile_for import described, memory, platform
from jax_lstm.checks import InputError
from jax_lstm.data.text import Alphabet, Text, TextConfig
from jax_lstm.tasks.text import LanguageModelling
from jax_lstm.train.config import ModelConfig, TrainConfig
from jax_lstm.train.mesh import DATA, MODEL
from jax_lstm.train.optimizer import make_optimizer
from jax_lstm.train.sharding import division, row_spec, shard_step
from jax_lstm.train.step import init_state, scan_steps, step_of
from jax_lstm.train.task import loss_of

PART = "scaling"
MOST = 256  # devices
CALLS = 100  # training steps per call, the default of --chunk-steps
BYTE = 256  # symbols
PALLAS = re.compile('custom_call_target="(tpu_custom_call|mosaic_gpu)')


class Size(NamedTuple):
    """A language model of bytes: hidden units, layers, time steps, and rows per device."""

    hidden_size: int
    layers: int
    steps: int
    rows: int


class Target(NamedTuple):
    """Described devices, such as "v5e:2x4", or those of the host; the kernel, and the type in which it computes."""

    topology: str = ""
    kernel: str = "auto"
    dtype: Literal["float32", "bfloat16"] = "float32"


HOST = Target()
SMALL, LARGE = Size(512, 2, 64, 32), Size(2048, 2, 64, 32)
MODELS = (1, 2, 4, 8)  # devices along `model`, for the large model


class Link(NamedTuple):
    """`bandwidth`: bytes per second that a device sends over all its links; `peak`: its FLOP/s in bfloat16."""

    bandwidth: float
    peak: float
    source: str


# ICI and NVLink are published as the sum of both directions: a device sends half of that.
LINKS = {
    "TPU v5e, ICI": Link(400e9 / 2, 197e12, "https://cloud.google.com/tpu/docs/v5e"),
    "TPU v5p, ICI": Link(1200e9 / 2, 459e12, "https://cloud.google.com/tpu/docs/v5p"),
    "H100, NVLink": Link(900e9 / 2, 989e12, "https://www.nvidia.com/en-us/data-center/h100/"),
    "H100, 400 Gb/s a GPU": Link(
        400e9 / 8, 989e12, "https://docs.nvidia.com/dgx/dgxh100-user-guide/introduction-to-dgxh100.html"
    ),
}


@dataclass(frozen=True)
class Step:
    """A training step on a mesh. `exchanges` are for `CALLS` steps; all else is for one.

    `parameters` in bytes, of which a device holds `held`; `flops` per device; `seconds` to compile. `memory`: the bytes
    that a described device needs. `calls_kernel`: the program calls a Pallas kernel.
    """

    size: Size
    data: int
    model: int
    target: Target
    parameters: int
    held: int
    flops: float
    exchanges: list[Exchange]
    seconds: float
    memory: dict[str, int] = field(default_factory=dict)
    calls_kernel: bool = False

    @property
    def devices(self) -> int:
        return self.data * self.model

    @property
    def sent(self) -> float:
        """Bytes that a device sends in a step, with ring algorithms."""
        return sum(each.sent for each in self.exchanges) / CALLS

    def number(self, kind: str = "") -> float:
        """The number of collectives in a step."""
        return sum(each.times for each in self.exchanges if kind in ("", each.kind)) / CALLS

    @property
    def rows(self) -> list[Row]:
        case = f"data={self.data}" + f",model={self.model}" * (self.model > 1)
        who = ", ".join([f"H={self.size.hidden_size}", *(self.target if self.target.topology else ())])
        about = self.size._asdict() | {"data": self.data, "model": self.model}
        about |= self.target._asdict() if self.target.topology else {}
        kinds = {kind: ("", self.number(kind)) for kind in KINDS if self.number(kind)}
        held = {f"HBM: {what}": (BYTES, size) for what, size in self.memory.items()}
        of_all: dict[str, tuple[str, float]] = {
            "parameters": (BYTES, self.parameters),
            "held": (BYTES, self.held),
            "sent": (BYTES, self.sent),
            "products": ("FLOP", self.flops),
            "compile": (SECONDS, self.seconds),
        }
        found = of_all | kinds | held | ({"Pallas kernels": ("", 1)} if self.calls_kernel else {})
        return [Row(PART, case, who, measure, unit, [value], about=about) for measure, (unit, value) in found.items()]


def scaling(compile_for: str = "") -> Iterator[list[Row]]:
    """Compile for meshes of up to `MOST` devices of the host, or for described ones."""
    wanted = [(SMALL, small(MOST), HOST), (LARGE, large(MOST), HOST)]
    if compile_for:
        count = len(described(compile_for))
        meshes = [(count, 1), (count // 2, 2)] if count > 1 else [(1, 1)]
        wanted = [(SMALL, meshes, Target(compile_for, kernel, "bfloat16")) for kernel in ("auto", "pallas")]
    for size, meshes, target in wanted:
        yield [row for step in steps(size, meshes, target) for row in step.rows]


def small(most: int) -> list[tuple[int, int]]:
    """`(data, model)`: every power of two up to `most` devices."""
    return [(2**at, 1) for at in range(most.bit_length())]


def large(most: int) -> list[tuple[int, int]]:
    """`(data, model)`: 8, 32, 128 and `most` devices, for each number along `model`."""
    counts = [8 * 4**at for at in range(MOST) if 8 * 4**at < most] + [most]
    return [(count // model, model) for model in MODELS for count in counts if count % model == 0]


def steps(size: Size, meshes: Sequence[tuple[int, int]], target: Target = HOST) -> list[Step]:
    """A step for each `(data, model)`, from a child with `MOST` devices."""
    flags = f"--xla_force_host_platform_device_count={MOST}"
    found = child.run(_steps, size, meshes, target, flags=flags, env={"JAX_PLATFORMS": "cpu"})
    if found.failed:
        raise InputError(f"the compilation over {meshes} failed: {found.failed}")
    return found.value


def _steps(size: Size, meshes: Sequence[tuple[int, int]], target: Target) -> list[Step]:
    return [step(size, data, model, target) for data, model in meshes]


def step(size: Size, data: int, model: int, target: Target = HOST) -> Step:
    """Compile for the first devices of this process, or of those described."""
    devices = described(target.topology) if target.topology else jax.devices()
    mesh = Mesh(np.array(devices[: data * model]).reshape(data, model), (DATA, MODEL))
    began = time.monotonic()
    run, arguments = program(size, mesh, target)
    compiled = run.trace(*arguments).lower(lowering_platforms=(platform(devices[0]),)).compile()
    params, text = jax.tree.leaves(arguments[0].params), compiled.as_text()
    return Step(
        size, data, model, target,
        parameters=sum(_bytes(leaf.shape, leaf.dtype) for leaf in params),
        held=sum(_bytes(leaf.sharding.shard_shape(leaf.shape), leaf.dtype) for leaf in params),
        flops=flops(size),
        exchanges=exchanges(text),
        seconds=time.monotonic() - began,
        memory=memory(compiled) if target.topology else {},
        calls_kernel=PALLAS.search(text) is not None,
    )  # fmt: skip


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
    task = LanguageModelling(config, Text(config.text, Alphabet("bytes"), text, text[:0], text[:0]))
    model = nnx.eval_shape(lambda: task.build(config))
    model.train()
    optimizer = make_optimizer(config.optim, 1, nnx.state(model, nnx.Param))
    run_steps = scan_steps(step_of(nnx.graphdef(model), optimizer, loss_of(task), *division(mesh)), task.gather)

    def start() -> Any:
        model = task.build(config)
        return init_state(model, optimizer, model.start(batch))

    state = jax.eval_shape(start)
    run, specs = shard_step(lambda state, arrays, rows, numbers: run_steps(state, arrays, rows), mesh, state, 0)

    def placed(shape: Sequence[int], dtype: Any, spec: P) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(shape, dtype, sharding=NamedSharding(mesh, spec))

    arrays, calls = placed(text.shape, text.dtype, P()), placed((CALLS, batch), np.int32, row_spec(0))
    state = jax.tree.map(lambda leaf, spec: placed(leaf.shape, leaf.dtype, spec), state, specs)
    return run, (state, arrays, calls, {})


def flops(size: Size) -> float:
    """FLOPs per device and training step: 2 per weight and character forward, twice that backward."""
    units = size.hidden_size
    weights = size.layers * 4 * units * 2 * units + units * BYTE
    return 3 * 2.0 * weights * size.rows * size.steps


def _bytes(shape: Sequence[int], dtype: Any) -> int:
    return int(np.prod(shape)) * np.dtype(dtype).itemsize
