"""Compare JAX with PyTorch: agreement and speed, from the same weights on the same batches."""

from jax_lstm.compare.config import CompareConfig
from jax_lstm.compare.run import Comparison, Report, compare

__all__ = ["CompareConfig", "Comparison", "Report", "compare"]
