"""Out to other tools: what runs a trained model where this package is not."""

from jax_lstm.export.onnx_graph import to_onnx
from jax_lstm.export.program import Scaling
from jax_lstm.export.stablehlo import to_stablehlo

__all__ = ["Scaling", "to_onnx", "to_stablehlo"]
