"""The lowerings of the fused operations: a row each, with the platform that it serves."""

from collections.abc import Callable
from typing import Any, NamedTuple

from jax_lstm.kernels.base import Call
from jax_lstm.kernels.fused import cpu, gpu, tpu, tpu_loop
from jax_lstm.kernels.fused.cpu import lowering as native


class Lowering(NamedTuple):
    """One platform's own form of the operations `infer`, `forward` and `backward`.

    `run` takes a `Signature` and operands, and returns the results. "auto" uses a lowering if a record in
    benchmarks/records shows that it is `ahead` of plain JAX on its platform. If it takes whole `stacks`, `run` gets the
    arrays of several layers; otherwise a stack is run layer by layer.
    """

    name: str
    platform: str
    purpose: str
    refuses: Callable[[Call], str]
    run: Callable[..., list[Any]]
    ahead: bool = False
    stacks: bool = False


LOWERINGS = (
    Lowering(
        "native",
        "cpu",
        "one call of a C++ library for the whole sequence, on CPU",
        cpu.refuses,
        native.run,
        ahead=True,  # speed.json
        stacks=True,
    ),
    Lowering(
        "pallas", "tpu", "a Pallas kernel for the whole sequence, with its weights on the chip", tpu.refuses, tpu.run
    ),
    Lowering(
        "pallas",
        "cuda",
        "a Pallas kernel for the whole sequence, with its weights on the chip, on Hopper",
        gpu.refuses,
        gpu.run,
    ),
)
CHIPS = (*tpu_loop.VMEM, *gpu.CHIPS)  # what "pallas" may be told to fit
NAMES = ("auto", "plain", *dict.fromkeys(row.name for row in LOWERINGS))  # what may be asked for


def refusals(call: Call) -> dict[str, str]:
    """Why each lowering, by name, does not support `call`; "" for one that does."""
    platforms: dict[str, list[str]] = {}
    for row in LOWERINGS:
        platforms.setdefault(row.name, []).append(row.platform)
    found = {name: f"it runs on {' and '.join(on)}; not on {call.platform}" for name, on in platforms.items()}
    return found | {row.name: row.refuses(call) for row in LOWERINGS if row.platform == call.platform}


def choose(wanted: str, call: Call) -> Lowering | None:
    """The lowering that serves `call` where `wanted` is asked for; None for plain JAX."""
    refused = refusals(call)
    here = (row for row in LOWERINGS if row.platform == call.platform and not refused[row.name])
    return next((row for row in here if wanted in (row.name, "auto" if row.ahead else "")), None)
