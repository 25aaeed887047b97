"""The PyTorch side of every comparison: the tutorial's model, the cell from its equations, a trainer."""

from torch_ref.cell import lstm_cell, lstm_layer
from torch_ref.model import LSTMModel
from torch_ref.train import forecast, gradients, train_steps

__all__ = ["LSTMModel", "forecast", "gradients", "lstm_cell", "lstm_layer", "train_steps"]
