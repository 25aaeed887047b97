"""Models around the LSTM, one a file: the tutorial's, the forecaster's network, and the language model."""

from jax_lstm.models.forecast_model import ForecastModel
from jax_lstm.models.language_model import LanguageModel
from jax_lstm.models.linear import Embedding, Linear
from jax_lstm.models.lstm_model import LSTMModel

__all__ = ["Embedding", "ForecastModel", "LSTMModel", "LanguageModel", "Linear"]
