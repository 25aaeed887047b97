"""The table of kernels by name, the choice of one for a call, and what explains that choice."""

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from jax_lstm.checks import InputError, require
from jax_lstm.kernels.base import PLATFORMS, Call, Kernel, this_platform
from jax_lstm.kernels.cudnn import Cudnn
from jax_lstm.kernels.fused import Fused
from jax_lstm.kernels.fused.lowerings import choose, refusals
from jax_lstm.kernels.parallel import Parallel
from jax_lstm.kernels.primitives import only_where_served
from jax_lstm.kernels.reference import Reference
from jax_lstm.kernels.scan import Scan

OVERRIDE = "JAX_LSTM_BACKEND"  # environment variable: the name of the kernel that "auto" takes

AUTO = Fused()
#: The kernels by the names that `jax_lstm.LSTM(backend=...)` takes, each with its default options.
KERNELS: dict[str, Kernel] = {
    kernel.name: kernel
    for kernel in (Fused("native"), Fused("pallas"), Fused("plain"), Cudnn(), Scan(), Parallel(), Reference())
}
Backend = str | Kernel  # what `backend=` takes


@dataclass(frozen=True)
class Choice:
    """The kernel that serves a call on one platform, why, and why others do not; `explain_backend` returns it.

    `print` it: a line for the kernel, and one for each other.

    Attributes:
        backend: the kernel's name.
        reason: why this kernel.
        refused: why not the others, by name.

    Example:
        >>> import jax
        >>> from flax import nnx
        >>> import jax_lstm as jl
        >>> x = jax.ShapeDtypeStruct((5, 32, 10), "float32")
        >>> choice = jl.explain_backend(jl.LSTM(10, 20, rngs=nnx.Rngs(0)), x, platform="tpu")
        >>> choice.backend, choice.refused["native"]
        ('plain', 'it runs on cpu; not on tpu')
    """

    backend: str
    reason: str
    refused: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        lines = [f"{self.backend}: {self.reason}"]
        return "\n".join(lines + [f"not {name}: {reason}" for name, reason in self.refused.items()])


def named(name: Any, **options: Any) -> Kernel:
    """The kernel of a name, with options of its own.

    Args:
        name: "auto" or one of `KERNELS`.
        **options: the kernel's options; others keep their defaults.

    Raises:
        InputError: there is no kernel of that name, or it has no such option.

    Example:
        >>> import jax_lstm as jl
        >>> jl.kernels.named("scan", unroll=4)
        Scan(unroll=4, remat=None)
    """
    names = ("auto", *KERNELS)
    fix = f"pass an instance, as backend={name.__name__}()" if isinstance(name, type) else ""
    known_name = isinstance(name, str) and name in names
    require(known_name, "backend", f"be a kernel or one of {', '.join(names)}", repr(name), fix)
    kernel: Kernel = {"auto": AUTO, **KERNELS}[str(name)]
    known = kernel.options
    has = f"{name!r} has the options {' and '.join(known)}" if known else f"{name!r} has no options"
    for option in options:
        require(option in known, "backend", f"be given options that it has: {has}", option)
    return dataclasses.replace(kernel, **options)


def refuse_options(of: str, options: Mapping[str, Any], hints: Mapping[str, str] | None = None) -> None:
    """Raise for keyword arguments that `of` does not have; those that kernels have, and those in `hints`, say so."""
    if unknown := options.keys() - {"remat", "unroll"}:
        name = sorted(unknown)[0]
        hint = f"; {hints[name]}" if hints and name in hints else ""
        raise TypeError(f"{of} got an unexpected keyword argument {name!r}{hint}")
    if options:
        given = ", ".join(f"{name}={value!r}" for name, value in options.items())
        raise InputError(
            f"`{next(iter(options))}` is an option of a kernel: give backend=jax_lstm.kernels.Scan({given})"
        )


def kernel_of(backend: Backend) -> tuple[Kernel, str]:
    """The kernel that `backend` asks for, and where it was named; "auto" may be overridden by `JAX_LSTM_BACKEND`."""
    if isinstance(backend, Kernel):
        return backend, "backend"
    if backend == "auto" and (override := os.environ.get(OVERRIDE)):
        require(override in ("auto", *KERNELS), OVERRIDE, f"be auto or one of {', '.join(KERNELS)}", repr(override))
        return named(override), OVERRIDE
    return named(backend), "backend"


def guarded(kernel: Kernel, where: str, xs: Any, call: Call) -> Any:
    """`xs`, but lowering it raises on the platforms on which `kernel`, named by `where`, refuses `call`.

    Raises:
        InputError: it refuses on every platform.
    """
    refused = {platform: kernel.refuses(call._replace(platform=platform)) for platform in PLATFORMS}
    if all(refused.values()):
        here = this_platform()
        elsewhere = [
            f"; on {name}, {reason}" for name, reason in refused.items() if not reason.startswith("it runs on")
        ]
        reason = refused.get(here, refused["cpu"])
        raise InputError(_message(where, kernel, reason + "".join(elsewhere) * reason.startswith("it runs on")))
    refusals = {name: _message(where, kernel, reason) for name, reason in refused.items() if reason}
    return only_where_served.bind(xs, refusals=tuple(refusals.items())) if refusals else xs


def explain(kernel: Kernel, where: str, call: Call) -> Choice:
    """Which kernel serves `call` on its platform where `where` named `kernel`, and why.

    Raises:
        InputError: `kernel` does not support it.
    """
    if reason := kernel.refuses(call):
        raise InputError(_message(where, kernel, reason))
    if kernel != AUTO:
        caveat = f"; {kernel.caveat}" if kernel.caveat else ""
        return Choice(kernel.name, kernel.purpose if where == "variant" else f"named by `{where}`{caveat}")
    chosen = choose("auto", call)
    name, purpose = (chosen.name, chosen.purpose) if chosen else ("plain", AUTO.purpose)
    refused = {
        other: reason
        or f"not yet shown to be faster on {call.platform}; pass backend=jax_lstm.kernels.Fused({other!r}) to try it"
        for other, reason in refusals(call).items()
        if other != name
    }
    return Choice(name, purpose, refused)


def _message(where: str, kernel: Kernel, reason: str) -> str:
    return f"`{where}` {kernel.name!r} does not support this call: {reason}"
