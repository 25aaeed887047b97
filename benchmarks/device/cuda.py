"""Our kernel and XLA's loop, compiled for an NVIDIA GPU that is not here: what a block takes, and what a step costs.

XLA's CUDA plugin compiles for a described GPU on a machine without one, down to machine code, with NVIDIA's assembler:
`pip install ".[cuda-compile]"`, whose jax-cuda12-plugin must have the version of jax.

    for row in compiled_for("h100"):
        print(row)

Each program is compiled in a child process, since the compiler reads its settings when it is loaded, and aborts the
process on some errors.
"""

import dataclasses
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, files
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from benchmarks.core import child, hlo
from benchmarks.core.record import FAILED, Record, Row
from benchmarks.core.tables import Table
from benchmarks.device.compile_for import H100, compiled
from jax_lstm import functional
from jax_lstm.checks import MissingExtraError
from jax_lstm.kernels import Call, Fused
from jax_lstm.kernels.fused import gpu
from jax_lstm.kernels.fused.gpu_cluster import plan
from jax_lstm.params import Sizes

PACKAGES = ("jax-cuda12-plugin", "nvidia-cuda-nvcc", "nvidia-cuda-nvdisasm")
OF_CHUNK = 4  # instructions for the tensor cores: each takes 32 bytes of a row
STEPS, LIMIT = 16, 600.0  # seconds for a child
PART = "kernel"
INFER, FORWARD, BACKWARD = "infer", "forward", "backward"
MEASURES = (INFER, FORWARD, BACKWARD)
EXACT = "float32, highest"  # float32 under a `jax.default_matmul_precision` of "highest"


class Size(NamedTuple):
    hidden_size: int
    batch: int
    dtype: str


HIDDEN = {"bfloat16": (128, 256, 384, 448, 512, 640), "float32": (128, 256, 320, 384), EXACT: (128, 192, 256)}
BATCH = 64  # rows of one cluster; more rows are more clusters of the same program
GRID = [Size(hidden_size, BATCH, dtype) for dtype, sizes in HIDDEN.items() for hidden_size in sizes]
QUICK = [Size(128, BATCH, "bfloat16")]


@dataclass(frozen=True)
class Kernel:
    """What the compiler says of the kernel of one layer, and the kernels that a step of XLA's loop launches.

    `instructions` are those that a warp runs in a step, `products` those of them for the tensor cores. `shared`: bytes
    of shared memory of a block. `registers` of a thread; `spilled`: bytes of them that go to memory. `launches`:
    kernels of a step in plain JAX. `failed`: why there is no program.
    """

    chip: str
    measure: str
    hidden_size: int
    batch: int
    dtype: str
    blocks: int = 0
    shared: int = 0
    registers: int = 0
    spilled: int = 0
    instructions: int = 0
    products: int = 0
    launches: int = 0
    failed: str = ""

    @property
    def rows(self) -> list[Row]:
        case = f"H={self.hidden_size}, B={self.batch}, {self.dtype}"
        about = {name: getattr(self, name) for name in ("chip", "hidden_size", "batch", "dtype")}
        if self.failed:
            return [Row(PART, case, "pallas", self.measure, status=FAILED + self.failed, about=about)]
        return [
            Row(PART, case, "plain" if name == "launches" else "pallas", f"{self.measure}: {name}",
                "B" if name in ("shared", "spilled") else "", [getattr(self, name)], about=about)
            for name in ("blocks", "shared", *COUNTS)
        ]  # fmt: skip


COUNTS = {
    "registers": "registers of a thread",
    "spilled": "bytes spilled",
    "instructions": "instructions of a warp in a step",
    "products": "of these, tensor cores",
    "launches": "kernels of a step in plain JAX",
}


def compiled_for(chip: str = H100, sizes: list[Size] = GRID) -> Iterator[Kernel]:
    """Compile the kernel of a layer of each size, in programs without and with gradients.

    Raises:
        MissingExtraError: the compiler is not installed.
    """
    env = {"CUDA_ROOT": str(_compiler()), "JAX_PLATFORMS": "cpu"}
    for size, gradients in product(sizes, (False, True)):
        with tempfile.TemporaryDirectory() as folder:
            dump = {f"MOSAIC_GPU_DUMP_{name}": "1" for name in ("PTXAS", "SASS")} | {"MOSAIC_GPU_DUMP_TO": folder}
            found, failed = child.run(rows, chip, size, gradients, seconds=LIMIT, env=env | dump)
        if failed:
            yield Kernel(chip, BACKWARD if gradients else INFER, *size, failed=failed)
        else:
            yield from found


def _compiler() -> Path:
    """The folder of NVIDIA's assembler and disassembler."""
    try:
        found = [file for package in PACKAGES for file in files(package) or () if file.name == "nvdisasm"]
    except PackageNotFoundError:
        found = []
    if not found:
        raise MissingExtraError('compiling for NVIDIA GPUs needs: pip install ".[cuda-compile]"')
    return Path(str(found[0].locate())).parents[1]


def rows(chip: str, size: Size, gradients: bool) -> list[Kernel]:
    """Compile one program, with our kernel and in plain JAX; in a child process."""
    compute = "bfloat16" if size.dtype == "bfloat16" else "float32"
    shapes = Sizes(size.hidden_size, size.hidden_size, 1).shapes()
    params = {name: jax.ShapeDtypeStruct(shape, jnp.float32) for name, shape in shapes.items()}
    xs = jax.ShapeDtypeStruct((STEPS, size.batch, size.hidden_size), compute)

    def program(kernel: Fused) -> Any:
        def run(params: Any, xs: Any) -> Any:
            return functional.lstm(params, xs, dtype=compute, backend=kernel)[0].astype(jnp.float32)

        function: Callable[..., Any] = jax.grad(lambda *args: run(*args).sum(), (0, 1)) if gradients else run
        return compiled(function, params, xs, chip=chip)

    with jax.default_matmul_precision("highest" if size.dtype == EXACT else "default"):
        cut = plan(size.hidden_size, compute)
        refused = gpu.refuses(Call("cuda", compute, STEPS, size.batch, size.hidden_size, size.hidden_size, chip=chip))
        if not refused:
            program(Fused(lowering="pallas", chip=chip))
        launches = [loop.kernels for loop in hlo.read(program(Fused(lowering="plain")).as_text()).loops]
    found = []
    for at, measure in enumerate((FORWARD, BACKWARD) if gradients else (INFER,)):
        row = Kernel(chip, measure, *size, cut.blocks, launches=launches[at], failed=refused)
        chunks = (4 if measure == BACKWARD else 1) * cut.hidden // cut.chunk
        count = chunks * OF_CHUNK * (3 if cut.parts == 2 else 1)
        found.append(row if refused else dataclasses.replace(row, **_dumped(measure, count)))
    return found


def _dumped(measure: str, count: int) -> dict[str, int]:
    """What the compiler wrote about a kernel, in whose step the tensor cores run `count` instructions."""
    folder, name = Path(os.environ["MOSAIC_GPU_DUMP_TO"]), "backward" if measure == BACKWARD else "forward"
    resources, assembler, code = (
        next(folder.glob(f"lstm_{name}_*.{suffix}")).read_text() for suffix in ("resources.txt", "ptxas", "sass*")
    )

    def number(pattern: str, text: str) -> int:
        found = re.search(pattern, text)
        if not found:
            raise ValueError(f"the compiler's output lacks {pattern!r}: {text[:200]}")
        return int(found[1])

    instructions, loops = _loops(code)
    products = [at for at, opcode in enumerate(instructions) if opcode.startswith("HGMMA")]
    others = [at for at, opcode in enumerate(instructions) if opcode.startswith("MUFU")]  # of the activations

    def smallest(has: list[int]) -> tuple[int, int]:
        return min(
            (loop for loop in loops if loop[0] <= min(has) and max(has) <= loop[1]), key=lambda at: at[1] - at[0]
        )

    (start, end), (first, last) = smallest([*products, *others]), smallest(products)
    times = count // len(products)  # 1 if the compiler has unrolled the loop over chunks
    return {
        "shared": number(r"smem_scratch_bytes=(\d+)", resources),
        "registers": number(r"Used (\d+) registers", assembler),
        "spilled": number(r"(\d+) bytes spill stores", assembler),
        "instructions": end - start + 1 + (times - 1) * (last - first + 1),
        "products": count,
    }


def _loops(code: str) -> tuple[list[str], list[tuple[int, int]]]:
    """Opcodes of a kernel's machine code, and the first and last of each loop: a branch back and where it goes to."""
    labels: dict[str, int] = {}
    opcodes: list[str] = []
    loops = []
    for line in code.splitlines():
        if label := re.match(r"(\.L\w+):", line):
            labels[label[1]] = len(opcodes)
        elif found := re.match(r"[\s:\w-]*/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+\s+)?([A-Z][\w.]*)(.*)", line):
            target = re.search(r"(\.L\w+)", found[2]) if found[1].startswith("BRA") else None
            if target and target[1] in labels:
                loops.append((labels[target[1]], len(opcodes)))
            opcodes.append(found[1])
    return opcodes, loops


def table(record: Record) -> Table:
    """What a block takes, and what a step costs: for inference, forward and backward."""
    cells = []
    for case in dict.fromkeys(row.case for row in record.of(PART)):

        def of(name: str, case: str = case) -> list[int]:
            rows = (row for way in MEASURES for row in record.of(PART, case, f"{way}: {name}"))
            return [int(row.value) for row in rows]

        about = record.of(PART, case)[0].about
        if of("blocks"):
            counts = (" / ".join(f"{value:,}" for value in of(name)) for name in COUNTS)
            shared = f"{max(of('shared')) / 1024:.0f}"
            cells.append((about["dtype"], str(about["hidden_size"]), str(of("blocks")[0]), shared, *counts))
    columns = ("type", "H", "blocks", "shared memory, KiB", *COUNTS.values())
    notes = sorted({f"{row.case}, {row.measure}: {row.failed}" for row in record.of(PART) if row.failed})
    return Table("The kernel for Hopper: inference / forward / backward", columns, cells, notes=tuple(notes))
