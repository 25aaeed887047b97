"""What to compare."""

from dataclasses import dataclass, field

from jax_lstm.checks import require_size
from jax_lstm.data import DataConfig
from jax_lstm.train import ModelConfig, OptimConfig, TrainConfig


@dataclass(frozen=True)
class CompareConfig:
    """Train in JAX and in PyTorch from the same weights on the same batches; compare numbers and speed."""

    data: DataConfig = field(default_factory=DataConfig)
    hidden_size: int = 32
    """Hidden units of every layer."""
    num_layers: int = 1
    """LSTM layers."""
    learning_rate: float = 3e-3
    """Learning rate of Adam."""
    batch_size: int = 64
    """Windows in a batch."""
    epochs: int = 8
    """Passes over the training windows."""
    seed: int = 0
    """Seed of the initial weights and of the order of the batches."""
    x64: bool = False
    """Compute in float64, in both."""
    agreement_steps: int = 50
    """Adam steps after which losses and weights are held against each other."""
    samples: int = 9
    """Timings of each framework, taken in turns."""

    def __post_init__(self) -> None:
        for name in ("agreement_steps", "samples"):
            require_size("--" + name.replace("_", "-"), getattr(self, name))
        self.training()

    def training(self) -> TrainConfig:
        """The training run that either framework does."""
        return TrainConfig(
            data=self.data,
            model=ModelConfig(self.hidden_size, self.num_layers),
            optim=OptimConfig(learning_rate=self.learning_rate),
            batch_size=self.batch_size,
            epochs=self.epochs,
            seed=self.seed,
            x64=self.x64,
        )
