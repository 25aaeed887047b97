"""The model of each task, from the config and what the task says about its data."""

from collections.abc import Mapping
from typing import Any

from flax import nnx

from jax_lstm import kernels
from jax_lstm.checks import require
from jax_lstm.data.table import Columns
from jax_lstm.models import ForecastModel, LanguageModel, LSTMModel
from jax_lstm.train.config import ModelConfig, TrainConfig


def backend(config: ModelConfig) -> Any:
    """What `LSTM` takes as its backend: the kernel's name, or with options the kernel itself."""
    options: dict[str, Any] = config.backend_options()
    return kernels.named(config.backend, **options) if options else config.backend


def lstm_options(config: TrainConfig) -> dict[str, Any]:
    model = config.model
    chosen = {"bidirectional": model.bidirectional, "proj_size": model.proj_size}
    return {
        **{name: value for name, value in chosen.items() if value},
        "dropout": model.dropout,
        "backend": backend(model),
        "dtype": config.compute_dtype,
        "param_dtype": config.dtype,
        "rngs": nnx.Rngs(config.seed),
    }


def sequence_model(config: TrainConfig, input_size: int, output_size: int) -> LSTMModel:
    """A model that reads sequences and gives one vector for each."""
    model = config.model
    return LSTMModel(input_size, model.hidden_size, output_size, model.num_layers, **lstm_options(config))


def forecaster(config: TrainConfig, about: Mapping[str, Any]) -> LSTMModel | ForecastModel:
    """The model of a forecaster; `about` has its columns, and the `lags` of its linear map."""
    model, data, columns = config.model, config.data, columns_of(about)
    if model.network == "tutorial":
        return sequence_model(config, len(columns.features), data.horizon * len(columns.target))
    layout = columns.layout(data.window, data.horizon)
    read = len(layout.target) == len(columns.target)
    fix = "add them, or --network tutorial"
    require(read, "--features", "have the targets among them", " ".join(columns.features), fix)
    return ForecastModel(
        layout,
        model.hidden_size,
        model.num_layers,
        segment=min(model.segment, data.window),
        normalise="last" if model.normalise == "auto" else model.normalise,
        channels=model.channels,
        decode=model.decode,
        bypass=model.bypass != "none",
        lags=about.get("lags", -1),
        quantiles=len(config.levels),
        output_dropout=model.output_dropout,
        **lstm_options(config),
    )


def columns_of(about: Mapping[str, Any]) -> Columns:
    """The columns in what a task says about its data."""
    features, classes = tuple(about["features"]), about.get("classes", {})
    return Columns(
        features,
        tuple(about["target"]),
        tuple(about.get("read", features)),
        {name: tuple(each) for name, each in classes.items()},
        *(tuple(about.get(name, ())) for name in ("calendar_features", "future", "static")),
    )


def classifier(config: TrainConfig, about: Mapping[str, Any]) -> LSTMModel:
    return sequence_model(config, len(about["columns"]), len(about["classes"]))


def language_model(config: TrainConfig, about: Mapping[str, Any]) -> LanguageModel:
    model, alphabet = config.model, about["alphabet"]
    size = len(alphabet["characters"]) if alphabet["units"] == "characters" else 256
    return LanguageModel(
        size,
        model.hidden_size,
        model.num_layers,
        embedding_size=model.embedding_size,
        tied=model.tied,
        **lstm_options(config),
    )
