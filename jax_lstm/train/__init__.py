"""Training: pure steps under `lax.scan`, the loop around them, and checkpoints that resume bit for bit."""

from jax_lstm.train.config import ModelConfig, OptimConfig, TrainConfig
from jax_lstm.train.position import DivergedError
from jax_lstm.train.signals import InterruptedRunError
from jax_lstm.train.sweep import Sweep
from jax_lstm.train.trainer import Progress, Result, Trainer, fit

__all__ = [
    "DivergedError",
    "InterruptedRunError",
    "ModelConfig",
    "OptimConfig",
    "Progress",
    "Result",
    "Sweep",
    "TrainConfig",
    "Trainer",
    "fit",
]
