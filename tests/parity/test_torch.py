"""Against PyTorch: outputs, all gradients and 50 Adam steps, from the same weights on the same numbers."""

import copy
import functools
from collections.abc import Callable
from itertools import product
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from agree import assert_agree
from flax import nnx

import jax_lstm as jl
from jax_lstm.train.config import OptimConfig
from jax_lstm.train.optimizer import make_optimizer
from jax_lstm.train.step import init_state, make_step

torch: Any = pytest.importorskip("torch")
torch_ref: Any = pytest.importorskip("torch_ref")

# B, T, I, H, O, L: the tutorial's sizes, and odd ones
SIZES = {
    "tutorial": (32, 5, 10, 20, 1, 2),
    "one layer, odd": (3, 7, 5, 11, 2, 1),
    "two layers, odd": (5, 3, 1, 7, 3, 2),
    "one of each": (1, 1, 1, 1, 1, 1),
}


def twins(name: str, dtype: str) -> tuple[jl.LSTMModel, Any]:
    """Our model with the weights of the reference; the latter is a copy, to train."""
    model, reference = _twins(name, dtype)
    return nnx.clone(model), copy.deepcopy(reference)


@functools.cache
def _twins(name: str, dtype: str) -> tuple[jl.LSTMModel, Any]:
    *_, input_size, hidden_size, output_size, num_layers = SIZES[name]
    torch.manual_seed(0)
    reference = torch_ref.LSTMModel(input_size, hidden_size, output_size, num_layers).to(getattr(torch, dtype))
    with jax.enable_x64(True):
        sizes_of_ours = (input_size, hidden_size, output_size, num_layers)
        model = nnx.eval_shape(lambda: jl.LSTMModel(*sizes_of_ours, param_dtype=dtype, rngs=nnx.Rngs(0)))
        jl.load_state_dict(model, reference.state_dict())
    return model, reference


def batch(name: str, dtype: str) -> tuple[np.ndarray, np.ndarray]:
    rows, steps, input_size, _, output_size, _ = SIZES[name]
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((rows, steps, input_size)), rng.standard_normal((rows, output_size))
    return x.astype(dtype), y.astype(dtype)


RUNS = tuple(product(SIZES, ("float32", "float64")))
QUICK = tuple(product(("tutorial",), ("float32", "float64")))  # in which 50 steps are taken in the plain run


@functools.cache
def in_one_program(run: Callable[[jl.LSTMModel, Any, Any], Any], runs: Any = RUNS) -> dict[tuple[Any, str], Any]:
    """What `run` makes of the model, x and y of every one of `runs`, compiled at once."""
    with jax.enable_x64(True):
        models = [twins(*each)[0] for each in runs]
        split = [nnx.split(model) for model in models]

        @jax.jit
        def all_runs(params: list[nnx.State], data: list[Any]) -> list[Any]:
            return [run(nnx.merge(graph, p), *xy) for (graph, _), p, xy in zip(split, params, data, strict=True)]

        return dict(zip(runs, all_runs([params for _, params in split], [batch(*each) for each in runs]), strict=True))


def outputs_and_gradients(model: jl.LSTMModel, x: jax.Array, y: jax.Array) -> Any:
    graph, params = nnx.split(model)

    def loss(params: nnx.State, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        outputs = nnx.merge(graph, params)(x)
        return jnp.mean((outputs - y) ** 2), outputs

    (d_params, d_x), outputs = jax.grad(loss, argnums=(0, 1), has_aux=True)(params, x)
    return outputs, d_x, nnx.to_pure_dict(d_params)


@pytest.mark.parametrize(("name", "dtype"), RUNS)
def test_outputs_and_gradients(name: str, dtype: str) -> None:
    model, reference = twins(name, dtype)
    x, y = batch(name, dtype)
    inputs = torch.tensor(x, requires_grad=True)
    expected = reference(inputs)
    torch.nn.functional.mse_loss(expected, torch.tensor(y)).backward()

    outputs, d_x, d_params = in_one_program(outputs_and_gradients)[name, dtype]
    assert_agree("outputs", outputs, expected.detach(), dtype)
    assert_agree("gradients", d_x, inputs.grad, dtype, "x")
    with jax.enable_x64(True):
        state = nnx.state(model)
        nnx.replace_by_pure_dict(state, d_params)
        gradients = jl.state_dict(nnx.merge(nnx.graphdef(model), state))
    named = dict(reference.named_parameters())
    assert gradients.keys() == named.keys()
    for key, parameter in named.items():
        assert_agree("gradients", gradients[key], parameter.grad, dtype, key)


def fifty_adam_steps(model: jl.LSTMModel, x: jax.Array, y: jax.Array) -> Any:
    optimizer = make_optimizer(OptimConfig(learning_rate=1e-3), 50, nnx.state(model, nnx.Param))
    step = make_step(model, optimizer)
    state, metrics = jax.lax.scan(lambda state, _: step(state, (x, y)), init_state(model, optimizer), length=50)
    return metrics["loss"], state.params, state.rest


@pytest.mark.parametrize(
    ("name", "dtype"), [pytest.param(*run, marks=[] if run in QUICK else [pytest.mark.slow]) for run in RUNS]
)
def test_fifty_adam_steps(name: str, dtype: str) -> None:
    model, reference = twins(name, dtype)
    x, y = batch(name, dtype)
    adam = torch.optim.Adam(reference.parameters(), lr=1e-3)
    expected = []
    for _ in range(50):
        adam.zero_grad()
        loss = torch.nn.functional.mse_loss(reference(torch.tensor(x)), torch.tensor(y))
        loss.backward()
        adam.step()
        expected.append(loss.item())

    losses, *state = in_one_program(fifty_adam_steps, QUICK if (name, dtype) in QUICK else RUNS)[name, dtype]
    assert_agree("losses", losses, expected, dtype)
    assert expected[-1] < expected[0]
    trained = jl.state_dict(nnx.merge(nnx.graphdef(model), *state))
    for key, tensor in reference.state_dict().items():
        assert_agree("weights", trained[key], tensor, dtype, key)


def test_explicit_cell_is_torchs_own() -> None:
    """The reference's step-by-step cell against the fused `torch.nn.LSTM`."""
    torch.manual_seed(0)
    for bias in (True, False):
        lstm = torch.nn.LSTM(3, 5, bias=bias).double()
        params = {name.removesuffix("_l0"): tensor for name, tensor in lstm.state_dict().items()}
        xs, h, c = torch.randn(6, 2, 3).double(), torch.randn(1, 2, 5).double(), torch.randn(1, 2, 5).double()
        ys, (h_last, c_last) = lstm(xs, (h, c))
        explicit, h_explicit, c_explicit = torch_ref.lstm_layer(params, xs, h[0], c[0])
        for got, expected in ((explicit, ys), (h_explicit, h_last[0]), (c_explicit, c_last[0])):
            assert_agree("outputs", got.detach(), expected.detach(), "float64")
