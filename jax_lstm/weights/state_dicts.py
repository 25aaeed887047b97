"""PyTorch state dicts, in and out. Names, shapes and gate order are PyTorch's own, so conversion is the identity."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from flax import nnx

from jax_lstm.checks import InputError, require, require_shape
from jax_lstm.weights.tensors import as_array


class IncompatibleKeys(NamedTuple):
    """The names in which a module and a state dict differ, as `torch.nn.Module.load_state_dict` returns them."""

    missing_keys: list[str]
    unexpected_keys: list[str]


def state_dict(module: nnx.Module) -> dict[str, np.ndarray]:
    """The parameters of `module` as {PyTorch's name: NumPy array}; `torch.nn.Module.load_state_dict` takes it.

    PyTorch wants tensors: `{name: torch.from_numpy(array) for name, array in state_dict(module).items()}`.
    """
    return {name: np.array(param[...]) for name, param in _named_params(module).items()}


def load_state_dict(module: nnx.Module, state_dict: Mapping[str, Any], *, strict: bool = True) -> IncompatibleKeys:
    """Set the parameters of `module` from {PyTorch's name: torch tensor or NumPy array}; all or nothing.

    Values are cast to the floating type of the parameter that they replace, as in PyTorch, and copied. Mirrors
    https://docs.pytorch.org/docs/stable/generated/torch.nn.Module.html#torch.nn.Module.load_state_dict.

    Args:
        module: whose parameters to set.
        state_dict: the values, with the shapes of the parameters.
        strict: whether every parameter must be named, and nothing else; if not, the names that both have are set.

    Returns:
        The names that `state_dict` lacks and those that `module` lacks; none of either if strict.

    Raises:
        InputError: a name is missing or unknown, a shape differs, or a value is no array of floating-point numbers.
            The one error lists all such faults, and the module is unchanged.
    """
    require(isinstance(state_dict, Mapping), "state_dict", "be a mapping of names to arrays", type(state_dict).__name__)
    params = _named_params(module)
    missing = [name for name in params if name not in state_dict]
    unknown = [str(name) for name in state_dict if name not in params]
    named = (("missing", missing), ("unknown", unknown)) if strict else ()
    faults = [f"{label} {', '.join(names)}" for label, names in named if names]
    arrays = {}
    for name in (name for name in params if name in state_dict):
        try:
            array = as_array(name, state_dict[name], floats=True)
            require_shape(name, array, params[name].shape)
            arrays[name] = jnp.array(array, params[name].dtype)  # a copy: torch trains its tensors in place
        except InputError as error:
            faults.append(str(error))
    if faults:
        raise InputError(f"`state_dict` must fit the parameters of {type(module).__name__}; {'; '.join(faults)}")
    for name, array in arrays.items():
        params[name].set_value(array)
    return IncompatibleKeys(missing, unknown)


def _named_params(module: nnx.Module) -> dict[str, nnx.Variable]:
    flat = nnx.to_flat_state(nnx.state(module, nnx.Param))
    return {".".join(map(str, path)): param for path, param in flat}
