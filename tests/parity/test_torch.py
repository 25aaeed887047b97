"""Against PyTorch: outputs, all gradients and 50 Adam steps, from the same weights on the same numbers."""

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


@pytest.fixture(params=SIZES)
def sizes(request: pytest.FixtureRequest) -> tuple[int, ...]:
    return SIZES[request.param]


def twins(sizes: tuple[int, ...], dtype: str) -> tuple[jl.LSTMModel, Any]:
    *_, input_size, hidden_size, output_size, num_layers = sizes
    torch.manual_seed(0)
    reference = torch_ref.LSTMModel(input_size, hidden_size, output_size, num_layers).to(getattr(torch, dtype))
    model = jl.LSTMModel(input_size, hidden_size, output_size, num_layers, param_dtype=dtype, rngs=nnx.Rngs(0))
    jl.load_state_dict(model, reference.state_dict())
    return model, reference


def batch(sizes: tuple[int, ...], dtype: str) -> tuple[np.ndarray, np.ndarray]:
    rows, steps, input_size, _, output_size, _ = sizes
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((rows, steps, input_size)), rng.standard_normal((rows, output_size))
    return x.astype(dtype), y.astype(dtype)


def test_outputs_and_gradients(sizes: tuple[int, ...], dtype: str) -> None:
    model, reference = twins(sizes, dtype)
    x, y = batch(sizes, dtype)
    inputs = torch.tensor(x, requires_grad=True)
    outputs = reference(inputs)
    torch.nn.functional.mse_loss(outputs, torch.tensor(y)).backward()

    graph, params = nnx.split(model)

    def loss_fn(params: nnx.State, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        outputs = nnx.merge(graph, params)(x)
        return jnp.mean((outputs - y) ** 2), outputs

    (d_params, d_x), ours = jax.jit(jax.grad(loss_fn, argnums=(0, 1), has_aux=True))(params, jnp.asarray(x))
    assert_agree("outputs", ours, outputs.detach(), dtype)
    assert_agree("gradients", d_x, inputs.grad, dtype, "x")
    gradients = jl.state_dict(nnx.merge(graph, d_params))
    named = dict(reference.named_parameters())
    assert gradients.keys() == named.keys()
    for name, parameter in named.items():
        assert_agree("gradients", gradients[name], parameter.grad, dtype, name)


def test_fifty_adam_steps(sizes: tuple[int, ...], dtype: str) -> None:
    model, reference = twins(sizes, dtype)
    x, y = batch(sizes, dtype)
    adam = torch.optim.Adam(reference.parameters(), lr=1e-3)
    expected = []
    for _ in range(50):
        adam.zero_grad()
        loss = torch.nn.functional.mse_loss(reference(torch.tensor(x)), torch.tensor(y))
        loss.backward()
        adam.step()
        expected.append(loss.item())

    optimizer = make_optimizer(OptimConfig(learning_rate=1e-3), 50, nnx.state(model, nnx.Param))
    step, data = make_step(model, optimizer), (jnp.asarray(x), jnp.asarray(y))
    state, metrics = jax.jit(lambda state: jax.lax.scan(lambda state, _: step(state, data), state, length=50))(
        init_state(model, optimizer)
    )
    assert_agree("losses", metrics["loss"], expected, dtype)
    assert expected[-1] < expected[0]
    trained = jl.state_dict(nnx.merge(nnx.graphdef(model), state.params, state.rest))
    for name, tensor in reference.state_dict().items():
        assert_agree("weights", trained[name], tensor, dtype, name)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("num_layers", [1, 2])
def test_lstm_alone(num_layers: int, bias: bool, dtype: str) -> None:
    """`torch.nn.LSTM` with its initial state, last state and the gradients of all that goes in."""
    torch.manual_seed(0)
    reference = torch.nn.LSTM(3, 7, num_layers, bias).to(getattr(torch, dtype))
    lstm = jl.LSTM(3, 7, num_layers, bias, param_dtype=dtype, rngs=nnx.Rngs(0))
    jl.load_state_dict(lstm, reference.state_dict())
    rng = np.random.default_rng(0)
    xs, d_ys = rng.standard_normal((5, 2, 3)), rng.standard_normal((5, 2, 7))
    h, c, d_h, d_c = rng.standard_normal((4, num_layers, 2, 7))
    ins = [torch.tensor(array.astype(dtype), requires_grad=True) for array in (xs, h, c)]
    ys, state = reference(ins[0], (ins[1], ins[2]))
    torch.autograd.backward([ys, *state], [torch.tensor(array.astype(dtype)) for array in (d_ys, d_h, d_c)])

    graph, params = nnx.split(lstm)
    arrays = [jnp.asarray(array, dtype) for array in (xs, h, c)]
    outputs, pullback = jax.vjp(lambda params, xs, h, c: nnx.merge(graph, params)(xs, (h, c)), params, *arrays)
    d_out = (jnp.asarray(d_ys, dtype), jl.LSTMState(jnp.asarray(d_h, dtype), jnp.asarray(d_c, dtype)))
    d_params, *d_ins = pullback(d_out)
    for got, expected in zip(jax.tree.leaves(outputs), (ys, *state), strict=True):
        assert_agree("outputs", got, expected.detach(), dtype)
    for got, expected in zip(d_ins, ins, strict=True):
        assert_agree("gradients", got, expected.grad, dtype)
    for name, gradient in jl.state_dict(nnx.merge(graph, d_params)).items():
        assert_agree("gradients", gradient, getattr(reference, name).grad, dtype, name)


def test_a_checkpoint_goes_back_to_torch_bit_for_bit() -> None:
    model, reference = twins(SIZES["tutorial"], "float32")
    weights = {name: torch.from_numpy(array) for name, array in jl.state_dict(model).items()}
    other = torch_ref.LSTMModel(10, 20, 1, 2)
    other.load_state_dict(weights)
    for name, tensor in reference.state_dict().items():
        assert torch.equal(other.state_dict()[name], tensor), name


def test_loaded_weights_are_a_copy() -> None:
    """PyTorch trains in place; what was loaded before must not change with it."""
    model, reference = twins(SIZES["tutorial"], "float32")
    before = jl.state_dict(model)
    with torch.no_grad():
        for parameter in reference.parameters():
            parameter.add_(1.0)
    for name, array in jl.state_dict(model).items():
        np.testing.assert_array_equal(array, before[name])


def test_bfloat16_tensors_load() -> None:
    model, reference = twins(SIZES["tutorial"], "float32")
    jl.load_state_dict(model, reference.to(torch.bfloat16).state_dict())
    np.testing.assert_array_equal(jl.state_dict(model)["fc.weight"], reference.fc.weight.detach().float().numpy())


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
