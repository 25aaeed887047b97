"""What to compare."""

from dataclasses import dataclass, field
from typing import Literal

from jax_lstm.checks import require, require_size
from jax_lstm.data import DataConfig, SequencesConfig, TextConfig
from jax_lstm.train import ModelConfig, OptimConfig, TrainConfig


@dataclass(frozen=True)
class CompareConfig:
    """Train in JAX and in PyTorch from the same weights on the same batches; compare numbers and speed."""

    task: Literal["forecast", "lm", "classify"] = "forecast"
    """What to learn: to forecast series, to write text, or to label sequences."""
    data: DataConfig = field(default_factory=DataConfig)
    text: TextConfig = field(default_factory=TextConfig)
    sequences: SequencesConfig = field(default_factory=SequencesConfig)
    hidden_size: int = 32
    """Hidden units of every layer."""
    num_layers: int = 1
    """LSTM layers."""
    embedding_size: int = 0
    """Of a language model: numbers that stand for a character; as many as hidden units if 0."""
    tied: bool = False
    """Of a language model: the output layer has the embedding's weights."""
    learning_rate: float = 3e-3
    """Learning rate of Adam."""
    batch_size: int = 64
    """Windows, stretches of text or sequences in a batch."""
    held_out: float = 0.1
    """Part of a text, at its end, or of labelled sequences, that is kept for validation; series have --split."""
    epochs: int = 8
    """Passes over the training part."""
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
        require(not self.data.stream, "--stream", "be left out of compare, which times data in memory", "--stream")
        self.training()

    def training(self) -> TrainConfig:
        """The training run that either framework does."""
        return TrainConfig(
            task=self.task,
            data=self.data,
            text=self.text,
            sequences=self.sequences,
            model=ModelConfig(self.hidden_size, self.num_layers, embedding_size=self.embedding_size, tied=self.tied),
            held_out=self.held_out,
            optim=OptimConfig(learning_rate=self.learning_rate),
            batch_size=self.batch_size,
            epochs=self.epochs,
            seed=self.seed,
            x64=self.x64,
        )
