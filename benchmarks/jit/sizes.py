"""The sizes that are studied, their weights and inputs, and the expected results."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.cases import Case, draw
from jax_lstm import interop
from jax_lstm.params import LSTMParams

Results = dict[str, np.ndarray]


@dataclass(frozen=True)
class Size:
    """L layers of H units, I inputs, on B rows of T steps."""

    batch: int
    steps: int
    input_size: int
    hidden_size: int
    layers: int = 1

    @property
    def shape(self) -> str:
        """B,T,I,H,L."""
        return f"{self.batch},{self.steps},{self.input_size},{self.hidden_size},{self.layers}"


@functools.lru_cache(maxsize=12)
def problem(size: Size) -> tuple[tuple[LSTMParams, ...], np.ndarray]:
    """The weights of every layer and the inputs (T, B, I), in float32."""
    drawn = draw(Case(size.batch, size.steps, size.input_size, size.hidden_size, num_layers=size.layers))
    return tuple(params for (params,) in drawn.layers), drawn.xs


def torch_lstm(size: Size, dtype: Any) -> tuple[Any, Any]:
    """PyTorch's module with these weights, and the inputs."""
    import torch

    weights, xs = problem(size)
    lstm = torch.nn.LSTM(size.input_size, size.hidden_size, size.layers).to(dtype)
    named = [interop.to_state_dict(params, f"{{}}_l{layer}") for layer, params in enumerate(weights)]
    lstm.load_state_dict({name: torch.from_numpy(array) for each in named for name, array in each.items()})
    return lstm, torch.tensor(xs, dtype=dtype, requires_grad=True)


@functools.lru_cache(maxsize=12)  # used by every variant of a size
def oracle(size: Size) -> Results:
    """Outputs, and gradients of `mean(outputs ** 2)`, by PyTorch in float64."""
    import torch

    lstm, xs = torch_lstm(size, torch.float64)
    ys = lstm(xs)[0]
    ys.square().mean().backward()
    return {"outputs": ys.detach().numpy()} | torch_gradients(lstm, xs)


def torch_gradients(lstm: Any, xs: Any) -> Results:
    layers = [
        LSTMParams(*(getattr(lstm, f"{name}_l{layer}").grad.numpy() for name in LSTMParams._fields[:4]))
        for layer in range(lstm.num_layers)
    ]
    return gradients(layers, xs.grad.numpy())


def gradients(d_weights: Sequence[LSTMParams], d_xs: Any) -> Results:
    """Gradients by the names that the gate uses. The two biases have the same gradient."""
    found = {"gradient of inputs": d_xs}
    for layer, d in enumerate(d_weights):
        of = {"weight_ih": d.weight_ih, "weight_hh": d.weight_hh, "bias": d.bias_hh}
        found |= {f"gradient of {name}_l{layer}": value for name, value in of.items()}
    return {name: np.asarray(value, np.float64) for name, value in found.items()}
