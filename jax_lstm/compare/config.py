"""The config of a comparison: a training run that both frameworks can do, and how to compare."""

from dataclasses import dataclass, field, fields
from typing import Any

from jax_lstm.checks import require, require_size
from jax_lstm.data import DataConfig, SequencesConfig, TextConfig
from jax_lstm.train import ModelConfig, OptimConfig, TrainConfig
from jax_lstm.train.config import TaskName, option, options
from jax_lstm.train.formats import require_known
from jax_lstm.train.formats import upgraded as upgraded_training

MODEL = ("hidden_size", "num_layers", "bidirectional", "proj_size", "backend", "backend_args", "embedding_size", "tied")
NETWORK = ("network", "segment", "normalise", "channels", "decode", "bypass")
TRAINING = ("task", "loss", "quantiles", "batch_size", "held_out", "epochs", "seed", "x64", "learning_rate")
DATA = tuple(each.name for part in (DataConfig, TextConfig, SequencesConfig) for each in fields(part))
BOTH = (*MODEL, *NETWORK, *TRAINING, *DATA)  # options of a training run that both frameworks support
IN_MEMORY = "be left out of compare, which times data in memory"
LEFT_OUT = "be left out of compare, where both sides train with plain Adam on one device"


def default(task: TaskName = "forecast") -> TrainConfig:
    """The training of a comparison: plain Adam at a constant rate, without dropout, whose masks would differ."""
    if task == "forecast":
        optim = OptimConfig(learning_rate=5e-4, schedule="constant")
        return TrainConfig(model=ModelConfig(output_dropout=0.0), optim=optim, epochs=4)
    return TrainConfig(task, optim=OptimConfig(learning_rate=3e-3, schedule="constant"), epochs=8)


@dataclass(frozen=True)
class CompareConfig:
    """Train in JAX and in PyTorch from the same weights on the same batches; compare results and speed."""

    train: TrainConfig = field(default_factory=default)
    agreement_steps: int = 50
    """Adam steps after which losses and weights are compared."""
    samples: int = 9
    """Timings of each framework, interleaved."""

    def __post_init__(self) -> None:
        for name in ("agreement_steps", "samples"):
            require_size(option(name), getattr(self, name))
        require(not self.train.data.stream, "--stream", IN_MEMORY, "--stream")
        usual = {each.name: each.value for each in options(default(self.train.task))}
        for name, value, _, only in options(self.train):
            used = only is None or self.train.task in only.tasks
            fix = f"compare has {usual[name]}"
            require(name in BOTH or not used or value == usual[name], option(name), LEFT_OUT, value, fix)


def upgraded(values: Any, where: str) -> Any:
    """The options in a saved config of a comparison; format 0 had no `train` in it."""
    if not isinstance(values, dict):
        return values
    number = values.get("format", 0)
    require_known(number, where)
    values = {name: value for name, value in values.items() if name != "format"}
    if isinstance(train := values.get("train"), dict):
        return {**values, "train": upgraded_training({**train, "format": number}, where)}
    own = {name: values.pop(name) for name in ("agreement_steps", "samples") if name in values}
    model = {name: values.pop(name) for name in MODEL if name in values}
    optim = {"learning_rate": values.pop("learning_rate")} if "learning_rate" in values else {}
    groups = {name: group for name, group in (("model", model), ("optim", optim)) if group}
    return {**own, "train": upgraded_training({**values, **groups}, where)}
