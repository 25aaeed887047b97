"""Convert between NumPy arrays and PyTorch tensors, exact to the bit, for every type in the table."""

from typing import Any

import jax
import numpy as np

from jax_lstm.checks import InputError, require, require_extra

# {name in NumPy, ml_dtypes and PyTorch: name in safetensors}
DTYPES = {
    "float64": "F64",
    "float32": "F32",
    "float16": "F16",
    "bfloat16": "BF16",
    "float8_e4m3fn": "F8_E4M3",
    "float8_e5m2": "F8_E5M2",
    "int64": "I64",
    "int32": "I32",
    "int16": "I16",
    "int8": "I8",
    "uint64": "U64",
    "uint32": "U32",
    "uint16": "U16",
    "uint8": "U8",
    "bool": "BOOL",
}

TRACED = "the weights are being traced; convert them outside of jit and vmap"


def as_array(name: str, value: Any, *, floats: bool = False) -> np.ndarray:
    """Convert a torch tensor, or anything that NumPy accepts, to a contiguous array of the same type.

    Args:
        name: what errors call the value.
        value: the tensor or array.
        floats: whether only floating-point types are allowed.

    Raises:
        InputError: the value is traced or not a dense array, or its type is not in the table or not allowed.
    """
    expected = f"be an array of {'floating-point' if floats else 'real'} numbers"

    def require_known(dtype: str) -> None:
        require(dtype in DTYPES and ("float" in dtype or not floats), name, expected, dtype)

    if hasattr(value, "detach"):  # a torch tensor
        dense = str(value.layout) == "torch.strided" and not value.is_meta
        require(dense, name, "be a dense tensor", "a meta tensor" if value.is_meta else value.layout)
        dtype = str(value.dtype).removeprefix("torch.")
        require_known(dtype)
        return _torch_bytes(value.detach().cpu()).copy().view(np.dtype(dtype)).reshape(tuple(value.shape))
    try:
        array = np.asarray(value)
    except jax.errors.TracerArrayConversionError:
        raise InputError(TRACED) from None
    except (TypeError, ValueError):
        raise InputError(f"`{name}` must {expected}; got {type(value).__name__}") from None
    require_known(array.dtype.name)
    return np.asarray(array, np.dtype(array.dtype.name), order="C")  # in native byte order


def to_torch(array: np.ndarray) -> Any:
    """Copy `array`, of a type in the table, to a torch tensor."""
    torch: Any = require_extra("torch", "torch", "a tensor")
    tensor = torch.empty(array.shape, dtype=getattr(torch, array.dtype.name))
    _torch_bytes(tensor)[:] = np.frombuffer(array.tobytes(), np.uint8)
    return tensor


def _torch_bytes(tensor: Any) -> np.ndarray:
    """The bytes of a tensor, without a copy if it is contiguous. PyTorch cannot convert bfloat16 to NumPy directly."""
    torch: Any = require_extra("torch", "torch", "a tensor")
    return tensor.contiguous().reshape(-1).view(torch.uint8).numpy()
