"""What to train, and how; a run directory keeps it as JSON."""

import dataclasses
import json
import math
import types
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from jax_lstm.checks import InputError, require, require_size
from jax_lstm.data import DataConfig

C = TypeVar("C")


@dataclass(frozen=True)
class ModelConfig:
    """Model: an LSTM whose last output goes through a linear layer."""

    hidden_size: int = 32
    """Hidden units of every layer."""
    num_layers: int = 1
    """LSTM layers."""
    dropout: float = 0.0
    """Probability with which an output is dropped between layers, in training."""

    def __post_init__(self) -> None:
        require_size("--hidden-size", self.hidden_size)
        require_size("--num-layers", self.num_layers)
        require(0 <= self.dropout < 1, "--dropout", "be at least 0 and below 1", self.dropout)
        layers = self.dropout == 0 or self.num_layers > 1
        require(layers, "--dropout", "be 0 for a single layer, since it falls between layers", self.dropout)


@dataclass(frozen=True)
class OptimConfig:
    """Optimiser: any of Optax, with schedule and clipping."""

    optimizer: str = "adam"
    """Name of an Optax optimiser: adam, adamw, sgd, rmsprop, lion ..."""
    learning_rate: float = 1e-3
    """Learning rate; the peak, where a schedule changes it."""
    optimizer_args: tuple[str, ...] = ()
    """Further arguments of the optimiser, as NAME=NUMBER."""
    schedule: Literal["constant", "cosine", "linear", "exponential"] = "constant"
    """How the learning rate falls: over the whole run to `final-rate` of its peak, or not at all."""
    final_rate: float = 0.01
    """Fraction of the peak learning rate at the end of a schedule."""
    warmup_steps: int = 0
    """Steps over which the learning rate rises linearly to its peak."""
    clip_norm: float = 0.0
    """Scale gradients down to this global norm; 0 leaves them as they are."""

    def __post_init__(self) -> None:
        require(0 < self.learning_rate < math.inf, "--learning-rate", "be positive and finite", self.learning_rate)
        require(0 < self.final_rate <= 1, "--final-rate", "be above 0 and at most 1", self.final_rate)
        require_size("--warmup-steps", self.warmup_steps, least=0)
        require(0 <= self.clip_norm < math.inf, "--clip-norm", "be positive and finite, or 0 for none", self.clip_norm)


@dataclass(frozen=True)
class TrainConfig:
    """A training run."""

    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    batch_size: int = 64
    """Windows in a batch."""
    epochs: int = 10
    """Passes over the training windows."""
    patience: int = 0
    """Stop after this many epochs without a better validation loss; 0 never stops early."""
    chunk_steps: int = 100
    """Steps per compiled call, at most; progress, Ctrl-C and logging come between calls."""
    save_every: int = 1
    """Epochs between checkpoints."""
    seed: int = 0
    """Seed of the initial weights, the order of the batches and dropout."""
    x64: bool = False
    """Compute in float64."""

    def __post_init__(self) -> None:
        for name in ("batch_size", "epochs", "chunk_steps", "save_every"):
            require_size("--" + name.replace("_", "-"), getattr(self, name))
        for name in ("patience", "seed"):
            require_size(f"--{name}", getattr(self, name), least=0)
        no_validation = self.patience and self.data.split.replace(" ", "").split(",")[1:2] in (["0"], ["0.0"])
        require(not no_validation, "--patience", "be 0 without a validation part", self.patience)

    @property
    def dtype(self) -> str:
        return "float64" if self.x64 else "float32"


def to_dict(config: Any) -> dict[str, Any]:
    """The config as plain values that JSON can hold."""
    return json.loads(json.dumps(dataclasses.asdict(config)))


def from_dict(cls: type[C], values: Any, where: str) -> C:
    """The config that `to_dict` made `values` from; fields that are left out have their defaults.

    Raises:
        InputError: an unknown field, or a value of the wrong type; the message begins with `where`.
    """
    if not isinstance(values, dict):
        raise InputError(f"{where}: expected a JSON object; got {values!r}")
    hints = typing.get_type_hints(cls)
    unknown = sorted(values.keys() - hints.keys())
    if unknown:
        raise InputError(f"{where}: unknown field {unknown[0]!r}; the fields are {', '.join(hints)}")
    try:
        return cls(**{name: _typed(hints[name], value, f"{where}, field {name!r}") for name, value in values.items()})
    except InputError as error:
        raise error if str(error).startswith(where) else InputError(f"{where}: {error}") from None


def read_config(cls: type[C], path: str) -> C:
    """The config in a JSON file."""
    try:
        values = json.loads(Path(path).read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (ValueError, OSError) as error:
        raise InputError(f"{path}: not a JSON file of options: {error}") from None
    return from_dict(cls, values, path)


def _typed(hint: Any, value: Any, where: str) -> Any:
    """`value` as the type that `hint` says."""
    if dataclasses.is_dataclass(hint):
        return from_dict(typing.cast(type, hint), value, where)
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return _typed(args[0], value, where)
    if origin in (typing.Union, types.UnionType):
        return None if value is None else _typed(next(arg for arg in args if arg is not type(None)), value, where)
    if origin is tuple:
        if isinstance(value, list):
            return tuple(_typed(args[0], item, where) for item in value)
        raise InputError(f"{where}: expected a list; got {value!r}")
    if origin is Literal:
        if value in args:
            return value
        raise InputError(f"{where}: expected one of {', '.join(map(repr, args))}; got {value!r}")
    if hint is float and type(value) is int:
        return float(value)
    if type(value) is hint:
        return value
    raise InputError(f"{where}: expected {hint.__name__}; got {value!r}")
