"""The lowerings of the fused operations: a row each, with the platform that it serves."""

from collections.abc import Callable
from typing import Any, NamedTuple

from jax_lstm.kernels.base import Call
from jax_lstm.kernels.fused import cpu
from jax_lstm.kernels.fused.cpu import lowering as native


class Lowering(NamedTuple):
    """One platform's own form of the operations `infer`, `forward` and `backward`.

    `run` takes a `Signature` and operands, and returns the results. "auto" uses a lowering if a record in
    benchmarks/records shows that it is `ahead` of plain JAX on its platform.
    """

    name: str
    platform: str
    purpose: str
    refuses: Callable[[Call], str]
    run: Callable[..., list[Any]]
    ahead: bool = False


LOWERINGS = (
    Lowering(
        "native",
        "cpu",
        "one call of a C++ library for the whole sequence, on CPU",
        cpu.refuses,
        native.run,
        ahead=True,  # engine.json
    ),
)
NAMES = ("auto", "plain", *(row.name for row in LOWERINGS))  # what may be asked for


def refusals(call: Call) -> dict[str, str]:
    """Why each lowering cannot serve `call`; "" for one that can."""
    return {
        row.name: f"it runs on {row.platform}; not on {call.platform}"
        if row.platform != call.platform
        else row.refuses(call)
        for row in LOWERINGS
    }


def choose(wanted: str, call: Call) -> Lowering | None:
    """The lowering that serves `call` where `wanted` is asked for; None for plain JAX."""
    refused = refusals(call)
    served = (row for row in LOWERINGS if not refused[row.name] and wanted in (row.name, "auto" if row.ahead else ""))
    return next(served, None)
