"""The types and ways to multiply in which everything is measured, for both frameworks alike: a row each."""

from contextlib import contextmanager
from typing import Any, NamedTuple

import jax


class Precision(NamedTuple):
    """`dtype` of weights, inputs and outputs; `matmul` is JAX's name for how float32 is multiplied."""

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
    """Both frameworks multiply so, inside."""
    import torch

    torch.backends.cuda.matmul.allow_tf32 = precision.tf32
    flags = torch.backends.cudnn.flags(enabled=True, allow_tf32=precision.tf32)
    with flags, jax.default_matmul_precision(precision.matmul):
        yield
