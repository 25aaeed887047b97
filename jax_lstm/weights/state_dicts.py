"""Load and make PyTorch state dicts for whole Flax modules; `modules` maps names and layouts by layer type."""

import itertools
import warnings
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jax_lstm.checks import InputError, require, require_shape
from jax_lstm.params import LSTMParams
from jax_lstm.weights.modules import Tensor, tensors_of
from jax_lstm.weights.tensors import TRACED, as_array

# {part of a name: the wrapper in PyTorch that adds it}
WRAPPERS = {"module": "torch.nn.DataParallel", "_orig_mod": "torch.compile"}
BY_HAND = "convert them by hand"
THE_REST = "`load_state_dict(..., strict=False)` loads the rest"


class IncompatibleKeys(NamedTuple):
    """The names in which a module and a state dict differ, as `torch.nn.Module.load_state_dict` returns them.

    Attributes:
        missing_keys: the names of the module that the state dict lacks.
        unexpected_keys: the names of the state dict that the module lacks.

    Example:
        >>> from flax import nnx
        >>> import jax_lstm as jl
        >>> cell = jl.LSTMCell(10, 20, rngs=nnx.Rngs(0))
        >>> jl.load_state_dict(cell, {"bias_ih": [0.0] * 80, "bias": [0.0] * 80}, strict=False)
        IncompatibleKeys(missing_keys=['weight_ih', 'weight_hh', 'bias_hh'], unexpected_keys=['bias'])
    """

    missing_keys: list[str]
    unexpected_keys: list[str]


def state_dict(module: nnx.Module) -> dict[str, np.ndarray]:
    """The parameters and buffers of `module` as {PyTorch's name: NumPy array}.

    PyTorch wants tensors: `{name: torch.from_numpy(array) for name, array in jl.state_dict(module).items()}`.

    An attribute keeps its name, an element of a list is named by its index, and the variables of Flax's layers get
    PyTorch's names and layouts: `kernel` becomes `weight`, with the output axis first. Supported are `nnx.Linear`,
    `Conv`, `Embed`, `LayerNorm`, `RMSNorm`, `GroupNorm`, `InstanceNorm`, `BatchNorm` with its running statistics,
    `Sequential`, the modules of this package, and your own modules around them. A tied parameter has all its names.
    Random state, caches and metrics are left out. `num_batches_tracked` of a BatchNorm, which Flax does not keep, is 0.

    A module that uses one parameter in two places, as with `nnx.Embed.attend`, has a class attribute
    `tied_names = {"fc.weight": "embedding.weight"}` to give it both names.

    Raises:
        InputError: the module holds a layer of Flax that is not supported, or its weights are traced.

    Example:
        >>> from flax import nnx
        >>> import jax_lstm as jl
        >>> model = jl.LSTMModel(10, 20, output_size=1, rngs=nnx.Rngs(0))
        >>> {name: array.shape for name, array in jl.state_dict(model).items() if "weight" in name}
        {'lstm.weight_ih_l0': (80, 10), 'lstm.weight_hh_l0': (80, 20), 'fc.weight': (1, 20)}
    """
    require(isinstance(module, nnx.Module), "module", "be a Flax module", type(module).__name__)
    found = tensors_of(module)
    if found.unsupported:
        raise InputError(f"`module` must hold supported layers only; got {_unsupported(found.unsupported)}")
    try:
        return {name: np.zeros((), np.int64) if t is None else t.to_torch() for name, t in found.named.items()}
    except jax.errors.TracerArrayConversionError:
        raise InputError(TRACED) from None


def load_state_dict(module: nnx.Module, state_dict: Mapping[str, Any], *, strict: bool = True) -> IncompatibleKeys:
    """Set the parameters and buffers of `module` from {PyTorch's name: torch tensor or NumPy array}; all or nothing.

    Names and layouts are those of `state_dict(module)`. Values are copied, and cast to the floating type of the
    variable that they replace, as in PyTorch. `module.` and `_orig_mod.`, which DataParallel and torch.compile put into
    names, are skipped with a warning. Mirrors
    https://docs.pytorch.org/docs/stable/generated/torch.nn.Module.html#torch.nn.Module.load_state_dict.

    Args:
        module: the module to load into. Its variables may be abstract (`nnx.eval_shape`).
        state_dict: the values, with PyTorch's shapes.
        strict: whether the names must match exactly; if not, the names that both have are set.

    Returns:
        The names missing from `state_dict` and those unknown to `module`; both empty if strict.

    Raises:
        InputError: a name is missing or unknown, a layer is not supported, a shape or type does not fit, or two names
            of one tied parameter come with different values. The one error lists all faults; the module is unchanged.

    Example:
        >>> import torch
        >>> from flax import nnx
        >>> import jax_lstm as jl
        >>> lstm = jl.LSTM(10, 20, num_layers=2, rngs=nnx.Rngs(0))
        >>> jl.load_state_dict(lstm, torch.nn.LSTM(10, 20, num_layers=2).state_dict())
        IncompatibleKeys(missing_keys=[], unexpected_keys=[])
    """
    require(isinstance(module, nnx.Module), "module", "be a Flax module", type(module).__name__)
    named, unsupported = tensors_of(module)
    fix = ""
    if isinstance(state_dict, LSTMParams):
        layer = next((name.replace("weight_ih", "{}") for name in named if "weight_ih" in name), "{}")
        fix = f"convert it with jax_lstm.interop.to_state_dict(params, {layer!r})"
    got = type(state_dict).__name__
    require(isinstance(state_dict, Mapping), "state_dict", "be a mapping of names to arrays", got, fix)
    values, wrappers = _unwrapped(state_dict, named)
    tensors = {name: tensor for name, tensor in named.items() if tensor is not None}
    missing = [name for name in tensors if name not in values]
    unknown = [str(name) for name in values if name not in named]
    faults, arrays = [], {}
    if strict:
        sides = (("missing in the state dict", missing), ("not in the model", unknown))
        faults += [f"{side}: {', '.join(names)}" for side, names in sides if names]
        faults += [f"{_unsupported(unsupported)}; {THE_REST}"] if unsupported else []
    for name in (name for name in tensors if name in values):
        try:
            arrays[name] = _read(name, values[name], tensors[name])
        except InputError as error:
            faults += [str(error)] if str(error) not in faults else []
    faults += _conflicts(tensors, arrays)
    if faults:
        raise InputError(f"`state_dict` must fit the parameters of {type(module).__name__}; {'; '.join(faults)}")
    if wrappers:
        which = " and ".join(f"`{part}.` (from {WRAPPERS[part]})" for part in wrappers)
        warnings.warn(f"{which} was removed from the names in `state_dict`", stacklevel=2)
    for name, array in arrays.items():
        variable = tensors[name].variable
        variable.set_value(jnp.array(array, variable.dtype))  # a copy: torch trains its tensors in place
    return IncompatibleKeys([*missing, *unsupported], unknown)


def _unwrapped(state_dict: Mapping[str, Any], names: Iterable[str]) -> tuple[dict[Any, Any], list[str]]:
    """Drop the wrappers from names that match one of `names` only without them; returns the wrappers dropped, too."""
    values, wrappers = {}, dict.fromkeys(WRAPPERS, False)
    for name, value in state_dict.items():
        for dropped in () if name in names else _wrapper_parts(str(name)):
            parts = str(name).split(".")
            bare = ".".join(part for at, part in enumerate(parts) if at not in dropped)
            if bare in names and bare not in state_dict and bare not in values:
                wrappers |= {parts[at]: True for at in dropped}
                name = bare
                break
        values[name] = value
    return values, [part for part, found in wrappers.items() if found]


def _wrapper_parts(name: str) -> Iterator[tuple[int, ...]]:
    """The places in a dotted name that wrappers may have added, as few as possible first."""
    places = [at for at, part in enumerate(name.split(".")) if part in WRAPPERS]
    for count in range(1, len(places) + 1):
        yield from itertools.combinations(places, count)


def _read(name: str, value: Any, tensor: Tensor) -> np.ndarray:
    """Check a value and convert it to Flax's layout."""
    dtype = tensor.variable.dtype
    floating = jnp.issubdtype(dtype, jnp.floating)
    array = as_array(name, value, floats=floating)
    require_shape(name, array, tensor.shape)
    require(floating or np.can_cast(array.dtype, dtype, "same_kind"), name, f"be an array of {dtype}", array.dtype)
    return tensor.from_torch(array)


def _conflicts(tensors: Mapping[str, Tensor], arrays: Mapping[str, np.ndarray]) -> list[str]:
    """Find names of one tied parameter with different values; PyTorch would silently keep the last."""
    first: dict[int, str] = {}
    faults = []
    for name, array in arrays.items():
        other = first.setdefault(id(tensors[name].variable), name)
        if array.tobytes() != arrays[other].tobytes():
            faults.append(f"`{name}` must equal `{other}`, which is the same parameter; got other values")
    return faults


def _unsupported(variables: Mapping[str, str]) -> str:
    """Describe the variables of unsupported layers, grouped by layer."""
    layers = dict.fromkeys(variables.values())
    listed = [f"{', '.join(name for name, of in variables.items() if of == layer)} of {layer}" for layer in layers]
    return f"unsupported {', '.join(listed)} ({BY_HAND})"
