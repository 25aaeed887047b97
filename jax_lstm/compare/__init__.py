"""The same model, data, weights and batches in JAX and in PyTorch: do they agree, and how fast is each?"""

from jax_lstm.compare.config import CompareConfig
from jax_lstm.compare.run import Comparison, Report, compare

__all__ = ["CompareConfig", "Comparison", "Report", "compare"]
