"""Export of modules to ONNX and StableHLO, to run without this package."""

from jax_lstm.export.onnx_graph import to_onnx
from jax_lstm.export.program import Options, Scaling
from jax_lstm.export.stablehlo import to_stablehlo

__all__ = ["Options", "Scaling", "to_onnx", "to_stablehlo"]
