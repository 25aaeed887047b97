"""The twin of each task in PyTorch: a row a task; what it does, and its model with the sizes of ours."""

from collections.abc import Callable
from typing import Any

import torch_ref


def forecasting(task: Any, ours: Any) -> tuple[Any, Any]:
    data = task.dataset.config
    return torch_ref.Forecasting(data.window, data.horizon), torch_ref.LSTMModel(*_sizes(ours))


def language_modelling(task: Any, ours: Any) -> tuple[Any, Any]:
    size, embedding_size = ours.embedding.weight.shape
    inside = (ours.lstm.hidden_size, ours.lstm.num_layers)
    model = torch_ref.LanguageModel(size, embedding_size, *inside, ours.tied)
    return torch_ref.LanguageModelling(task.config.text.steps), model


def classification(task: Any, ours: Any) -> tuple[Any, Any]:
    return torch_ref.Classification(), torch_ref.Classifier(*_sizes(ours))


def _sizes(ours: Any) -> tuple[int, int, int, int]:
    return ours.lstm.input_size, ours.lstm.hidden_size, ours.fc.bias.shape[0], ours.lstm.num_layers


TWINS: dict[str, Callable[[Any, Any], tuple[Any, Any]]] = {
    "forecast": forecasting,
    "lm": language_modelling,
    "classify": classification,
}
