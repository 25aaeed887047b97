"""The whole comparison: agreement, throughput, a training run in each framework, quality, and the record of it all."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jax_lstm.compare.agreement import Check, agreement
from jax_lstm.compare.config import CompareConfig
from jax_lstm.compare.contenders import CONTENDERS, InTorch
from jax_lstm.compare.throughput import Throughput, payback_epochs, throughput
from jax_lstm.data import Dataset
from jax_lstm.environment import environment
from jax_lstm.files import write_json
from jax_lstm.train import Progress, TrainConfig, fit, open_run
from jax_lstm.train.config import to_dict
from jax_lstm.train.metrics import MetricsLog
from jax_lstm.train.scores import Scores, baseline_forecasts, score, truth_of
from jax_lstm.train.step import epoch_batches

METRICS_TORCH = "metrics.torch.jsonl"
FORECAST_BATCH = 512


Report = Callable[[str, int, int], None]  # (stage, done, total): so many of its parts are done


@dataclass(frozen=True)
class Epoch:
    """Mean losses of one epoch; `val` is None without a validation part."""

    train: float
    val: float | None


@dataclass(frozen=True)
class Comparison:
    """What came out. Where `agreed` is false nothing was timed or trained, and everything else is empty."""

    checks: list[Check]
    training: Throughput | None
    inference: Throughput | None
    payback: float | None
    epochs: dict[str, list[Epoch]]
    forecasts: dict[str, np.ndarray]
    scores: dict[str, Scores]

    @property
    def agreed(self) -> bool:
        return all(check.passed for check in self.checks)


def compare(
    config: CompareConfig, dataset: Dataset, directory: Path, report: Report = lambda stage, done, total: None
) -> Comparison:
    """Compare on `dataset`; the JAX run, both logs of metrics and the record `compare.json` go to `directory`.

    Raises:
        MissingExtraError: PyTorch is not installed.
        DivergedError: the loss of the JAX run became NaN or infinite.
    """
    training = config.training()
    batches = _steps(training, dataset, config.agreement_steps)
    checks = _agreement(training, dataset, batches, report)
    if not all(check.passed for check in checks):
        comparison = Comparison(checks, None, None, None, {}, {}, {})
        _record(config, comparison, directory)
        return comparison

    contenders = {name: make(training, dataset) for name, make in CONTENDERS.items()}
    windows = dataset.starts["test"] if len(dataset.starts["test"]) else dataset.starts["train"]
    done, total = 0, 4 * config.samples

    def sampled() -> None:
        nonlocal done
        done += 1
        report("throughput", done, total)

    report("throughput", 0, total)
    train_speed, forecast_speed = throughput(contenders, batches, windows, FORECAST_BATCH, config.samples, sampled)

    epochs, forecasts = {}, {}
    epochs["JAX"] = _train_jax(training, dataset, directory, report)
    epochs["PyTorch"], torch = _train_torch(training, dataset, directory, report)
    scores = {}
    if len(dataset.starts["test"]):
        forecasts["JAX"] = open_run(directory).forecast(dataset.inputs, dataset.starts["test"])
        forecasts["PyTorch"] = torch.forecast(dataset.starts["test"])
        forecasts |= baseline_forecasts(dataset, "test")
        truth, scaler = truth_of(dataset, "test"), dataset.scaler.pick(dataset.target)
        scores = {name: score(forecast, truth, scaler) for name, forecast in forecasts.items()}

    steps_per_epoch = epoch_batches(dataset.starts["train"], training, 0)[..., 0].size
    payback = payback_epochs(train_speed, steps_per_epoch)
    comparison = Comparison(checks, train_speed, forecast_speed, payback, epochs, forecasts, scores)
    _record(config, comparison, directory)
    return comparison


def _steps(config: TrainConfig, dataset: Dataset, steps: int) -> np.ndarray:
    """The first `steps` batches of training, (steps, B)."""
    rows: list[np.ndarray] = []
    epoch = 0
    while len(rows) < steps:
        batches = epoch_batches(dataset.starts["train"], config, epoch)
        rows += list(batches.reshape(-1, batches.shape[-1]))
        epoch += 1
    return np.stack(rows[:steps])


def _agreement(config: TrainConfig, dataset: Dataset, batches: np.ndarray, report: Report) -> list[Check]:
    done = 0

    def stage_done() -> None:
        nonlocal done
        done += 1
        report("agreement", done, 4)

    report("agreement", 0, 4)
    jax, torch = (make(config, dataset) for make in CONTENDERS.values())
    return agreement(jax, torch, batches, stage_done)


def _train_jax(config: TrainConfig, dataset: Dataset, directory: Path, report: Report) -> list[Epoch]:
    epochs: list[Epoch] = []

    def progress(progress: Progress) -> None:
        report("training, JAX", progress.position.step, config.epochs * progress.steps_per_epoch)
        if progress.epoch_ended:
            epochs.append(Epoch(progress.train_loss, progress.val_loss))

    fit(config, dataset, directory, report=progress)
    return epochs


def _train_torch(config: TrainConfig, dataset: Dataset, directory: Path, report: Report) -> tuple[list[Epoch], InTorch]:
    """The epochs, and the model with the weights of the best validation loss, as `fit` keeps."""
    torch, truth = InTorch(config, dataset), truth_of(dataset, "val")
    log = MetricsLog(directory / METRICS_TORCH)
    epochs: list[Epoch] = []
    step, best_loss, best = 0, np.inf, torch.weights()
    for epoch in range(config.epochs):
        batches = epoch_batches(dataset.starts["train"], config, epoch)
        losses = []
        for starts in batches:
            losses.append(torch.train(starts))
            step += len(starts)
            log.write([{"step": step, "epoch": epoch + 1, "loss": float(losses[-1].mean(dtype=np.float64))}])
            report("training, PyTorch", step, config.epochs * batches[..., 0].size)
        val = float(np.mean((torch.forecast(dataset.starts["val"]) - truth) ** 2.0)) if len(truth) else None
        epochs.append(Epoch(float(np.concatenate(losses).mean(dtype=np.float64)), val))
        log.write([{"step": step, "epoch": epoch + 1, "train_loss": epochs[-1].train, "val_loss": val}])
        if val is None or val < best_loss:
            best_loss, best = (np.inf if val is None else val), torch.weights()
    torch.set_weights(best)
    return epochs, torch


def _record(config: CompareConfig, comparison: Comparison, directory: Path) -> None:
    record: dict[str, Any] = {"config": to_dict(config), "environment": environment(), "agreed": comparison.agreed}
    # A difference that is infinite has no number in JSON.
    record["agreement"] = [
        {
            name: value if not isinstance(value, float) or np.isfinite(value) else None
            for name, value in asdict(check).items()
        }
        | {"passed": check.passed}
        for check in comparison.checks
    ]
    for name, speed in (("training", comparison.training), ("inference", comparison.inference)):
        if speed is not None:
            record[name] = asdict(speed) | {"jax_speed_relative_to_pytorch": speed.ratio}
    record["payback_epochs"] = comparison.payback
    record["epochs"] = {name: [asdict(epoch) for epoch in epochs] for name, epochs in comparison.epochs.items()}
    record["test_scores"] = comparison.scores
    write_json(directory / "compare.json", record)
