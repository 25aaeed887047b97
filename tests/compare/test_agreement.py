"""The comparison itself: both contenders see the same, agree, and a difference is found."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import jax_lstm as jl

pytest.importorskip("torch")

import torch

import torch_ref
from jax_lstm.compare.agreement import agreement
from jax_lstm.compare.contenders import InJax, InTorch
from jax_lstm.compare.run import train_torch
from jax_lstm.compare.throughput import Throughput, payback_epochs
from jax_lstm.data import DataConfig
from jax_lstm.models import ForecastModel
from jax_lstm.models.forecast_model import Layout
from jax_lstm.tasks.forecast import Forecasting, load
from jax_lstm.tolerances import difference
from jax_lstm.train import ModelConfig, OptimConfig, TrainConfig, fit
from jax_lstm.train.step import mean_squared_error, pinball_loss


@pytest.fixture(scope="module")
def csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "wave.csv"
    values = np.sin(np.arange(300) / 5) + np.random.default_rng(0).normal(0, 0.1, 300)
    path.write_text("a,b\n" + "".join(f"{value:.5f},{at % 7}\n" for at, value in enumerate(values)))
    return path


def make(csv: Path, x64: bool = False, **options: Any) -> tuple[TrainConfig, Forecasting]:
    data = DataConfig(csv=str(csv), target=("a",), window=8, horizon=3, season=7)
    options = {"hidden_size": 6, "num_layers": 2, "output_dropout": 0.0, **options}
    optim = OptimConfig(learning_rate=3e-3, schedule="constant")
    task = load(TrainConfig(data=data, model=ModelConfig(**options), optim=optim, batch_size=16, epochs=1, x64=x64))
    return task.config, task


@pytest.mark.slow
@pytest.mark.parametrize(("network", "parameters"), [("segments", 16), ("tutorial", 10)])
@pytest.mark.usefixtures("x64")
def test_they_agree_in_float64(csv: Path, network: str, parameters: int) -> None:
    """The command compares in float32."""
    config, task = make(csv, x64=True, network=network)
    checks = agreement(InJax(config, task), InTorch(config, task), np.resize(task.dataset.starts["train"], (20, 16)))
    assert all(check.passed for check in checks), checks
    assert len(checks) == 2 + 2 * parameters  # outputs and losses, gradients and weights
    assert sum(check.relative > 0 for check in checks) > len(checks) / 2  # two computations, not one


@pytest.mark.slow
def test_other_weights_are_found(csv: Path) -> None:
    config, task = make(csv)
    ours, reference = InJax(config, task), InTorch(config, task)
    weights = reference.weights()
    weights["lstm.weight_hh_l1"] += 0.05
    reference.set_weights(weights)
    checks = agreement(ours, reference, task.dataset.starts["train"][:32].reshape(2, 16))
    assert not checks[0].passed
    assert not next(check for check in checks if check.name.startswith("lstm.weight_hh_l1 after")).passed


@pytest.mark.slow
def test_other_optimiser_is_found(csv: Path) -> None:
    """Weights that start equal and are trained otherwise part in losses and weights, not in outputs."""
    config, task = make(csv)
    other = replace(config, optim=replace(config.optim, learning_rate=3.3e-3))
    starts = np.resize(task.dataset.starts["train"], (50, 16))
    checks = {c.name: c for c in agreement(InJax(other, task), InTorch(config, task), starts)}
    assert checks["outputs"].passed
    assert not checks["losses of 50 Adam steps"].passed


@pytest.mark.slow
@pytest.mark.parametrize(("bypass", "rate"), [("ridge", 1.0), ("average", 1e-60)])  # bad epochs, and none
def test_both_keep_ridge_regression_if_no_epoch_is_better(bypass: Any, rate: float, csv: Path, tmp_path: Path) -> None:
    config, task = make(csv)
    model, optim = replace(config.model, bypass=bypass), replace(config.optim, learning_rate=rate)
    task = replace(task, config=replace(config, model=model, optim=optim))
    found = fit(task, tmp_path).params
    ours = jl.state_dict(nnx.merge(nnx.graphdef(task.build(task.config)), found))
    reference = train_torch(task.config, task, tmp_path, lambda stage, done, total: None)[1].weights()
    for weights in (ours, reference):
        np.testing.assert_array_equal(weights["bypass.weight"], task.ridge.weight.astype(np.float32))
        assert not np.any(weights["fc.weight"])


LAYOUT = Layout(window=10, horizon=5, features=6, target=(1, 3), known=(2, 4), static=(5,), calendar=(4,))
LEVELS = (0.1, 0.5, 0.9)
NETWORKS: dict[str, dict[str, Any]] = {
    "defaults": {"segment": 3},
    "joint": {"segment": 3, "channels": "joint", "normalise": "mean", "lags": 3, "quantiles": 3},
    "linear": {"segment": 2, "decode": "linear", "normalise": "none", "bidirectional": True, "lags": 0},
    "no bypass": {"segment": 4, "bypass": False, "num_layers": 2, "proj_size": 2, "quantiles": 3},
}


def pair(layout: Layout, options: dict[str, Any]) -> tuple[ForecastModel, Any]:
    """Our model and its twin with the same random weights, also where these start at zero."""
    ours = ForecastModel(layout, 4, **options, param_dtype=jnp.float64, rngs=nnx.Rngs(0))
    reference = torch_ref.ForecastModel(**asdict(layout), hidden_size=4, **options).double()
    rng = np.random.default_rng(1)
    weights = {name: rng.uniform(-0.5, 0.5, each.shape) for name, each in jl.state_dict(ours).items()}
    jl.load_state_dict(ours, weights)
    reference.load_state_dict({name: torch.from_numpy(each) for name, each in weights.items()})
    return ours, reference


def differences(ours: ForecastModel, reference: Any) -> dict[str, float]:
    """The largest difference of the outputs, and of each gradient of the loss, relative to the largest value."""
    rng, levels = np.random.default_rng(2), LEVELS if ours.values > 1 else ()
    x, ahead, y = (rng.normal(size=size) for size in ((4, 10, 6), (4, 5, 2), (4, 10)))
    task, target = torch_ref.Forecasting(10, 5, levels=levels), jnp.asarray(y)

    def loss(model: ForecastModel) -> Any:
        outputs = model(jnp.asarray(x), jnp.asarray(ahead))
        return (pinball_loss(outputs, target, levels) if levels else mean_squared_error(outputs, target)), outputs

    (_, outputs), gradients = nnx.jit(nnx.value_and_grad(loss, has_aux=True))(ours)
    x, ahead, y = map(torch.from_numpy, (x, ahead, y))
    expected = reference(x, ahead)
    cost = task.cost(expected, ((x, ahead), y))
    expected_gradients = torch.autograd.grad(cost, tuple(reference.parameters()), materialize_grads=True)
    names = [name for name, _ in reference.named_parameters()]
    found = jl.state_dict(nnx.merge(nnx.graphdef(ours), gradients))
    pairs = {name: (found[name], each.numpy()) for name, each in zip(names, expected_gradients, strict=True)}
    pairs["outputs"] = outputs, expected.detach().numpy()
    return {name: difference(*each).relative for name, each in pairs.items()}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name == "joint" else pytest.mark.slow) for name in NETWORKS]
)
@pytest.mark.usefixtures("x64")
def test_the_twin_has_our_outputs_and_gradients(name: str) -> None:
    ours, reference = pair(LAYOUT, NETWORKS[name])
    assert max(differences(ours, reference).values()) < 1e-12


@pytest.mark.slow
@pytest.mark.usefixtures("x64")
def test_a_mistake_in_the_twin_is_found() -> None:
    ours, reference = pair(LAYOUT, NETWORKS["defaults"])
    reference.drifting = reference.drifting[1:]  # a covariate from which the last row is not subtracted
    assert differences(ours, reference)["outputs"] > 1e-3


def test_payback() -> None:
    training = Throughput(10, 5, {"JAX": [1.0] * 3, "PyTorch": [2.0] * 3}, compile_seconds=8.0)
    assert training.ratio == 2
    assert payback_epochs(training, steps_per_epoch=20) == 2  # 5 steps save 1 s, an epoch saves 4 s
    slower = Throughput(10, 5, {"JAX": [2.0] * 3, "PyTorch": [1.0] * 3}, compile_seconds=8.0)
    assert payback_epochs(slower, 20) is None
