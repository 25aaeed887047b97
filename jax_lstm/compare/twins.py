"""The PyTorch twin of each task and its model."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import torch_ref

LSTM = ("hidden_size", "num_layers", "bidirectional", "proj_size")
NETWORK = (*LSTM, "segment", "normalise", "channels", "decode")


def forecasting(task: Any, ours: Any) -> tuple[Any, Any]:
    layout, config, model = task.layout, task.config, task.config.model
    twin = torch_ref.Forecasting(layout.window, layout.horizon, layout.known, config.loss, config.levels)
    if model.network == "tutorial":
        return twin, torch_ref.LSTMModel(*_sizes(ours))
    options = {name: getattr(model, name) for name in NETWORK}
    bypass = {"bypass": model.bypass != "none", "lags": ours.lags}
    return twin, torch_ref.ForecastModel(**asdict(layout), **options, **bypass, quantiles=len(config.levels))


def language_modelling(task: Any, ours: Any) -> tuple[Any, Any]:
    size, embedding_size = ours.embedding.weight.shape
    lstm = ours.lstm
    model = torch_ref.LanguageModel(
        size, embedding_size, lstm.hidden_size, lstm.num_layers, ours.tied, proj_size=lstm.proj_size
    )
    return torch_ref.LanguageModelling(task.config.text.steps), model


def labelling(task: Any, ours: Any) -> tuple[Any, Any]:
    return torch_ref.Labelling(), torch_ref.Classifier(*_sizes(ours))


def _sizes(ours: Any) -> tuple[int, int, int, int, bool, int]:
    lstm = ours.lstm
    outputs = ours.fc.bias.shape[0]
    return lstm.input_size, lstm.hidden_size, outputs, lstm.num_layers, lstm.bidirectional, lstm.proj_size


TWINS: dict[str, Callable[[Any, Any], tuple[Any, Any]]] = {
    "forecast": forecasting,
    "text": language_modelling,
    "labels": labelling,
}
