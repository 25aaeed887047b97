"""The LSTM of PyTorch for JAX: same parameters, same numbers, as Flax modules."""

import importlib
from typing import TYPE_CHECKING, Any

from jax_lstm import export, functional, kernels
from jax_lstm.checks import InputError, MissingExtraError
from jax_lstm.layers import LSTM, LSTMCell, explain_backend
from jax_lstm.models import LanguageModel, LSTMModel
from jax_lstm.params import Init, LSTMParams, LSTMState, Sizes
from jax_lstm.variants import Variant
from jax_lstm.version import __version__
from jax_lstm.weights import interop
from jax_lstm.weights.files import load_file, save_file
from jax_lstm.weights.state_dicts import IncompatibleKeys, load_state_dict, state_dict

if TYPE_CHECKING:
    from jax_lstm.estimators import Forecaster, SequenceClassifier, TextModel

__all__ = [
    "LSTM",
    "Forecaster",
    "IncompatibleKeys",
    "Init",
    "InputError",
    "LSTMCell",
    "LSTMModel",
    "LSTMParams",
    "LSTMState",
    "LanguageModel",
    "MissingExtraError",
    "SequenceClassifier",
    "Sizes",
    "TextModel",
    "Variant",
    "__version__",
    "explain_backend",
    "export",
    "functional",
    "interop",
    "kernels",
    "load_file",
    "load_state_dict",
    "save_file",
    "state_dict",
]


def __getattr__(name: str) -> Any:
    """The estimators, imported when they are used: training brings what layers do not need."""
    if name not in ("Forecaster", "SequenceClassifier", "TextModel"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module("jax_lstm.estimators"), name)


def __dir__() -> list[str]:
    return __all__
