"""PyTorch state dicts, in and out. Names, shapes and gate order are PyTorch's own, so conversion is the identity."""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import nnx

from jax_lstm.checks import InputError, require_shape


def _named_params(module: nnx.Module) -> dict[str, nnx.Variable]:
    flat = nnx.to_flat_state(nnx.state(module, nnx.Param))
    return {".".join(map(str, path)): param for path, param in flat}


def state_dict(module: nnx.Module) -> dict[str, np.ndarray]:
    """The parameters of `module` as {PyTorch's name: NumPy array}; `torch.nn.Module.load_state_dict` takes it.

    PyTorch wants tensors: `{name: torch.from_numpy(array) for name, array in state_dict(module).items()}`.
    """
    return {name: np.array(param[...]) for name, param in _named_params(module).items()}


def load_state_dict(module: nnx.Module, state_dict: Mapping[str, Any]) -> None:
    """Set the parameters of `module` from {PyTorch's name: torch tensor or NumPy array}; strict, all or nothing.

    Values are cast to the type of the parameter that they replace.

    Raises:
        InputError: a name is missing or unknown, a shape differs, or a value is no array of numbers. The module is
            then unchanged.
    """
    params = _named_params(module)
    missing, unknown = sorted(params.keys() - state_dict.keys()), sorted(state_dict.keys() - params.keys())
    if missing or unknown:
        faults = [
            f"{label} {', '.join(names)}" for label, names in (("missing", missing), ("unknown", unknown)) if names
        ]
        raise InputError(
            f"`state_dict` must name exactly the parameters of {type(module).__name__}; {'; '.join(faults)}"
        )
    arrays = {}
    for name, param in params.items():
        array = _to_numpy(name, state_dict[name])
        require_shape(name, array, param.shape)
        arrays[name] = jnp.array(array, param.dtype)  # a copy: torch trains its tensors in place
    for name, param in params.items():
        param[...] = arrays[name]


def _to_numpy(name: str, value: Any) -> np.ndarray:
    if hasattr(value, "detach"):  # a torch tensor; torch itself need not be imported here
        value = value.detach().cpu()
        value = (
            value.float() if str(value.dtype) == "torch.bfloat16" else value
        )  # NumPy has no bfloat16; float32 holds it
        return value.numpy()
    array = np.asarray(value)
    if not jnp.issubdtype(array.dtype, jnp.floating):
        raise InputError(f"`{name}` must be an array of floating-point numbers; got {array.dtype}")
    return array
