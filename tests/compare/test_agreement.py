"""The comparison itself: both contenders see the same, agree, and a difference is found."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from jax_lstm.compare.agreement import agreement
from jax_lstm.compare.contenders import InJax, InTorch
from jax_lstm.compare.throughput import Throughput, payback_epochs
from jax_lstm.data import DataConfig, load_dataset
from jax_lstm.tasks.forecast import Forecasting
from jax_lstm.train import ModelConfig, OptimConfig, TrainConfig


@pytest.fixture(scope="module")
def csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "wave.csv"
    values = np.sin(np.arange(300) / 5) + np.random.default_rng(0).normal(0, 0.1, 300)
    path.write_text("a,b\n" + "".join(f"{value:.5f},{at % 7}\n" for at, value in enumerate(values)))
    return path


def make(csv: Path, x64: bool = False) -> tuple[TrainConfig, Forecasting]:
    data = DataConfig(csv=str(csv), target=("a",), window=8, horizon=3, season=7)
    optim = OptimConfig(learning_rate=3e-3)
    config = TrainConfig(data=data, model=ModelConfig(6, 2), optim=optim, batch_size=16, epochs=1, x64=x64)
    return config, Forecasting(config, load_dataset(data, np.dtype(config.dtype)))


@pytest.mark.slow
@pytest.mark.usefixtures("x64")
def test_they_agree_in_float64(csv: Path) -> None:
    """The command compares in float32."""
    config, task = make(csv, x64=True)
    checks = agreement(InJax(config, task), InTorch(config, task), np.resize(task.dataset.starts["train"], (20, 16)))
    assert all(check.passed for check in checks), checks
    # outputs, 10 gradients, losses, 10 weights
    assert len(checks) == 22
    assert sum(check.relative > 0 for check in checks) > len(checks) / 2  # two computations, not one


@pytest.mark.slow
def test_other_weights_are_found(csv: Path) -> None:
    config, task = make(csv)
    ours, torch = InJax(config, task), InTorch(config, task)
    weights = torch.weights()
    weights["lstm.weight_hh_l1"][0, 0] += 0.01
    torch.set_weights(weights)
    checks = agreement(ours, torch, task.dataset.starts["train"][:32].reshape(2, 16))
    assert not checks[0].passed
    assert not next(check for check in checks if check.name.startswith("lstm.weight_hh_l1 after")).passed


@pytest.mark.slow
def test_other_optimiser_is_found(csv: Path) -> None:
    """Weights that start equal and are trained otherwise part in losses and weights, not in outputs."""
    config, task = make(csv)
    other = replace(config, optim=OptimConfig(learning_rate=3.3e-3))
    starts = np.resize(task.dataset.starts["train"], (50, 16))
    checks = {c.name: c for c in agreement(InJax(other, task), InTorch(config, task), starts)}
    assert checks["outputs"].passed
    assert not checks["losses of 50 Adam steps"].passed


def test_payback() -> None:
    training = Throughput(10, 5, {"JAX": [1.0] * 3, "PyTorch": [2.0] * 3}, compile_seconds=8.0)
    assert training.ratio == 2
    assert payback_epochs(training, steps_per_epoch=20) == 2  # 5 steps save 1 s, an epoch saves 4 s
    slower = Throughput(10, 5, {"JAX": [2.0] * 3, "PyTorch": [1.0] * 3}, compile_seconds=8.0)
    assert payback_epochs(slower, 20) is None
