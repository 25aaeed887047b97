"""Training and prediction from Python, as scikit-learn has it: fit, predict, score. One class for each task."""

from jax_lstm.estimators.classifier import SequenceClassifier
from jax_lstm.estimators.forecaster import Backtest, Forecaster
from jax_lstm.estimators.text import TextModel

__all__ = ["Backtest", "Forecaster", "SequenceClassifier", "TextModel"]
