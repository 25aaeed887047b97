"""The PyTorch side of every comparison: the tutorial's model, the cell from its equations, the tasks, a trainer."""

from torch_ref.cell import lstm_cell, lstm_layer
from torch_ref.classify import Classification, Classifier
from torch_ref.forecast import Forecasting
from torch_ref.lm import LanguageModel, LanguageModelling
from torch_ref.model import LSTMModel
from torch_ref.train import gradients, infer, train_steps

__all__ = [
    "Classification",
    "Classifier",
    "Forecasting",
    "LSTMModel",
    "LanguageModel",
    "LanguageModelling",
    "gradients",
    "infer",
    "lstm_cell",
    "lstm_layer",
    "train_steps",
]
