"""The table of kernels, and which of them runs a call."""

import functools
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax

from jax_lstm.checks import InputError, require
from jax_lstm.kernels.directions import Outputs, one_by_one, together
from jax_lstm.kernels.native import cannot_serve, native, unavailable
from jax_lstm.kernels.reference import reference
from jax_lstm.kernels.scan import scan
from jax_lstm.state import LSTMParams, LSTMState

OVERRIDE = "JAX_LSTM_BACKEND"  # names the kernel that "auto" takes


class Request(NamedTuple):
    """What a call asks of a kernel. T and B may be symbolic."""

    platform: str
    dtype: Any
    shape: tuple[Any, Any, int]
    remat: str | None


@dataclass(frozen=True)
class Kernel:
    """A row of the table: the function, what it is for, and why it cannot serve a request ("" where it can)."""

    run: Callable[..., Outputs]
    purpose: str
    refusal: Callable[[Request], str] = lambda request: ""
    gains_by_both: Callable[[int, int], bool] = lambda batch, hidden: False  # directions in one call


def _native_refuses(request: Request) -> str:
    if request.platform != "cpu":
        return f"it runs on cpu; not on {request.platform}"
    if not all(isinstance(size, int) for size in request.shape):
        return f"it needs sizes that are known; not {request.shape}"
    if request.remat:
        return f"it keeps the gates for the way back: no remat {request.remat!r}"
    return unavailable() or cannot_serve(request.dtype)


def _small(batch: int, hidden: int) -> bool:
    """Then two threads have more from a direction each than from sharing one, with a barrier at every step."""
    return batch <= 4 and hidden <= 64


def _reference_refuses(request: Request) -> str:
    return "it keeps what JAX keeps: no remat" if request.remat else ""


# In the order in which "auto" tries them.
KERNELS: dict[str, Kernel] = {
    "native": Kernel(native, "one call of a C++ library for the whole sequence, on CPU", _native_refuses, _small),
    "scan": Kernel(scan, "lax.scan with hand-written derivatives, for every platform and type"),
    "reference": Kernel(reference, "the textbook recurrence under lax.scan and autodiff", _reference_refuses),
}


@dataclass(frozen=True)
class Choice:
    """The kernel that serves a request, and why those before it in the table do not. `print` it."""

    backend: str
    reason: str
    refused: dict[str, str]

    def __str__(self) -> str:
        lines = [f"{self.backend}: {self.reason}"]
        return "\n".join(lines + [f"not {name}: {reason}" for name, reason in self.refused.items()])


def choose(backend: str, request: Request) -> Choice:
    """The kernel for a request: `backend` by name, or for "auto" the first in the table that can serve it.

    Raises:
        InputError: there is no kernel of that name, or it cannot serve the request.
    """
    asked, name = "backend", backend
    if backend == "auto" and (override := os.environ.get(OVERRIDE)):
        asked, name = OVERRIDE, override
    require(name in ("auto", *KERNELS), asked, f"be auto or one of {', '.join(KERNELS)}", repr(name))
    refused = {}
    for row, kernel in KERNELS.items():
        if name not in ("auto", row):
            continue
        refusal = kernel.refusal(request)
        if not refusal:
            return Choice(row, f"named by `{asked}`" if name == row else kernel.purpose, refused)
        if name == row:
            raise InputError(f"`{asked}` {row!r} cannot serve this call: {refusal}")
        refused[row] = refusal
    raise AssertionError("scan serves every request")


def request(xs: Any, remat: str | None) -> Request:
    return Request(jax.default_backend(), xs.dtype, tuple(xs.shape), remat)


def run(
    params: Sequence[LSTMParams],
    xs: jax.Array,
    states: Sequence[LSTMState],
    mask: jax.Array | None,
    resets: jax.Array | None,
    *,
    backend: str,
    remat: str | None,
) -> list[Outputs]:
    """Run the directions of one layer, see `directions`, on the kernel that `choose` picks."""
    asked = request(xs, remat)
    kernel = KERNELS[choose(backend, asked).backend]
    call = functools.partial(kernel.run, remat=remat) if remat else kernel.run
    *_, batch, hidden = states[0].c.shape
    way = together if len(params) == 2 and kernel.gains_by_both(batch, hidden) else one_by_one
    return way(call, params, xs, states, mask, resets)
