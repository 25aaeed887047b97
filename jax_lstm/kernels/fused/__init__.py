"""The native kernel: the whole sequence in one call of a C++ library, on the CPU, for training as for inference.

`native` is the kernel; `unavailable` says why it cannot run here, `cannot_serve` why it cannot in a given type, and
`native_status` describes its state in one line. The library is compiled when the package is installed.
"""

from jax_lstm.kernels.fused.cpu.library import native_status, unavailable
from jax_lstm.kernels.fused.kernel import cannot_serve, native

__all__ = ["cannot_serve", "native", "native_status", "unavailable"]
