"""The LSTM of PyTorch for JAX: same parameters, same numbers, as Flax modules over `jax.lax.scan`."""

from jax_lstm import export, functional, interop
from jax_lstm.cell import LSTMCell
from jax_lstm.checks import InputError, MissingExtraError
from jax_lstm.convert import IncompatibleKeys, load_state_dict, state_dict
from jax_lstm.init import Init
from jax_lstm.language_model import LanguageModel
from jax_lstm.lstm import LSTM, explain_backend
from jax_lstm.model import LSTMModel
from jax_lstm.sizes import Sizes
from jax_lstm.state import LSTMParams, LSTMState
from jax_lstm.variant import Variant
from jax_lstm.version import __version__
from jax_lstm.weight_files import load_file, save_file

__all__ = [
    "LSTM",
    "IncompatibleKeys",
    "Init",
    "InputError",
    "LSTMCell",
    "LSTMModel",
    "LSTMParams",
    "LSTMState",
    "LanguageModel",
    "MissingExtraError",
    "Sizes",
    "Variant",
    "__version__",
    "explain_backend",
    "export",
    "functional",
    "interop",
    "load_file",
    "load_state_dict",
    "save_file",
    "state_dict",
]
