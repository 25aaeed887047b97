"""Time series: read a CSV file, put it on a regular grid, standardise it and cut it into windows."""

from jax_lstm.data.config import DataConfig
from jax_lstm.data.dataset import Dataset, Scaler, input_windows, load_dataset, read_series, target_windows

__all__ = ["DataConfig", "Dataset", "Scaler", "input_windows", "load_dataset", "read_series", "target_windows"]
