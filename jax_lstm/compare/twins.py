"""The PyTorch twin of each task and its model."""

from collections.abc import Callable
from typing import Any

import torch_ref


def forecasting(task: Any, ours: Any) -> tuple[Any, Any]:
    data, loss = task.dataset.config, task.config.loss
    return torch_ref.Forecasting(data.window, data.horizon, loss), torch_ref.LSTMModel(*_sizes(ours))


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
