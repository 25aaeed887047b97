"""The shared library: whether it is there, and its registration with XLA."""

import ctypes
import functools
import re
from pathlib import Path
from typing import Any

import jax

from jax_lstm.kernels.fused.arrays import as_lines

NAME = "_native.so"
TARGETS = ("jax_lstm_infer", "jax_lstm_forward", "jax_lstm_backward")


@functools.cache
def load() -> ctypes.CDLL | str:
    """The library, registered with XLA, or why there is none.

    A library built for a newer XLA must not be registered: the whole CPU platform would fail to start.
    """
    path = Path(__file__).with_name(NAME)
    if not path.exists():
        return "it was not built: installing found no C++ compiler (reinstall jax-lstm where there is one)"
    try:
        library = ctypes.CDLL(str(path))
        built, running = library.jax_lstm_ffi_api(), _running_api()
        if built // 1000 != running // 1000 or built > running:
            return f"it was built for version {_version(built)} of XLA's interface, jaxlib has {_version(running)}"
        if not hasattr(library, "jax_lstm_arrays") or _text(library.jax_lstm_arrays) != as_lines():
            return "it was built from other sources (install jax-lstm again)"
        if (isa := _text(library.jax_lstm_isa)).startswith("JAX_LSTM_ISA"):  # this variable asks for a missing one
            return isa
        for target in TARGETS:
            jax.ffi.register_ffi_target(target, jax.ffi.pycapsule(getattr(library, target)), platform="cpu")
    except (OSError, AttributeError) as error:
        return f"it does not load: {error}"
    return library


def unavailable() -> str:
    """Why the native kernel cannot run in this process; empty if it can."""
    library = load()
    return library if isinstance(library, str) else ""


def native_status() -> str:
    """The state of the native kernel in one line, for people."""
    library = load()
    return f"not available: {library}" if isinstance(library, str) else f"available ({_text(library.jax_lstm_isa)})"


def _text(function: Any) -> str:
    function.restype = ctypes.c_char_p
    return function().decode()


def _running_api() -> int:
    """The version of XLA's foreign function interface in the jaxlib that runs, as 1000 * major + minor."""
    header = Path(jax.ffi.include_dir(), "xla", "ffi", "api", "c_api.h").read_text()
    major, minor = (re.search(rf"#define XLA_FFI_API_{part}\s+(\d+)", header) for part in ("MAJOR", "MINOR"))
    return 1000 * int(major[1]) + int(minor[1]) if major and minor else 0


def _version(number: int) -> str:
    return f"{number // 1000}.{number % 1000}"
