"""What to train, and how; a run directory keeps it as JSON."""

import dataclasses
import json
import math
import types
import typing
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

import jax

from jax_lstm.checks import InputError, require, require_size
from jax_lstm.data import DataConfig, SequencesConfig, TextConfig
from jax_lstm.train.mesh import parse_mesh

C = TypeVar("C")


@dataclass(frozen=True)
class ModelConfig:
    """Model: an LSTM under a linear layer, which reads its last output, or of a language model every output."""

    hidden_size: int = 32
    """Hidden units of every layer."""
    num_layers: int = 1
    """LSTM layers."""
    dropout: float = 0.0
    """Probability with which an output is dropped between layers, in training; in a language model also an entry of
    the embedding, and an output of the last layer."""
    embedding_size: int = 0
    """Of a language model: numbers that stand for a character; as many as hidden units if 0."""
    tied: bool = False
    """Of a language model: the output layer has the embedding's weights."""

    def __post_init__(self) -> None:
        require_size("--hidden-size", self.hidden_size)
        require_size("--num-layers", self.num_layers)
        require_size("--embedding-size", self.embedding_size, least=0)
        require(0 <= self.dropout < 1, "--dropout", "be at least 0 and below 1", self.dropout)
        fits = not self.tied or self.embedding_size in (0, self.hidden_size)
        require(fits, "--embedding-size", "be that of the hidden layer with --tied", self.embedding_size)


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

    task: Literal["forecast", "lm", "classify"] = "forecast"
    """What to learn: to forecast series, to write text, or to label sequences."""
    data: DataConfig = field(default_factory=DataConfig)
    text: TextConfig = field(default_factory=TextConfig)
    sequences: SequencesConfig = field(default_factory=SequencesConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    batch_size: int = 64
    """Windows, stretches of text or sequences in a batch."""
    held_out: float = 0.1
    """Part of a text, at its end, or of labelled sequences, that is kept for validation; series have --split."""
    epochs: int = 10
    """Passes over the training part."""
    patience: int = 0
    """Stop after this many epochs without a better validation loss; 0 never stops early."""
    chunk_steps: int = 100
    """Steps per compiled call, at most; progress, Ctrl-C and logging come between calls."""
    save_every: int = 1
    """Epochs between checkpoints."""
    seed: int = 0
    """Seed of the initial weights, the order of the batches and dropout."""
    seeds: str = ""
    """Train a model for each seed, all at once: FIRST:END, as 0:8, or numbers, as 3,5,9."""
    sweep: tuple[str, ...] = ()
    """Train a model for each value, all at once: OPTION=VALUE,VALUE; of several options in all combinations."""
    x64: bool = False
    """Compute in float64."""
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    """What products are computed in; parameters, states and sums stay float32."""
    matmul_precision: Literal["default", "high", "highest"] = "default"
    """On accelerators: how exactly float32 is multiplied; the default there is TF32 or bfloat16."""
    mesh: str = ""
    """Devices to train on: data=4 splits each batch, model=2 the parameters too; all of several hosts, if not given."""

    def __post_init__(self) -> None:
        for name in ("batch_size", "epochs", "chunk_steps", "save_every"):
            require_size("--" + name.replace("_", "-"), getattr(self, name))
        for name in ("patience", "seed"):
            require_size(f"--{name}", getattr(self, name), least=0)
        require(0 <= self.held_out < 1, "--held-out", "be at least 0 and below 1", self.held_out)
        for task, option, file in (
            ("forecast", "--csv", self.data.csv),
            ("lm", "--text", self.text.text),
            ("classify", "--sequences", self.sequences.sequences),
        ):
            require(not file or self.task == task, option, f"come with --task {task}", file)
        between = self.model.dropout == 0 or self.model.num_layers > 1 or self.task == "lm"
        require(between, "--dropout", "be 0 for a single layer, since it falls between layers", self.model.dropout)
        none = self.data.split.replace(" ", "").split(",")[1:2] in (["0"], ["0.0"])
        no_validation = self.patience and (none if self.task == "forecast" else self.held_out == 0)
        require(not no_validation, "--patience", "be 0 without a validation part", self.patience)
        many = " ".join(filter(None, (self.seeds, *self.sweep)))
        alone = "be left out with --stream, since every model would read the data for itself"
        require(not (self.data.stream and many), "--seeds and --sweep", alone, many)

        require(not self.x64 or self.precision == "float32", "--precision", "be left out with --x64", self.precision)
        parse_mesh(self.mesh)  # checks it

    @property
    def compute_dtype(self) -> str | None:
        return None if self.precision == "float32" else self.precision

    @property
    def dtype(self) -> str:
        return "float64" if self.x64 else "float32"


@contextmanager
def arithmetic(config: TrainConfig) -> Iterator[None]:
    """Within it JAX computes as `config` says: in float64 or not, and its products as exactly."""
    with jax.enable_x64(config.x64), jax.default_matmul_precision(config.matmul_precision):
        yield


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
