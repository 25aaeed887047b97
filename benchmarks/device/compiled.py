"""Our kernels and a plain `lax.scan`, compiled for a TPU that is not here: static cycles a step, memory, and the floor.

Each is compiled in a child process: libtpu reads its flags when it is loaded, and aborts the process on some programs.
"""

import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal

import jax_lstm as jl
from benchmarks.core import child
from benchmarks.core.compiling import product_flops
from benchmarks.core.contenders.base import BACKWARD, FORWARD
from benchmarks.core.record import BYTES, FAILED, ROOT, Row
from benchmarks.device.compile_for import PEAKS, PROFILE, SCHEDULED, compiled, estimates, memory, operations
from jax_lstm import functional
from jax_lstm.params import Sizes

STEPS = 128
LIMIT = 240.0  # seconds for a compilation, and on v5e for its estimates
SHORT = 40.0  # seconds for estimates on other chips
SETTLED = 4.0  # seconds without a new estimate, once those that matter are there
CONTENDERS = FROZEN, STORED, SCAN, PALLAS = "lax.scan", "lax.scan, bfloat16 parameters", "scan", "pallas"
PART, LOOPS, OUTSIDE = "compiled", "loops", "products outside"


def floor(chip: str, hidden_size: int, batch: int, measure: str) -> float:
    """Cycles a step at the peak of the matrix units, for all products of a layer."""
    flops = 2.0 * batch * 4 * hidden_size * 2 * hidden_size
    return flops * (3 if measure == BACKWARD else 1) / PEAKS[chip]


class Program(NamedTuple):
    """A layer of H units with inputs of that size, over B rows."""

    hidden_size: int
    batch: int
    dtype: str
    measure: str
    contender: str


@dataclass(frozen=True)
class Compiled:
    """A program for `chip`, or why there is none.

    `loop`: static cycles of all `steps` in loops and Pallas kernels; None if libtpu gives no estimates. `products`:
    FLOPs of the products outside, which are not estimated. `memory` in bytes.
    """

    chip: str
    contender: str
    hidden_size: int
    batch: int
    steps: int
    dtype: str
    measure: str
    loop: int | None = None
    products: float = 0.0
    memory: dict[str, int] | None = None
    failed: str = ""

    @property
    def rows(self) -> list[Row]:
        case = f"H={self.hidden_size}, B={self.batch}, {self.dtype}"
        about = {name: getattr(self, name) for name in ("chip", "hidden_size", "batch", "dtype", "steps")}
        if self.failed:
            return [Row(PART, case, self.contender, self.measure, status=FAILED + self.failed, about=about)]
        figures = ({} if self.loop is None else {LOOPS: ("cycles", self.loop)}) | {OUTSIDE: ("FLOP", self.products)}
        figures |= {name: (BYTES, size) for name, size in (self.memory or {}).items()}
        return [
            Row(PART, case, self.contender, f"{self.measure}: {name}", unit, [value], about=about)
            for name, (unit, value) in figures.items()
        ]


def programs(quick: bool, only: str = "") -> list[Program]:
    """All of the grid, or those of one contender."""
    hidden, batch = ((512,), (64, 8, 128)) if quick else ((512, 1024, 256, 128), (64, 8, 128, 1))
    contenders = [only] if only else CONTENDERS
    found = product(hidden, batch, ("bfloat16", "float32"), (FORWARD, BACKWARD), contenders)
    return [each for each in map(Program._make, found) if each.dtype == "bfloat16" or each.contender != STORED]


def rows(chip: str, quick: bool, only: str = "") -> Iterator[list[Row]]:
    """The rows of each program."""
    for program in programs(quick, only):
        yield row(chip, program).rows


def row(chip: str, program: Program) -> Compiled:
    """Compile a program in a child process, and again in another for its estimates."""
    size = program._asdict()
    with tempfile.TemporaryDirectory() as folder:
        text, profiles = Path(folder, "program.txt"), Path(folder, "profiles")
        profiles.mkdir()
        asked, env = (_compiled, chip, program, text), {"JAX_PLATFORMS": "cpu"}
        found, failed = child.run(*asked, seconds=LIMIT, env=env)
        if failed:
            return Compiled(chip, steps=STEPS, **size, failed=failed)
        env["LIBTPU_INIT_ARGS"] = f"{os.environ.get('LIBTPU_INIT_ARGS', '')} {PROFILE}={profiles}".strip()
        command, limit = child.command(*asked), LIMIT if chip == "v5e" else SHORT
        loop = _cycles(command, child.environment(env), text.read_text(encoding="utf-8"), profiles, limit)
    return Compiled(chip, steps=STEPS, **size, loop=loop, **found)


def _cycles(command: list[str], env: dict[str, str], text: str, profiles: Path, limit: float) -> int | None:
    """Compile once more with estimates, until those of loops and kernels are there: others can take minutes."""
    inside = [each for each in operations(text) if each.inside]
    wanted = {each.name for each in inside if each.opcode in SCHEDULED}
    child = subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until, known = time.monotonic() + limit, {}
    try:
        while child.poll() is None and time.monotonic() < until:
            time.sleep(SETTLED if wanted <= known.keys() else 0.5)
            before, known = known, estimates(profiles)
            if wanted <= known.keys() and len(known) == len(before):
                break
    finally:
        child.kill()
        child.wait()
    known = estimates(profiles)
    return sum(known.get(each.name, 0) * each.times for each in inside) if wanted <= known.keys() else None


def built(chip: str, program: Program) -> tuple[Callable[..., Any], tuple[Any, ...], float]:
    """The function, the shapes of its arguments, and FLOPs of the products outside of loops and kernels.

    Parameters are float32 where not said. With gradients they are those of parameters, inputs and initial states. Of
    programs in JAX it has the loops only.
    """
    hidden, batch, dtype, measure, contender = program
    stored = jnp.bfloat16 if contender == STORED else jnp.float32
    kernel = jl.kernels.Fused(lowering="pallas", chip=chip) if contender == PALLAS else SCAN
    shapes = Sizes(hidden, hidden, 1).shapes()
    params = {name: jax.ShapeDtypeStruct(shape, stored) for name, shape in shapes.items()}
    xs = jax.ShapeDtypeStruct((STEPS, batch, hidden), dtype)
    state = (jax.ShapeDtypeStruct((1, batch, hidden), jnp.float32),) * 2

    def run(params: Any, xs: Any, state: Any) -> Any:
        if contender in (FROZEN, STORED):
            return plain_scan({name: param.astype(dtype) for name, param in params.items()}, xs, state)
        ys, last = functional.lstm(params, xs, state, dtype=dtype, backend=kernel)
        return ys, tuple(last)

    def gradients(params: Any, xs: Any, state: Any, cotangents: Any) -> Any:
        outputs, transposed = jax.vjp(run, params, xs, state)
        return outputs, transposed(cotangents)

    function, arguments = run, (params, xs, state)
    if measure == BACKWARD:
        function, arguments = gradients, (*arguments, jax.eval_shape(run, *arguments))
    if contender == PALLAS:  # beside it: the inputs, and the gradients of inputs and weights
        return function, arguments, (4 if measure == BACKWARD else 1) * 2.0 * STEPS * batch * 4 * hidden * hidden
    loops = loops_of(function, (STEPS, batch), *arguments)
    return loops.function, (loops.given, *arguments), loops.flops


def plain_scan(params: Any, xs: Any, state: Any) -> Any:
    """An LSTM as one writes it with `lax.scan`: the products with the inputs before the loop, derivatives by JAX.

    Our kernels are compared with it: it stays as it is.
    """
    w_ih, w_hh = params["weight_ih_l0"].T, params["weight_hh_l0"].T
    bias = params["bias_ih_l0"].astype(jnp.float32) + params["bias_hh_l0"].astype(jnp.float32)
    projected = jnp.einsum("tbi,ig->tbg", xs, w_ih, preferred_element_type=jnp.float32) + bias

    def body(state: Any, x: Any) -> Any:
        h, c = state
        gates = x + jnp.dot(h.astype(w_hh.dtype), w_hh, preferred_element_type=jnp.float32)
        i, f, g, o = jnp.split(gates, 4, axis=-1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        h = jax.nn.sigmoid(o) * jnp.tanh(c)
        return (h, c), h.astype(xs.dtype)

    last, ys = jax.lax.scan(body, (state[0][0], state[1][0]), projected)
    return ys, tuple(part[None] for part in last)


def _compiled(chip: str, program: Program, file: Path) -> dict[str, Any]:
    """FLOPs of the products outside of loops, and memory; the text of the program goes to a file."""
    function, shapes, flops = built(chip, program)
    found = compiled(function, *shapes, chip=chip)
    file.write_text(found.as_text(), encoding="utf-8")
    return {"products": flops, "memory": memory(found)}


INLINED = ("jit", "pjit", "closed_call", "custom_jvp_call")


# The loops of a program, without the operations over all steps around them: libtpu takes minutes to estimate a large
# product, and what it costs is known, since it runs near the peak of the matrix units.


class Loops(NamedTuple):
    """`function(given, *arguments)`, the shapes of `given`, and the FLOPs of the matrix products that it leaves out."""

    function: Callable[..., Any]
    given: list[jax.ShapeDtypeStruct]
    flops: float


def loops_of(function: Callable[..., Any], leading: tuple[int, int], *shapes: Any) -> Loops:
    """`function` without the operations outside of loops that read or write arrays (T, B, ...), `leading` being (T, B).

    Their results are arguments instead. What happens to weights before a loop stays: it decides where XLA keeps them.
    """
    leaves, tree = jax.tree.flatten(shapes)
    traced = jax.make_jaxpr(lambda *leaves: function(*jax.tree.unflatten(tree, leaves)))(*leaves)
    given: list[jax.ShapeDtypeStruct] = []
    flops = [0.0]

    def note(equation: Any) -> list[jax.Array]:
        found = [jax.ShapeDtypeStruct(out.aval.shape, out.aval.dtype) for out in equation.outvars]
        given.extend(found)
        flops.append(product_flops(equation))
        return [jnp.zeros(each.shape, each.dtype) for each in found]

    jax.eval_shape(lambda *leaves: _run(traced, leaves, leading, note)[0], *leaves)

    def run(given: list[Any], *arguments: Any) -> Any:
        remaining = iter(given)

        def take(equation: Any) -> list[jax.Array]:
            return [next(remaining) for _ in equation.outvars]

        return _run(traced, jax.tree.leaves(arguments), leading, take)

    return Loops(run, given, sum(flops))


def _run(
    program: ClosedJaxpr, arguments: Any, leading: tuple[int, int], instead: Callable[[Any], list[jax.Array]]
) -> tuple[list[Any], list[Any]]:
    """Evaluate a program; also return the results of its loops, which XLA drops if nothing reads them."""
    jaxpr = program.jaxpr
    values = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*program.consts, *arguments], strict=True))
    kept: list[Any] = []
    for equation in jaxpr.eqns:
        name = equation.primitive.name
        operands = [atom.val if isinstance(atom, Literal) else values[atom] for atom in equation.invars]
        if name == "platform_index":
            platforms = enumerate(equation.params["platforms"])
            found = [next(at for at, these in platforms if these is None or "tpu" in these)]
        elif name in INLINED or (name == "cond" and isinstance(operands[0], int)):
            inner = equation.params["branches"][operands.pop(0)] if name == "cond" else _program(equation)
            found, more = _run(inner, operands, leading, instead)
            kept += more
        elif name != "scan" and any(_has(atom, leading) for atom in (*equation.invars, *equation.outvars)):
            found = instead(equation)
        else:
            found = equation.primitive.bind(*operands, **equation.params)
            found = found if equation.primitive.multiple_results else [found]
            kept += found if name == "scan" else []
        values.update(zip(equation.outvars, found, strict=True))
    return [atom.val if isinstance(atom, Literal) else values[atom] for atom in jaxpr.outvars], kept


def _has(atom: Any, leading: tuple[int, int]) -> bool:
    return len(atom.aval.shape) == 3 and atom.aval.shape[:2] == leading


def _program(equation: Any) -> ClosedJaxpr:
    inner = next(value for value in equation.params.values() if isinstance(value, ClosedJaxpr | Jaxpr))
    return inner if isinstance(inner, ClosedJaxpr) else ClosedJaxpr(inner, [])
