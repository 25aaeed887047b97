"""The config of a training run, and its form in JSON."""

import dataclasses
import json
import math
import typing
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

import jax

from jax_lstm.checks import InputError, require, require_size
from jax_lstm.data import DataConfig, SequencesConfig, TextConfig
from jax_lstm.data.config import parse_split
from jax_lstm.train.formats import upgraded
from jax_lstm.train.mesh import parse_mesh

C = TypeVar("C")
TaskName = Literal["forecast", "text", "labels"]


class Only(NamedTuple):
    """Annotates an option that only some tasks have."""

    tasks: tuple[str, ...]
    reason: str = ""

    def expected(self, task: str) -> str:
        """What an error says about the option in another task."""
        reason = f", since {self.reason}" if self.reason else ""
        return f"come with the task {' or '.join(self.tasks)}, not {task}{reason}"


TEXT_ONLY = Only(("text",))
FORECAST_ONLY = Only(("forecast",))


@dataclass(frozen=True)
class ModelConfig:
    """Model: an LSTM with a linear layer on its last output, or for text on every output."""

    hidden_size: int = 64
    """Hidden units per layer."""
    num_layers: int = 1
    """LSTM layers."""
    dropout: float = 0.0
    """Dropout between layers during training; for text also on the embedding and the last layer's outputs."""
    bidirectional: Annotated[bool, Only(("forecast", "labels"), "a language model must not see what follows")] = False
    """Add a second direction, which reads each sequence from its end."""
    proj_size: int = 0
    """Project the output of every layer to this size; 0 for no projection."""
    backend: str = "auto"
    """Kernel by name: native, pallas, plain, cudnn, scan, parallel or reference; `auto` chooses one."""
    backend_args: tuple[str, ...] = ()
    """Options of the kernel, as NAME=VALUE: with --backend scan, unroll=4 remat=chunks."""
    network: Annotated[Literal["segments", "tutorial"], FORECAST_ONLY] = "segments"
    """`segments` is an LSTM over segments of the window beside a linear map; `tutorial` an LSTM over its rows with a
    linear layer on the last output."""
    segment: Annotated[int, FORECAST_ONLY] = 0
    """Rows that the LSTM reads as one step (default: from the season)."""
    normalise: Annotated[Literal["auto", "last", "mean", "none"], FORECAST_ONLY] = "auto"
    """Subtract the last row from the targets in a window, or their mean and divide by their deviation. `auto` takes
    the last row, unless ridge regression is clearly better with the mean."""
    channels: Annotated[Literal["apart", "joint"], FORECAST_ONLY] = "apart"
    """Read each target as a sequence of its own, with shared weights, or all at once."""
    decode: Annotated[Literal["segments", "linear"], FORECAST_ONLY] = "segments"
    """One LSTM step for each segment of the horizon, or one linear layer on the last output."""
    bypass: Annotated[Literal["ridge", "average", "none"], FORECAST_ONLY] = "ridge"
    """`ridge`: the LSTM learns a correction to ridge regression. `average`: the LSTM is trained alone, and the forecast
    is a weighted mean of the two, with the weight chosen on the validation part. `none`: the LSTM alone."""
    output_dropout: Annotated[float, FORECAST_ONLY] = 0.3
    """With segments, dropout of the LSTM's outputs before the last layer during training."""
    embedding_size: Annotated[int, TEXT_ONLY] = 0
    """Size of the embedding; 0 takes the hidden size."""
    tied: Annotated[bool, TEXT_ONLY] = False
    """Share the embedding's weights with the output layer."""

    def __post_init__(self) -> None:
        require_size("--hidden-size", self.hidden_size)
        require_size("--num-layers", self.num_layers)
        require_size("--embedding-size", self.embedding_size, least=0)
        require_size("--segment", self.segment, least=0)
        if self.network == "tutorial":
            for name in ("segment", "normalise", "channels", "decode", "bypass"):
                value, default = getattr(self, name), type(self).__dataclass_fields__[name].default
                require(value == default, option(name), "be left out with --network tutorial", value)
        require_size("--proj-size", self.proj_size, least=0)
        below = self.proj_size < self.hidden_size
        require(below, "--proj-size", f"be below --hidden-size, {self.hidden_size}", self.proj_size)
        for name in ("dropout", "output_dropout"):
            require(0 <= getattr(self, name) < 1, option(name), "be at least 0 and below 1", getattr(self, name))
        output_size = self.proj_size or self.hidden_size
        fits = not self.tied or self.embedding_size in (0, output_size)
        require(fits, "--embedding-size", f"be the LSTM's output size, {output_size}, with --tied", self.embedding_size)
        named = self.backend != "auto" or not self.backend_args
        require(named, "--backend-args", "come with --backend NAME", " ".join(self.backend_args))
        self.backend_options()  # checks them

    def backend_options(self) -> dict[str, int | float | str]:
        """`--backend-args` by name; a value is an int or a float if it reads as one.

        Raises:
            InputError: an argument is not NAME=VALUE.
        """
        found = {}
        for text in self.backend_args:
            name, equals, value = text.partition("=")
            require(bool(name and equals and value), "--backend-args", "be NAME=VALUE, as unroll=4", repr(text))
            found[name.replace("-", "_")] = number(value)
        return found


def number(text: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text


@dataclass(frozen=True)
class OptimConfig:
    """Optimiser: any optimiser of Optax, with a schedule and gradient clipping."""

    optimizer: str = "adam"
    """Name of an Optax optimiser: adam, adamw, sgd, rmsprop, lion ..."""
    learning_rate: float = 1e-3
    """Learning rate; with a schedule, its peak."""
    optimizer_args: tuple[str, ...] = ()
    """More arguments for the optimiser, as NAME=NUMBER."""
    schedule: Literal["auto", "constant", "cosine", "linear", "exponential"] = "auto"
    """Learning rate schedule; all but constant decay to --final-rate of the peak over the whole run. `auto` is cosine
    for a forecaster with segments, else constant."""
    final_rate: float = 0.01
    """Learning rate at the end of a schedule, as a fraction of the peak."""
    warmup_steps: int = 0
    """Steps of linear warm-up."""
    clip_norm: float = 0.0
    """Clip gradients to this global norm; 0 turns clipping off."""

    def __post_init__(self) -> None:
        require(0 < self.learning_rate < math.inf, "--learning-rate", "be positive and finite", self.learning_rate)
        require(0 < self.final_rate <= 1, "--final-rate", "be above 0 and at most 1", self.final_rate)
        require_size("--warmup-steps", self.warmup_steps, least=0)
        require(0 <= self.clip_norm < math.inf, "--clip-norm", "be positive and finite, or 0 for none", self.clip_norm)


@dataclass(frozen=True)
class TrainConfig:
    """A training run."""

    task: TaskName = "forecast"
    """What to learn: to forecast series, to model text, or to label sequences."""
    data: Annotated[DataConfig, Only(("forecast",))] = field(default_factory=DataConfig)
    text: Annotated[TextConfig, TEXT_ONLY] = field(default_factory=TextConfig)
    sequences: Annotated[SequencesConfig, Only(("labels",))] = field(default_factory=SequencesConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    loss: Annotated[Literal["mse", "mae", "huber"], FORECAST_ONLY] = "mse"
    """Loss: mean squared error, mean absolute error, or Huber with delta 1; on the standardised scale."""
    quantiles: Annotated[str, FORECAST_ONLY] = ""
    """Forecast these quantiles, as 0.05,0.5,0.95, with the pinball loss in place of --loss."""
    batch_size: int = 0
    """Rows per batch: windows, streams of text, or sequences (default: 64; for series 4 to 256, by the
    number of windows)."""
    held_out: Annotated[float, Only(("text", "labels"), "series have --split")] = 0.1
    """Fraction held out for validation: the end of a text, or of each label's sequences."""
    epochs: int = 0
    """Passes over the training part (default: 10; for series 5 to 15, the fewer the more windows there are)."""
    patience: int = 0
    """Stop after this many epochs without a lower validation error; 0 never stops early."""
    chunk_steps: int = 100
    """Most steps per compiled call; progress, logging and Ctrl-C are handled between calls."""
    save_every: int = 0
    """Epochs between checkpoints; 0 saves when the last checkpoint is 10 seconds old, and at the end."""
    seed: int = 0
    """Seed of the initial weights, the batch order and dropout."""
    seeds: str = ""
    """Train one model per seed, all at once: FIRST:END, as 0:8, or a list, as 3,5,9."""
    sweep: tuple[str, ...] = ()
    """Train one model per value: OPTION=VALUE,VALUE; several options are combined, and the best by validation predicts.
    Numbers of the optimiser train all at once, sizes of the model one after the other."""
    x64: bool = False
    """Compute in float64."""
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    """Type of matrix products; parameters, states and sums stay float32."""
    matmul_precision: Literal["default", "high", "highest"] = "default"
    """Precision of float32 matrix products on accelerators, whose default is TF32 or bfloat16."""
    mesh: str = ""
    """Devices to train on: data=4 splits each batch, model=2 also the parameters; with several hosts, all devices if
    not given."""

    def __post_init__(self) -> None:
        require_size("--chunk-steps", self.chunk_steps)
        for name in ("batch_size", "epochs", "patience", "save_every", "seed"):
            require_size(option(name), getattr(self, name), least=0)
        require(0 <= self.held_out < 1, "--held-out", "be at least 0 and below 1", self.held_out)
        for name, value, default, only in options(self):
            if only is not None and self.task not in only.tasks:
                shown = " ".join(map(str, value)) if isinstance(value, tuple) else value
                off = value in (default, 0)  # a comparison has no dropout, whatever its task
                require(off, option(name), only.expected(self.task), shown)
        between = self.model.dropout == 0 or self.model.num_layers > 1 or self.task == "text"
        require(between, "--dropout", "be 0 for a single layer, since it acts between layers", self.model.dropout)
        held_out = parse_split(self.data.split)[1] if self.task == "forecast" else self.held_out
        require(held_out > 0 or not self.patience, "--patience", "be 0 without a validation part", self.patience)
        chooses, fix = "be left out without a validation part, by which the best is chosen", "--seeds needs none"
        require(held_out > 0 or not self.sweep, "--sweep", chooses, " ".join(self.sweep), fix)
        many = " ".join(filter(None, (self.seeds, *self.sweep)))
        left_out = "be left out with --stream, since every model would read the data for itself"
        require(not (self.data.stream and many), "--seeds and --sweep", left_out, many)
        levels = self.levels
        one = self.loss == "mse" and self.model.network == "segments"
        require(one or not levels, "--quantiles", "come without --loss and --network", self.quantiles)
        require(not self.x64 or self.precision == "float32", "--precision", "be left out with --x64", self.precision)
        parse_mesh(self.mesh)  # checks it

    @property
    def levels(self) -> tuple[float, ...]:
        """The levels of `quantiles`, ascending; () without quantiles.

        Raises:
            InputError: they cannot be read, or the median, which is the forecast itself, is not among them.
        """
        try:
            found = tuple(sorted({float(part) for part in self.quantiles.split(",")})) if self.quantiles else ()
        except ValueError:
            found = (0.0,)
        expected = "be numbers between 0 and 1 with 0.5 among them, as 0.05,0.5,0.95"
        fits = not found or (0.5 in found and found[0] > 0 and found[-1] < 1)
        require(fits, "--quantiles", expected, repr(self.quantiles))
        return found

    @property
    def compute_dtype(self) -> str | None:
        return None if self.precision == "float32" else self.precision

    @property
    def dtype(self) -> str:
        return "float64" if self.x64 else "float32"


def option(name: str) -> str:
    """A field's name on the command line."""
    return "--" + name.replace("_", "-")


class Option(NamedTuple):
    """A field of a config, or of a config inside it."""

    name: str
    value: Any
    default: Any
    only: Only | None


def options(config: Any, only: Only | None = None) -> Iterator[Option]:
    """Every option of a config; `only` applies to those that have none of their own."""
    hints = typing.get_type_hints(type(config), include_extras=True)
    for each in dataclasses.fields(config):
        own, value = only_of(hints[each.name]) or only, getattr(config, each.name)
        if dataclasses.is_dataclass(value):
            yield from options(value, own)
        else:
            yield Option(each.name, value, each.default, own)


def with_options(config: C, values: Mapping[str, Any], task: str) -> C:
    """`config` with `values` for the options of `task`, by name, wherever in it they are.

    Raises:
        InputError: a value is of the wrong type, or cannot be used.
    """
    hints = typing.get_type_hints(type(config), include_extras=True)
    changed: dict[str, Any] = {}
    for each in dataclasses.fields(config):  # type: ignore[arg-type]
        name, only, value = each.name, only_of(hints[each.name]), getattr(config, each.name)
        if only is not None and task not in only.tasks:
            continue
        if dataclasses.is_dataclass(value):
            changed[name] = with_options(value, values, task)
        elif name in values:
            hint = typing.get_type_hints(type(config))[name]
            changed[name] = _typed(hint, value, values[name], f"`{option(name)}`")
    return dataclasses.replace(config, **changed)  # type: ignore[type-var]


def only_of(hint: Any) -> Only | None:
    return next((one for one in getattr(hint, "__metadata__", ()) if isinstance(one, Only)), None)


@contextmanager
def arithmetic(config: TrainConfig) -> Iterator[None]:
    """Apply the config's x64 and matmul precision."""
    with jax.enable_x64(config.x64), jax.default_matmul_precision(config.matmul_precision):
        yield


def absolute(config: TrainConfig) -> TrainConfig:
    """With absolute paths of data files, so that the run can be opened from anywhere."""

    def of(part: Any, *names: str) -> Any:
        return dataclasses.replace(
            part, **{name: str(Path(getattr(part, name)).absolute()) for name in names if getattr(part, name)}
        )

    return dataclasses.replace(
        config,
        data=of(config.data, "csv"),
        text=of(config.text, "text"),
        sequences=of(config.sequences, "sequences", "test_sequences"),
    )


def to_dict(config: Any) -> dict[str, Any]:
    """The config as plain values for JSON."""
    return json.loads(json.dumps(dataclasses.asdict(config)))


def from_dict(base: C, values: Any, where: str) -> C:
    """`base` with the fields in `values`, as `to_dict` writes them.

    Raises:
        InputError: an unknown field, or a value of the wrong type; the message begins with `where`.
    """
    if not isinstance(values, dict):
        raise InputError(f"{where}: expected a JSON object; got {values!r}")
    hints = typing.get_type_hints(type(base))
    unknown = sorted(values.keys() - hints.keys())
    if unknown:
        raise InputError(f"{where}: unknown field {unknown[0]!r}; the fields are {', '.join(hints)}")
    typed = {
        name: _typed(hints[name], getattr(base, name), value, f"{where}, field {name!r}")
        for name, value in values.items()
    }
    try:
        return dataclasses.replace(base, **typed)  # type: ignore[type-var]
    except InputError as error:
        raise InputError(f"{where}: {error}") from None


def read_config(base: C, path: str, upgrade: Callable[[Any, str], Any] = upgraded) -> C:
    """The config in a JSON file, with the values of `base` for fields that it leaves out."""
    try:
        values = json.loads(Path(path).read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (ValueError, OSError) as error:
        raise InputError(f"{path}: not a JSON file of options: {error}") from None
    return from_dict(base, upgrade(values, path), path)


def _typed(hint: Any, base: Any, value: Any, where: str) -> Any:
    """`value`, checked against the type `hint`; `base` is the present value of the field."""
    if dataclasses.is_dataclass(hint):
        return from_dict(base, value, where)
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is tuple:
        if isinstance(value, list):
            return tuple(_typed(args[0], None, item, where) for item in value)
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
