"""The LSTM of PyTorch for JAX: same parameters, same numbers, as Flax modules.

Example:
    >>> import jax.numpy as jnp
    >>> from flax import nnx
    >>> import jax_lstm as jl
    >>> model = jl.LSTMModel(input_size=10, hidden_size=20, output_size=1, num_layers=2, rngs=nnx.Rngs(0))
    >>> model(jnp.ones((32, 5, 10))).shape  # (B, T, I) to (B, O)
    (32, 1)
    >>> tuple(int(part) for part in jl.__version__.split(".")[:2]) >= (0, 1)
    True
"""

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
