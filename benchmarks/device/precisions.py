"""The types and matmul precisions to measure in, the same for both frameworks."""

from contextlib import contextmanager
from typing import Any, NamedTuple

import jax


class Precision(NamedTuple):
    """`dtype` of weights, inputs and outputs; `matmul` is JAX's name of the precision of float32 products."""

    dtype: str
    matmul: str
    tf32: bool


PRECISIONS = {
    "TF32": Precision("float32", "tensorfloat32", True),
    "bfloat16": Precision("bfloat16", "default", True),
    "float32": Precision("float32", "highest", False),
    "float16": Precision("float16", "default", True),
}


@contextmanager
def computed_in(precision: Precision) -> Any:
    """Set the matmul precision of both frameworks in a context."""
    import torch

    torch.backends.cuda.matmul.allow_tf32 = precision.tf32
    flags = torch.backends.cudnn.flags(enabled=True, allow_tf32=precision.tf32)
    with flags, jax.default_matmul_precision(precision.matmul):
        yield
