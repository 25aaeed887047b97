"""The loop: losses fall, the best weights are kept, it stops early, it stops on NaN, it is interrupted."""

import json
import math
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jax_lstm import InputError
from jax_lstm.data import DataConfig, load_dataset
from jax_lstm.tasks import open_run
from jax_lstm.tasks.forecast import Forecasting
from jax_lstm.tasks.scores import truth_of
from jax_lstm.train import (
    DivergedError,
    InterruptedRunError,
    ModelConfig,
    OptimConfig,
    Progress,
    TrainConfig,
    fit,
    trainer,
)
from jax_lstm.train.directory import saved_config


def config_for(data: DataConfig, **options: Any) -> TrainConfig:
    common: dict[str, Any] = {"model": ModelConfig(4, network="tutorial"), "batch_size": 16, "epochs": 4}
    return TrainConfig(data=data, **{**common, "optim": OptimConfig(learning_rate=0.02), **options})


def rows_of(directory: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]


def test_it_learns_and_keeps_the_best_weights(data: DataConfig, tmp_path: Path) -> None:
    dataset, reports = load_dataset(data), list[Progress]()
    result = fit(Forecasting(config_for(data, epochs=8), dataset), tmp_path, report=reports.append)
    ends = [report for report in reports if report.epoch_ended]
    losses = [end.val_loss for end in ends if end.val_loss is not None]
    assert len(losses) == 8
    assert min(losses) < losses[0] / 2
    assert result.position.best_loss == min(losses)
    got = open_run(tmp_path).forecast(dataset.inputs, dataset.starts["val"])
    assert np.mean((got - truth_of(dataset, "val")) ** 2.0) == pytest.approx(min(losses), rel=1e-5)
    assert all(np.isfinite(row["loss"]) for row in rows_of(tmp_path) if "loss" in row)
    assert [row["val_loss"] for row in rows_of(tmp_path) if "val_loss" in row] == losses


def test_a_forecaster_starts_at_ridge_regression_and_keeps_it_unless_an_epoch_is_better(
    data: DataConfig, tmp_path: Path
) -> None:
    dataset = load_dataset(data)
    ridge = float(np.mean(np.abs(dataset.ridge.forecast(dataset, dataset.starts["val"]) - truth_of(dataset, "val"))))
    best = {}
    for rate, epochs in ((1e-9, 1), (3e-3, 30)):
        config = config_for(data, model=ModelConfig(4), epochs=epochs, optim=OptimConfig(learning_rate=rate))
        found = fit(Forecasting(config, dataset), tmp_path / str(rate)).position
        best[rate], margin = found.best_loss, Forecasting(config, dataset).margin
    assert margin is not None
    assert best[1e-9] == pytest.approx(ridge * (1 - margin), rel=1e-4), "no epoch was better by the margin"
    assert best[3e-3] is not None
    assert best[3e-3] < ridge


def test_a_run_that_chose_its_epoch_by_another_error_is_not_resumed(
    data: DataConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = Forecasting(config_for(data, model=ModelConfig(4), epochs=1), load_dataset(data))
    monkeypatch.setattr(trainer, "FORMAT", 3)
    fit(task, tmp_path)
    with pytest.raises(InputError, match="train it anew"):
        fit(task, tmp_path, resume=True)


@pytest.mark.parametrize(("shift", "share"), [(1.0, 1.0), (2.0, 0.5), (-1.0, 0.0)])
def test_the_lstm_has_the_share_that_the_validation_part_supports(data: DataConfig, shift: float, share: float) -> None:
    """An LSTM that adds the median error is right, one that adds twice as much half of that, and the wrong way none."""
    task = Forecasting(config_for(data, model=ModelConfig(4)), load_dataset(data))
    model: Any = task.build(task.config)
    arrays = jax.tree.map(jnp.asarray, task.arrays)
    predict, truth = task.make_predict(model, "val"), truth_of(task.dataset, "val")
    params: Any = nnx.state(model, nnx.Param)
    linear = predict(params, arrays)
    params["bypass"]["bias"][...] -= 0.2  # so that there is something to add
    validate: Any = task.make_validate(model)
    added = float(np.median(truth - linear)) + 0.2
    params["fc"]["bias"][...] += shift * added
    kept, scores = validate(params, arrays)
    np.testing.assert_allclose(kept["fc"]["bias"][...], share * shift * added, rtol=0.11, atol=1e-6)
    assert scores["mae"] == task.score(predict(kept, arrays), "val")["mae"]
    assert scores["mae"] <= task.score(predict(params, arrays), "val")["mae"]


def test_an_average_is_weighted_by_the_validation_part(data: DataConfig) -> None:
    """The LSTM trains without the bypass, and is kept beside as much of ridge regression as is best."""
    task = Forecasting(config_for(data, model=ModelConfig(4, bypass="average")), load_dataset(data))
    # So that the LSTM has something to add.
    object.__setattr__(task, "ridge", replace(task.ridge, bias=task.ridge.bias + 0.5))
    model: Any = task.build(task.config)
    arrays, starts = jax.tree.map(jnp.asarray, task.arrays), task.dataset.starts["val"]
    predict, validate = task.make_predict(model, "val"), task.make_validate(model)
    ridge, truth = task.ridge.forecast(task.dataset, starts), truth_of(task.dataset, "val")
    params: Any = nnx.state(model, nnx.Param)
    assert not np.any(params["bypass"]["weight"][...])
    params["fc"]["bias"][...] += float(np.median(truth - predict(params, arrays)))
    alone = predict(params, arrays)
    kept, scores = validate(params, arrays)
    share = float(kept["fc"]["bias"][0] / params["fc"]["bias"][0])
    together = share * alone + (1 - share) * ridge
    assert 0 < share < 1
    np.testing.assert_allclose(predict(kept, arrays), together, atol=1e-5)
    errors = [float(np.abs(found - truth).mean()) for found in (together, ridge, alone)]
    assert scores["mae"] == pytest.approx(errors[0], rel=1e-4)
    assert errors[0] < min(errors[1:])


def test_an_average_starts_at_ridge_regression_and_needs_a_validation_part(data: DataConfig, tmp_path: Path) -> None:
    model, optim = ModelConfig(4, bypass="average"), OptimConfig(learning_rate=1e-60)
    task = Forecasting(replace(config_for(data, model=model, epochs=1), optim=optim), load_dataset(data))
    # So that the last value is no worse.
    object.__setattr__(task, "ridge", replace(task.ridge, bias=task.ridge.bias + 0.5))
    fit(task, tmp_path)
    starts = task.dataset.starts["test"]
    got = open_run(tmp_path).forecast(task.dataset.inputs, starts)
    np.testing.assert_allclose(got, task.ridge.forecast(task.dataset, starts), atol=1e-5)
    unsplit = replace(data, split=".9,0,.1")
    with pytest.raises(InputError, match="`--bypass` must be ridge or none without a validation part; got average"):
        fit(Forecasting(config_for(unsplit, model=model), load_dataset(unsplit)), tmp_path / "without")


def test_the_normalisation_is_chosen_by_ridge_regression(tmp_path: Path) -> None:
    """Where growth and noise are in proportion to the level, windows are alike after scaling."""
    at, noise = np.arange(300), np.random.default_rng(1).normal(0, 0.5, 300)
    series = {"last": np.cumsum(noise), "mean": np.exp(at / 40) * (2 + np.sin(at * np.pi / 6) + noise)}
    for expected, values in series.items():
        path = tmp_path / f"{expected}.csv"
        path.write_text("a\n" + "".join(f"{value}\n" for value in values))
        data = DataConfig(csv=str(path), target=("a",), window=12, horizon=4, season=12)
        task = Forecasting(TrainConfig(data=data), load_dataset(data))
        assert task.config.model.normalise == task.ridge.normalise == expected
        assert (
            Forecasting(TrainConfig(data=data, model=ModelConfig(normalise="none")), load_dataset(data)).ridge.normalise
            == "none"
        )


def test_no_optimiser_changes_the_bypass(data: DataConfig, tmp_path: Path) -> None:
    """Not by weight decay either, which needs no gradient."""
    optim = OptimConfig("adamw", 0.01, ("weight_decay=0.5",))
    config = config_for(data, model=ModelConfig(4), epochs=1, optim=optim)
    task = Forecasting(config, load_dataset(data))
    trainer.Trainer(task, tmp_path).fit()
    latest = trainer.restore_arrays(tmp_path / "checkpoints", open_run(tmp_path).step, _like(task)).state.params
    np.testing.assert_array_equal(latest["bypass"]["weight"][...], task.ridge.weight.astype(np.float32))
    assert np.any(latest["fc"]["weight"][...]), "the rest was trained"


def _like(task: Forecasting) -> trainer.Checkpointed:
    runner = trainer.make_runner(task, [task.config], 1)
    return trainer.Checkpointed(runner.state, runner.state.params)


@pytest.mark.slow
def test_it_stops_early_with_the_best_weights(data: DataConfig, tmp_path: Path) -> None:
    """At a learning rate that throws the weights about."""
    losses = list[float]()
    config = config_for(data, epochs=50, patience=2, optim=OptimConfig(learning_rate=0.5))
    task = Forecasting(config, load_dataset(data))
    result = fit(task, tmp_path, report=lambda p: losses.append(p.val_loss) if p.val_loss is not None else None)
    assert result.stopped_early
    assert result.position.epoch == len(losses) < 50
    assert result.position.best_loss == min(losses)
    assert result.position.members[0].stale_epochs == 2 == len(losses) - 1 - np.argmin(losses)


def test_a_loss_that_is_no_number_stops_the_run(data: DataConfig, tmp_path: Path) -> None:
    dataset = load_dataset(data)
    dataset.inputs[dataset.starts["train"][-1] + 1] = np.nan  # behind the reader's back
    with pytest.raises(DivergedError, match=r"the loss became nan at step \d+, epoch 1; the last finite loss was"):
        fit(Forecasting(config_for(data), dataset), tmp_path)
    assert all(math.isfinite(row["loss"]) for row in rows_of(tmp_path))


@pytest.mark.slow
def test_an_infinite_learning_rate_diverges(data: DataConfig, tmp_path: Path) -> None:
    config = config_for(data, optim=OptimConfig(optimizer="sgd", learning_rate=1e30))
    with pytest.raises(DivergedError, match="lower --learning-rate"):
        fit(Forecasting(config, load_dataset(data)), tmp_path)


@pytest.mark.slow
def test_ctrl_c_saves_and_the_run_goes_on(data: DataConfig, tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGINT)  # a process in the background may be told to ignore it
    config, dataset = config_for(data, chunk_steps=4), load_dataset(data)
    whole = fit(Forecasting(config, dataset), tmp_path / "whole")

    def interrupt(progress: Progress) -> None:
        if progress.position.epoch == 1 and progress.position.call == 1:
            os.kill(os.getpid(), signal.SIGINT)

    (tmp_path / "parts").mkdir()
    with pytest.raises(InterruptedRunError, match="in epoch 2; saved"):
        fit(Forecasting(config, dataset), tmp_path / "parts", report=interrupt)
    assert signal.getsignal(signal.SIGINT) is before
    resumed = fit(Forecasting(config, dataset), tmp_path / "parts", resume=True)
    assert resumed.position == whole.position
    for got, expected in zip(jax.tree.leaves(resumed.params), jax.tree.leaves(whole.params), strict=True):
        np.testing.assert_array_equal(got, expected)
    rows = [[{**row, "seconds": 0} for row in rows_of(tmp_path / name)] for name in ("whole", "parts")]
    assert rows[0] == rows[1]


@pytest.mark.slow
def test_ctrl_c_in_the_last_call_of_an_epoch(data: DataConfig, tmp_path: Path) -> None:
    """The epoch is ended first, so that no step is saved twice."""
    config, dataset = config_for(data, save_every=4), load_dataset(data)

    def interrupt(progress: Progress) -> None:
        if progress.position.epoch == 1 and progress.steps:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(InterruptedRunError, match="in epoch 3; saved"):
        fit(Forecasting(config, dataset), tmp_path, report=interrupt)
    assert fit(Forecasting(config, dataset), tmp_path, resume=True).position.epoch == 4


@pytest.mark.parametrize(
    ("every", "seconds", "expected"), [(0, 0.0, [1, 2, 3, 4]), (0, 1e9, [4]), (2, 0.0, [2, 4]), (3, 1e9, [3, 4])]
)
def test_checkpoints_by_age_or_by_epochs(
    data: DataConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, every: int, seconds: float, expected: list[int]
) -> None:
    """And always at the end."""
    saved = []
    monkeypatch.setattr(trainer, "save_checkpoint", lambda path, step, tree, about: saved.append(about["position"]))
    monkeypatch.setattr(trainer, "SAVE_SECONDS", seconds)
    fit(Forecasting(config_for(data, save_every=every), load_dataset(data)), tmp_path)
    assert [position["epoch"] for position in saved] == expected


def test_hosts_save_together(data: DataConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As soon as the last checkpoint is old on one of them."""
    saved = []
    monkeypatch.setattr(trainer, "save_checkpoint", lambda *arguments: saved.append(arguments))
    monkeypatch.setattr(trainer.hosts, "largest", lambda value: 1 if value is False else value)
    fit(Forecasting(config_for(data), load_dataset(data)), tmp_path)
    assert len(saved) == 4


@pytest.mark.slow
@pytest.mark.parametrize("seeds", ["", "0:2"])
def test_more_epochs_go_on_where_the_run_ended(data: DataConfig, tmp_path: Path, seeds: str) -> None:
    dataset, config = load_dataset(data), config_for(data, seeds=seeds)
    longer = fit(Forecasting(config, dataset), tmp_path / "longer")
    fit(Forecasting(replace(config, epochs=2), dataset), tmp_path / "grown")
    grown = fit(Forecasting(config, dataset), tmp_path / "grown", resume=True)
    assert grown.position == longer.position
    for got, expected in zip(jax.tree.leaves(grown.params), jax.tree.leaves(longer.params), strict=True):
        np.testing.assert_array_equal(got, expected)


def test_a_run_resumes_only_as_itself(data: DataConfig, tmp_path: Path) -> None:
    config, dataset = config_for(data, epochs=1), load_dataset(data)
    fit(Forecasting(config, dataset), tmp_path)
    assert saved_config(tmp_path) == Forecasting(config, dataset).config
    with pytest.raises(InputError, match="`--resume` must keep --seed of the run, 0; got 1"):
        fit(Forecasting(replace(config, seed=1, epochs=2), dataset), tmp_path, resume=True)
    dataset.scaler.mean[0] += 1
    with pytest.raises(InputError, match="the data is not what the run was trained on"):
        fit(Forecasting(replace(config, epochs=2), dataset), tmp_path, resume=True)


@pytest.mark.slow
def test_without_a_validation_part_the_last_weights_are_the_best(data: DataConfig, tmp_path: Path) -> None:
    config = config_for(replace(data, split="0.8,0.0,0.2"))
    result = fit(Forecasting(config, load_dataset(config.data)), tmp_path)
    assert result.position.best_loss is None
    assert result.position.epoch == 4
    assert rows_of(tmp_path)[-1]["val_loss"] is None
