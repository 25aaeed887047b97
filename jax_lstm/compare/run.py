"""The comparison: agreement, throughput, a training run in each framework, scores, and the record."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jax_lstm.compare.agreement import Check, agreement
from jax_lstm.compare.config import CompareConfig
from jax_lstm.compare.contenders import CONTENDERS, InTorch
from jax_lstm.compare.throughput import Throughput, payback_epochs, throughput
from jax_lstm.environment import environment
from jax_lstm.files import write_json
from jax_lstm.tasks import finish
from jax_lstm.tasks.evaluation import evaluate, part_of
from jax_lstm.train import Progress, TrainConfig, fit
from jax_lstm.train.config import to_dict
from jax_lstm.train.directory import write_config
from jax_lstm.train.metrics import MetricsLog
from jax_lstm.train.position import Position, after_epoch, before_first
from jax_lstm.train.task import Scores, Task
from jax_lstm.weights.state_dicts import load_state_dict, state_dict

TIMED_BATCHES = 10  # in one sample
METRICS_TORCH = "metrics.torch.jsonl"
Report = Callable[[str, int, int], None]  # (stage, done, total)


@dataclass(frozen=True)
class Epoch:
    """Mean losses of one epoch; `val` is None without a validation part."""

    train: float
    val: float | None


@dataclass(frozen=True)
class Comparison:
    """The results. If `agreed` is false nothing was timed or trained, and all but `checks` is empty.

    `scores` and `predictions` are on `part`: test, or validation if there is no test part.
    """

    checks: list[Check]
    training: Throughput | None
    inference: Throughput | None
    payback: float | None
    epochs: dict[str, list[Epoch]]
    part: str
    predictions: dict[str, np.ndarray]
    scores: dict[str, Scores]

    @property
    def agreed(self) -> bool:
        return all(check.passed for check in self.checks)


def compare(
    config: CompareConfig, task: Task, directory: Path, report: Report = lambda stage, done, total: None
) -> Comparison:
    """Compare on `task`, whose config is `config.train` with defaults chosen; everything is written to `directory`.

    Raises:
        MissingExtraError: PyTorch is not installed.
        DivergedError: a loss became NaN or infinite.
    """
    training = task.config
    config = replace(config, train=training)
    directory.mkdir(parents=True, exist_ok=True)
    batches = _steps(training, task, config.agreement_steps)
    checks = _agreement(training, task, batches, report)
    if not all(check.passed for check in checks):
        comparison = Comparison(checks, None, None, None, {}, "", {}, {})
        write_config(directory, config)
        _record(config, task, comparison, directory)
        return comparison

    contenders = {name: make(training, task) for name, make in CONTENDERS.items()}
    done, total = 0, 4 * config.samples

    def sampled() -> None:
        nonlocal done
        done += 1
        report("throughput", done, total)

    report("throughput", 0, total)
    timed = batches[:TIMED_BATCHES]
    train_speed, infer_speed = throughput(contenders, timed, task.per_row, config.samples, sampled)

    epochs, predictions, scores = {}, {}, {}
    epochs["JAX"] = _train_jax(training, task, directory, report)
    write_config(directory, config)  # in place of that of the JAX run, which it contains
    epochs["PyTorch"], torch = train_torch(training, task, directory, report)
    part = part_of(task)
    if part:
        found = evaluate(finish(directory, task), task, part)
        predictions = {"JAX": found.predictions, "PyTorch": _predict(training, task, part)(torch)}
        scores = {name: task.score(values, part) for name, values in predictions.items()} | task.baselines(part)

    steps_per_epoch = task.shape[0] * task.shape[1]
    payback = payback_epochs(train_speed, steps_per_epoch)
    comparison = Comparison(checks, train_speed, infer_speed, payback, epochs, part, predictions, scores)
    _record(config, task, comparison, directory)
    return comparison


def _steps(config: TrainConfig, task: Task, steps: int) -> np.ndarray:
    """The first `steps` batches of training, (steps, B)."""
    rows: list[np.ndarray] = []
    epoch = 0
    while len(rows) < steps:
        for batches in task.batches(config, epoch):
            rows += list(batches)
        epoch += 1
    return np.stack(rows[:steps])


def _agreement(config: TrainConfig, task: Task, batches: np.ndarray, report: Report) -> list[Check]:
    done = 0

    def stage_done() -> None:
        nonlocal done
        done += 1
        report("agreement", done, 4)

    report("agreement", 0, 4)
    jax, torch = (make(config, task) for make in CONTENDERS.values())
    return agreement(jax, torch, batches, stage_done)


def _train_jax(config: TrainConfig, task: Task, directory: Path, report: Report) -> list[Epoch]:
    epochs: list[Epoch] = []

    def progress(progress: Progress) -> None:
        report("training, JAX", progress.position.step, config.epochs * progress.steps_per_epoch)
        if progress.epoch_ended:
            epochs.append(Epoch(progress.train_loss, progress.val_loss))

    fit(task, directory, report=progress)
    return epochs


def train_torch(config: TrainConfig, task: Task, directory: Path, report: Report) -> tuple[list[Epoch], InTorch]:
    """The epochs, and the model with the weights of the best validation loss."""
    torch = InTorch(config, task)
    model: Any = task.build(config)
    validation = task.make_validate(model) if task.size("val") else None
    arrays = jax.tree.map(jnp.asarray, task.arrays)
    log = MetricsLog(directory / METRICS_TORCH)
    epochs: list[Epoch] = []
    position, step, best = Position(), 0, torch.weights()

    def keep(params: Any) -> dict[str, Any]:
        nnx.update(model, params)
        return state_dict(model)

    def validate() -> tuple[Any, Scores]:
        """The weights to keep and their scores, by the library's model, whose outputs were shown to agree."""
        load_state_dict(model, torch.weights())
        params = nnx.state(model, nnx.Param)
        return validation(params, arrays) if validation else (params, {})

    if task.margin is not None and validation:
        kept, scores = validate()
        position, best = before_first(position, [scores[task.criterion]], task.margin), keep(kept)
    for epoch in range(config.epochs):
        losses = []
        torch.begin_epoch()
        for rows in task.batches(config, epoch):
            losses.append(torch.train(rows))
            step += len(rows)
            log.write([{"step": step, "epoch": epoch + 1, "loss": float(losses[-1].mean(dtype=np.float64))}])
            report("training, PyTorch", step, config.epochs * task.shape[0] * task.shape[1])
        kept, scores = validate()
        epochs.append(Epoch(float(np.concatenate(losses).mean(dtype=np.float64)), scores.get(task.metric)))
        log.write([{"step": step, "epoch": epoch + 1, "train_loss": epochs[-1].train, "val_loss": epochs[-1].val}])
        position, (better,) = after_epoch(position, [scores.get(task.criterion)], config, ["PyTorch"], [None], "")
        if better:
            best = keep(kept)
    torch.set_weights(best)
    return epochs, torch


def _predict(config: TrainConfig, task: Task, part: str) -> Callable[[InTorch], np.ndarray]:
    """Predict with PyTorch's weights, in the library's model, whose outputs were shown to agree."""
    model: Any = task.build(config)
    predict, arrays = task.make_predict(model, part), jax.tree.map(jnp.asarray, task.arrays)

    def of(torch: InTorch) -> np.ndarray:
        load_state_dict(model, torch.weights())
        return predict(nnx.state(model, nnx.Param), arrays)

    return of


def _record(config: CompareConfig, task: Task, comparison: Comparison, directory: Path) -> None:
    record: dict[str, Any] = {"config": to_dict(config), "environment": environment(), "agreed": comparison.agreed}
    # JSON has no infinite numbers.
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
            record[name] = asdict(speed) | {"unit": task.unit} | {"jax_speed_relative_to_pytorch": speed.ratio}
    record["payback_epochs"] = comparison.payback
    record["epochs"] = {name: [asdict(epoch) for epoch in epochs] for name, epochs in comparison.epochs.items()}
    record["part"], record["scores"] = comparison.part, comparison.scores
    write_json(directory / "compare.json", record)
