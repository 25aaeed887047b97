"""The fused kernel: a whole sequence as one primitive, forward and backward, with a lowering for each platform.

`kernel.py` has the kernel, `operations.py` the primitives, `lowerings.py` the table of lowerings; `plain.py`
is the operations in plain JAX, for platforms without a lowering of their own. `cpu/` is C++; `tpu.py` and `gpu.py` are
Pallas.
"""

from jax_lstm.kernels.fused.cpu import native_status, unavailable
from jax_lstm.kernels.fused.kernel import Fused

__all__ = ["Fused", "native_status", "unavailable"]
