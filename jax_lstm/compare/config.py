"""The config of a comparison: a training run that both frameworks can do, and how to compare."""

from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

from jax_lstm.checks import require, require_size
from jax_lstm.train import OptimConfig, TrainConfig
from jax_lstm.train.config import option
from jax_lstm.train.formats import require_known
from jax_lstm.train.formats import upgraded as upgraded_training

MODEL = ("hidden_size", "num_layers", "bidirectional", "proj_size", "backend", "backend_args", "embedding_size", "tied")
TRAINING = ("task", "loss", "batch_size", "held_out", "epochs", "seed", "x64", "learning_rate")
IN_MEMORY = "be left out of compare, which times data in memory"
LEFT_OUT = "be left out of compare, where both sides train with plain Adam on one device"
BOTH = (*MODEL, *TRAINING)  # options of a training run that both frameworks support


@dataclass(frozen=True)
class CompareConfig:
    """Train in JAX and in PyTorch from the same weights on the same batches; compare results and speed."""

    train: TrainConfig = field(default_factory=lambda: TrainConfig(optim=OptimConfig(learning_rate=3e-3), epochs=8))
    agreement_steps: int = 50
    """Adam steps after which losses and weights are compared."""
    samples: int = 9
    """Timings of each framework, interleaved."""

    def __post_init__(self) -> None:
        for name in ("agreement_steps", "samples"):
            require_size(option(name), getattr(self, name))
        require(not self.train.data.stream, "--stream", IN_MEMORY, "--stream")
        for part in (self.train, self.train.model, self.train.optim):
            for each in fields(part):
                value = getattr(part, each.name)
                if each.name not in BOTH and not is_dataclass(value):
                    require(value == each.default, option(each.name), LEFT_OUT, value)


def upgraded(values: Any, where: str) -> Any:
    """The options in a saved config of a comparison; format 0 had no `train` in it."""
    if not isinstance(values, dict):
        return values
    require_known(values.get("format", 0), where)
    values = {name: value for name, value in values.items() if name != "format"}
    if "train" in values:
        return values
    own = {name: values.pop(name) for name in ("agreement_steps", "samples") if name in values}
    model = {name: values.pop(name) for name in MODEL if name in values}
    optim = {"learning_rate": values.pop("learning_rate")} if "learning_rate" in values else {}
    groups = {name: group for name, group in (("model", model), ("optim", optim)) if group}
    return {**own, "train": upgraded_training({**values, **groups}, where)}
