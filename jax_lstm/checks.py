"""Checks of the user's input, with errors of one form.

"`state.h` must have shape (2, 4, 8); got (2, 4, 7)" names the argument, what was expected, what came and, where it is
known, the fix.
"""

import importlib
import numbers
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import jax.numpy as jnp
import numpy as np


class InputError(ValueError):
    """The input cannot be used.

    The message is one line: the argument, what was expected, what came and, where it is known, the fix.

    Example:
        >>> from flax import nnx
        >>> import jax_lstm as jl
        >>> try:
        ...     jl.LSTM(10, 20, proj_size=30, rngs=nnx.Rngs(0))
        ... except jl.InputError as error:
        ...     print(error)
        `proj_size` must be smaller than hidden_size, 20; got 30
    """


class MissingExtraError(ImportError):
    """An optional dependency is not installed. The message names the package, and the extra that installs it too.

    Example:
        >>> import numpy as np
        >>> import jax_lstm as jl
        >>> try:
        ...     jl.save_file({"bias": np.zeros(3)}, "weights.safetensors")
        ... except jl.MissingExtraError:  # safetensors is not installed
        ...     jl.save_file({"bias": np.zeros(3)}, "weights.pt")
    """


def require(ok: bool, name: str, expected: str, got: Any, fix: str = "") -> None:
    """Raise `InputError` unless `ok`: "`name` must `expected`; got `got` (`fix`)"."""
    if not ok:
        raise InputError(f"`{name}` must {expected}; got {got}" + (f" ({fix})" if fix else ""))


LARGEST = 2**31 - 1  # sizes, row numbers and seeds are stored as int32


def require_size(name: str, value: Any, least: int = 1) -> int:
    """`value` must be an integer, Python's or NumPy's, from `least` to the largest int32; returns it as an int."""
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    require(whole and bool(value >= least), name, f"be an integer of at least {least}", repr(value))
    require(bool(value <= LARGEST), name, f"be at most {LARGEST}", value)
    return int(value)


def require_shape(name: str, array: Any, *shapes: tuple[int | str, ...]) -> None:
    """`array` must have one of `shapes`, where a letter stands for any size."""

    def fits(shape: tuple[int | str, ...]) -> bool:
        return len(shape) == len(array.shape) and all(
            isinstance(want, str) or want == size for want, size in zip(shape, array.shape, strict=True)
        )

    expected = " or ".join(
        "(" + ", ".join(map(str, shape)) + ("," if len(shape) == 1 else "") + ")" for shape in shapes
    )
    require(any(map(fits, shapes)), name, f"have shape {expected}", tuple(array.shape))


def require_bool(name: str, value: Any) -> None:
    require(isinstance(value, bool), name, "be True or False", repr(value))


def require_one_of(name: str, value: Any, options: tuple[Any, ...]) -> None:
    require(value in options, name, f"be one of {', '.join(map(repr, options))}", repr(value))


def require_probability(name: str, value: Any) -> None:
    number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    require(number and 0 <= float(value) <= 1, name, "be a probability, 0 to 1", repr(value))


def require_dtype(name: str, dtype: Any) -> Any:
    """`dtype` must name a floating type of 16 bits or more; returns the NumPy dtype."""
    try:
        found = jnp.dtype(dtype)
    except TypeError:
        found = None
    ok = found is not None and jnp.issubdtype(found, jnp.floating) and found.itemsize >= 2
    require(ok, name, "be a floating-point type of 16 bits or more", found or repr(dtype))
    return found


def as_array(name: str, value: Any) -> Any:
    """`value` as a JAX array."""
    try:
        return jnp.asarray(value)
    except (TypeError, ValueError):
        raise InputError(f"`{name}` must be an array; got {type(value).__name__}") from None


def require_floating(name: str, array: Any) -> None:
    floating = jnp.issubdtype(array.dtype, jnp.floating)
    require(floating, name, "be an array of floating-point numbers", array.dtype)


def listed(names: Sequence[str], most: int = 5) -> str:
    """The first of many names, for a message."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def require_extra(module: str, extra: str, purpose: str) -> ModuleType:
    """Import an optional dependency.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        package = (error.name or module).partition(".")[0]
        raise MissingExtraError(f"{purpose} needs the package {package}: {installs(package, extra)}") from None
    except ImportError as error:
        raise MissingExtraError(f"{purpose} needs {module}, which cannot be imported: {error}") from None


def installs(package: str, extra: str) -> str:
    """How to install an optional dependency, from an index or in a checkout."""
    return f"pip install {package}, or the extra `{extra}` of jax-lstm"
