"""Export modules with their weights to ONNX and StableHLO, to run without this package.

Both formats take any batch and number of steps, and have inputs and outputs with names; `Options` chooses them.
"""

from jax_lstm.export.onnx_graph import to_onnx
from jax_lstm.export.program import Options, Scaling
from jax_lstm.export.stablehlo import to_stablehlo

__all__ = ["Options", "Scaling", "to_onnx", "to_stablehlo"]
