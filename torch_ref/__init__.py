"""The PyTorch reference: the models, the cell from its equations, the tasks, and training."""

from torch_ref.cell import lstm_cell, lstm_layer
from torch_ref.forecast import Forecasting
from torch_ref.forecast_model import ForecastModel
from torch_ref.labels import Classifier, Labelling
from torch_ref.model import LSTMModel
from torch_ref.text import LanguageModel, LanguageModelling
from torch_ref.train import gradients, infer, train_steps

__all__ = [
    "Classifier",
    "ForecastModel",
    "Forecasting",
    "LSTMModel",
    "Labelling",
    "LanguageModel",
    "LanguageModelling",
    "gradients",
    "infer",
    "lstm_cell",
    "lstm_layer",
    "train_steps",
]
