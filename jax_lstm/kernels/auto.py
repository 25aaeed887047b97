"""The table of kernels, and which of them runs a call."""

import functools
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jax_lstm.checks import InputError, require
from jax_lstm.kernels.cudnn import Layers, cudnn, not_on
from jax_lstm.kernels.directions import Outputs, one_by_one, together
from jax_lstm.kernels.fused import cannot_serve, native, unavailable
from jax_lstm.kernels.reference import reference
from jax_lstm.kernels.scan import scan
from jax_lstm.params import LSTMParams, LSTMState

OVERRIDE = "JAX_LSTM_BACKEND"  # names the kernel that "auto" takes


class Request(NamedTuple):
    """What a call asks of a kernel. T and B may be symbolic; `given` are those of lengths, mask, resets that it has."""

    platform: str
    dtype: Any
    shape: tuple[Any, Any, int]
    remat: str | None
    given: tuple[str, ...] = ()
    projected: bool = False


@dataclass(frozen=True)
class Kernel:
    """A row of the table: the function, what it is for, and why it cannot serve a request ("" where it can).

    `run` takes a direction of a layer, or, if it is `whole`, all layers, see `cudnn`. `by_name` says why "auto" leaves
    it out.
    """

    run: Callable[..., Outputs]
    purpose: str
    refusal: Callable[[Request], str] = lambda request: ""
    whole: bool = False
    unrolls: bool = False  # takes `unroll`
    by_name: str = ""
    gains_by_both: Callable[[int, int], bool] = lambda batch, hidden: False  # directions in one call


def _native_refuses(request: Request) -> str:
    if request.platform != "cpu":
        return f"it runs on cpu; not on {request.platform}"
    if not all(isinstance(size, int) for size in request.shape):
        return f"it needs sizes that are known; not {request.shape}"
    if request.remat:
        return f"it keeps the gates for the way back: no remat {request.remat!r}"
    return unavailable() or cannot_serve(request.dtype)


def _cudnn_refuses(request: Request) -> str:
    if reason := not_on(request.platform):
        return reason
    if request.dtype != jnp.float32:
        return f"jax.experimental.rnn computes in float32; not in {jnp.dtype(request.dtype).name}"
    if not all(isinstance(size, int) for size in request.shape):
        return f"it needs sizes that are known; not {request.shape}"
    if request.projected:
        return "jax.experimental.rnn has no projection"
    if set(request.given) - {"lengths"}:
        return f"cuDNN knows lengths of rows; not {' and '.join(name for name in request.given if name != 'lengths')}"
    return f"it keeps what cuDNN keeps: no remat {request.remat!r}" if request.remat else ""


def _small(batch: int, hidden: int) -> bool:
    """Then two threads have more from a direction each than from sharing one, with a barrier at every step."""
    return batch <= 4 and hidden <= 64


def _reference_refuses(request: Request) -> str:
    return "it keeps what JAX keeps: no remat" if request.remat else ""


# In the order in which "auto" tries them.
KERNELS: dict[str, Kernel] = {
    "native": Kernel(
        native, "one call of a C++ library for the whole sequence, on CPU", _native_refuses, gains_by_both=_small
    ),
    "cudnn": Kernel(
        cudnn,
        "cuDNN's own LSTM, all layers in one call, on NVIDIA GPUs",
        _cudnn_refuses,
        whole=True,
        by_name="it runs only when it is named: it has no vmap, no forward mode and no second derivative",
    ),
    "scan": Kernel(scan, "lax.scan with hand-written derivatives, for every platform and type", unrolls=True),
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
        refusal = kernel.refusal(request) or (kernel.by_name if name == "auto" else "")
        if not refusal:
            return Choice(row, f"named by `{asked}`" if name == row else kernel.purpose, refused)
        if name == row:
            raise InputError(f"`{asked}` {row!r} cannot serve this call: {refusal}")
        refused[row] = refusal
    raise AssertionError("scan serves every request")


def run(
    backend: str, params: Sequence[LSTMParams], xs: jax.Array, states: Sequence[LSTMState], mask: jax.Array | None,
    resets: jax.Array | None, remat: str | None, unroll: int,
) -> list[Outputs]:  # fmt: skip
    """Run the directions of one layer, see `directions`, on a kernel of the table that is not `whole`."""
    kernel = KERNELS[backend]
    options = ({"remat": remat} if remat else {}) | ({"unroll": unroll} if kernel.unrolls and unroll > 1 else {})
    call = functools.partial(kernel.run, **options)
    *_, batch, hidden = states[0].c.shape
    way = together if len(params) == 2 and kernel.gains_by_both(batch, hidden) else one_by_one
    return way(call, params, xs, states, mask, resets)


def run_whole(
    backend: str, layers: Layers, xs: jax.Array, states: Sequence[LSTMState], lengths: jax.Array | None
) -> Outputs:
    """Run layers on a kernel that is `whole`: the outputs of the last one, and the states of them all."""
    before = LSTMState(*(jnp.stack(parts) for parts in zip(*states, strict=True)))
    return KERNELS[backend].run(layers, xs, before, lengths)
