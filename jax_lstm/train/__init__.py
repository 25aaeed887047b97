"""Training: pure steps under `lax.scan`, the loop around them, checkpoints that resume bit for bit."""

from jax_lstm.train.config import ModelConfig, OptimConfig, TrainConfig
from jax_lstm.train.loop import Progress, Result, fit
from jax_lstm.train.position import DivergedError
from jax_lstm.train.signals import InterruptedRunError

__all__ = [
    "DivergedError",
    "InterruptedRunError",
    "ModelConfig",
    "OptimConfig",
    "Progress",
    "Result",
    "TrainConfig",
    "fit",
]
