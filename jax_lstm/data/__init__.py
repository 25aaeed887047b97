"""Data: windows of regular series, encoded text, labelled sequences of unequal length."""

from jax_lstm.data.config import DataConfig
from jax_lstm.data.dataset import Dataset, Trained, input_windows, load_dataset, read_series, target_windows
from jax_lstm.data.labelled import SequencesConfig
from jax_lstm.data.scaler import Scaler
from jax_lstm.data.text import TextConfig

__all__ = [
    "DataConfig",
    "Dataset",
    "Scaler",
    "SequencesConfig",
    "TextConfig",
    "Trained",
    "input_windows",
    "load_dataset",
    "read_series",
    "target_windows",
]
