"""Intervals cover what they claim, with the errors known at the time, and the verdict says what the scores say."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace as Some
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from small_run import call, noisy_sine, write

from jax_lstm.checks import InputError
from jax_lstm.cli import show
from jax_lstm.data import DataConfig, load_dataset
from jax_lstm.tasks import finish, load_task, open_run
from jax_lstm.tasks.ahead import as_frame, forecast_ahead
from jax_lstm.tasks.calibration import interval_scores, table
from jax_lstm.tasks.evaluation import Evaluation, evaluate
from jax_lstm.tasks.intervals import (
    Coverage,
    bands,
    coverage,
    errors_of,
    least_windows,
    margins_of,
    recent_margins,
    suffix,
)
from jax_lstm.tasks.scores import pinball_of
from jax_lstm.tasks.verdict import training_warnings, verdict
from jax_lstm.train import ModelConfig, OptimConfig, TrainConfig, fit
from jax_lstm.train.task import Scores


def test_margins_cover_their_share_of_exchangeable_errors() -> None:
    rng = np.random.default_rng(0)
    shares = []
    for _ in range(300):
        errors = np.abs(rng.standard_normal((40, 1)))
        shares.append(float(np.mean(errors[20:] <= margins_of(errors[:20], 0.8))))
    assert np.mean(shares) == pytest.approx(0.8 + 0.2 / 21 * 0.8, abs=0.02)  # 17 of 21: at least 0.8
    few = np.array([[1.0], [5.0]])
    assert margins_of(few, 0.9) == 5, "too few for the level: the largest"


def test_around_quantiles_the_margin_may_be_negative() -> None:
    """Conformalised quantile regression narrows quantiles that are too wide."""
    truth, levels = np.linspace(-1, 1, 101)[:, None], (0.05, 0.5, 0.95)
    forecasts = np.tile([-3.0, 0.0, 3.0], (101, 1))
    margins = margins_of(errors_of(forecasts, truth, levels, 0.9), 0.9)
    assert margins[0] == pytest.approx(-2.08, abs=0.03)
    found = bands(forecasts, 1, levels, 0.9, margins)
    assert list(found) == [0.05, 0.95]
    assert np.mean((truth >= found[0.05]) & (truth <= found[0.95])) == pytest.approx(0.9, abs=0.02)
    uncalibrated = bands(forecasts, 1, levels)
    assert {level: float(each[0, 0]) for level, each in uncalibrated.items()} == {0.05: -3, 0.95: 3}


def test_recent_margins_use_only_what_is_known() -> None:
    errors, known = np.array([[1.0], [2.0], [3.0], [100.0]]), np.array([1, 2, 3, 9])
    found = recent_margins(errors, known, np.array([3, 4, 8, 9]), 0.9, recent=2, step=1)
    assert found[:, 0].tolist() == [3, 3, 3, 100]
    assert recent_margins(errors, known, np.array([1, 9]), 0.9, recent=2, step=2)[:, 0].tolist() == [1, 1]


def test_coverage_and_the_interval_score() -> None:
    truth = np.array([[0.0], [2.0], [-3.0], [0.5]])
    low, high = np.full((4, 1), -1.0), np.full((4, 1), 1.0)
    found = coverage(low, high, truth, 0.9, block=2)
    assert (found.share, found.width) == (0.5, 2)
    assert found.score == pytest.approx(2 + 20 * (1 + 2) / 4)
    assert np.isnan([found.low, found.high]).all(), "two blocks are too few for a bootstrap"
    low, high, truth = (np.tile(each, (4, 1)) for each in (low, high, truth))
    found = coverage(low, high, truth, 0.9, block=2)
    assert 0 <= found.low < found.share < found.high <= 1


def test_coverage_below_the_level_is_warned_of(capsys: pytest.CaptureFixture[str]) -> None:
    run: Any = Some(config=Some(levels=(), data=Some(interval=0.9)))
    scores = {"y": Coverage(0.741, 0.7, 0.8, 1, 1), "z": Coverage(0.88, 0.8, 0.91, 1, 1)}
    shown = table(run, scores | {"w": Coverage(0.741, np.nan, np.nan, 1, 1)}, "test")
    assert shown is not None
    assert shown.columns[1] == "covers (90 % bootstrap interval)"
    assert [row[1] for row in shown.rows] == [
        "74.1% (70.0% to 80.0%)", "88.0% (80.0% to 91.0%)", "74.1% (too few windows)"
    ]  # fmt: skip
    assert shown.warnings == ["the interval of y covers 74.1 % of the test part, not 90 %"]
    show.further(Console(width=200), shown)
    assert f"warning: {shown.warnings[0]}" in capsys.readouterr().out


def test_the_fewest_windows_that_reach_a_level() -> None:
    for interval in (0.5, 0.8, 0.9, 0.95, 0.99):
        least = least_windows(interval)
        errors = np.arange(least + 1.0)[:, None]
        assert np.ceil(round(least * interval, 9)) > least - 1, "one fewer is too few"
        assert np.ceil(round((least + 1) * interval, 9)) <= least
        assert margins_of(errors[:least], interval) == least - 1


@pytest.mark.parametrize(
    ("interval", "split", "windows", "expected"),
    [
        (0.9, "86,28,30", "3", "a level of 90 % needs at least 9"),
        (0.8, "86,28,30", "3", "a level of 80 % needs at least 4"),
        (0.5, "86,28,30", "3", "with fewer than 50 the coverage may be far from 50 %"),
        (0.9, "40,40,60", "9", "with fewer than 50 the coverage may be far from 90 %"),
        (0.9, "20,122,0", "", ""),
        (0.0, "86,28,30", "", ""),
    ],
)
def test_few_windows_for_calibration(interval: float, split: str, windows: str, expected: str, tmp_path: Path) -> None:
    csv = write(tmp_path / "sine.csv", noisy_sine(144), time=False)
    data = DataConfig(csv=csv, target=("y",), window=6, horizon=12, season=6, interval=interval, split=split)
    found = [one for one in load_task(TrainConfig(data=data)).warnings if "calibrate" in one]
    first = f"only {windows} windows calibrate the first intervals of the test part, and {expected}: give a larger"
    assert [one.partition(" validation")[0] for one in found] == ([first] if expected else [])


def test_names_of_columns() -> None:
    assert [suffix(level) for level in (0.05, 0.95, 0.1, 0.975)] == ["_05", "_95", "_10", "_975"]


def test_pinball() -> None:
    truth = np.array([[1.0], [4.0]])
    assert pinball_of(truth - 1, truth, (0.5,)) == 1, "of the median: the mean absolute error"
    assert pinball_of(np.array([[0.0], [5.0]]), truth, (0.9,)) == pytest.approx(0.9 + 0.1)


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write(tmp_path_factory.mktemp("series") / "sine.csv", noisy_sine(500), time=False)


def trained(path: Path, series: str, data: dict[str, Any], **options: Any) -> tuple[Any, Any]:
    given = {"csv": series, "target": ("y",), "window": 12, "horizon": 3, "season": 12} | data
    common: dict[str, Any] = {"optim": OptimConfig(learning_rate=3e-3), "model": ModelConfig(8)}
    task = load_task(TrainConfig(data=DataConfig(**given), **common, **options))
    fit(task, path)
    return finish(path, task), task


@pytest.mark.parametrize(
    ("split", "horizon", "proposed"),
    [
        ("0.7,0.1,0.2", 12, "0.6,0.2,0.2"),
        ("0.7,0.1,0.1", 12, "0.6,0.2,0.1"),
        ("100,14,30", 12, "90,24,30"),
        ("0.7,0.1,0.2", 50, ""),
    ],
)
def test_a_validation_part_too_small_to_halve(split: str, horizon: int, proposed: str, tmp_path: Path) -> None:
    """The split that the error proposes works."""
    csv = write(tmp_path / "sine.csv", noisy_sine(144), time=False)
    config = DataConfig(csv=csv, target=("y",), window=12, horizon=horizon, season=12, interval=0.9, split=split)
    with pytest.raises(InputError) as caught:
        load_dataset(config)
    cause = f"calibration, which leaves 7 of its 14 rows, and the horizon is {horizon}: "
    fix = f"give a larger validation part, as --split {proposed}, or leave out `--interval`"
    if not proposed:
        fix = "the validation part needs 100 rows, beside window + horizon = 62 rows of training; give more rows, or a"
    assert f"too few rows: `--interval` keeps half of the validation part for {cause}{fix}" in str(caught.value)
    if proposed:
        starts = load_dataset(replace(config, split=proposed)).starts
        assert len(starts["val"])
        assert len(starts["calibration"])


@pytest.mark.slow
def test_an_interval_from_training_to_forecast(series: str, tmp_path: Path) -> None:
    """It covers about its share of windows that were not used for it."""
    run, task = trained(tmp_path / "run", series, {"interval": 0.8}, epochs=2)
    starts = task.dataset.starts
    assert set(starts) == {"train", "val", "calibration", "test"}
    assert starts["val"][-1] + 3 <= starts["calibration"][0], "no target is in both"
    found = evaluate(run, task, "test")
    (of,) = interval_scores(run, task, found.predictions, "test").values()
    assert of.low <= 0.8 <= of.high
    assert any("only 23 windows calibrate" in one for one in task.warnings)
    assert found.further is not None
    assert "calibrated interval of 80%" in found.further.title
    ahead = forecast_ahead(run, run.data_config())
    frame = as_frame(ahead)
    assert list(frame.columns) == ["row", "y", "y_10", "y_90"]
    np.testing.assert_allclose(frame["y_90"] - frame["y"], frame["y"] - frame["y_10"], rtol=1e-5)
    np.testing.assert_allclose(frame["y_90"] - frame["y"], run.margins * run.scaler.pick(("y",)).scale, rtol=1e-5)


@pytest.mark.slow
def test_quantiles_from_training_to_forecast(series: str, tmp_path: Path) -> None:
    run, task = trained(tmp_path / "run", series, {}, epochs=6, quantiles="0.05,0.5,0.95")
    found = evaluate(run, task, "test")
    each = found.predictions.reshape(len(found.predictions), 3, 3)
    assert (np.diff(each, axis=-1) >= 0).all(), "quantiles never cross"
    assert task.metric == "pinball"
    assert found.scores["LSTM"]["pinball"] < found.scores["ridge"]["pinball"], "a point stands for all quantiles"
    (of,) = interval_scores(run, task, found.predictions, "test").values()
    assert 0.8 < of.share < 0.98
    assert list(as_frame(forecast_ahead(run, run.data_config())).columns) == ["row", "y", "y_05", "y_95"]


@pytest.mark.slow
def test_the_verdict(series: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--csv", series, "--target", "y", "--window", 12, "--horizon", 3, "--hidden-size", 4)
    assert call("train", *options, "--epochs", 1, "--learning-rate", 1e-9, "--out", tmp_path / "run") == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "verdict: equal to ridge, the best baseline" in said
    assert "so the forecast is that of ridge regression alone; with 98 test windows this says little" in said
    assert "only 16 updates in all: try a smaller --batch-size or more --epochs" in said
    run = open_run(tmp_path / "run")
    task = load_task(run.config, run.about)

    def judged(own: float, ridge: float, part: str = "train") -> str:
        scores: dict[str, Scores] = {"LSTM": {"mse": own}, "ridge": {"mse": ridge}, "persistence": {"mse": 3.0}}
        nothing = np.zeros(0)
        return str(verdict(task, Evaluation(scores, nothing, nothing, [""], ["ridge", "persistence"], None), part))

    assert judged(1.0, 2.0) == "better than ridge, the best baseline, by 50.0 % (MSE standardised 1 against 2)"
    assert judged(0.996, 1.0) == (
        "about as good as ridge, the best baseline: 0.4 % better (MSE standardised 0.996 against 1)"
    )
    assert judged(1.0, 0.9998).startswith("about as good as ridge, the best baseline: 0.02 % worse (MSE")
    assert judged(0.98, 1.0).startswith("better than ridge, the best baseline, by 2.0 % (MSE")
    assert judged(1.0, 2.0, "val").endswith(
        "(MSE standardised 1 against 2); with 48 validation windows this says little"
    )
    assert judged(1.0, 0.0) == "worse than ridge, which has no error at all (MSE standardised 1 against 0)"
    assert judged(0.0, 0.0).startswith("equal to ridge, the best baseline (MSE standardised 0 against 0)")
    assert judged(2.0, 1.0).startswith("worse than ridge, the best baseline, by 100.0 % (MSE standardised 2 against 1)")


@pytest.mark.parametrize(
    ("losses", "val", "expected"),
    [
        ([1.0, 2.5], [1.0, 1.2], ["the training loss rose from 1 to 2.5: try a lower --learning-rate"]),
        ([1.0, 0.8, 0.5], [1.0, 0.9, 0.5], ["the validation loss was still falling in the last epoch: try --epochs 6"]),
        ([1.0, 0.9, 0.9], [5.0, 4.0, 4.0], ["no epoch beat persistence on the validation part (4 against 3)"]),
        ([9e9, 9e9, 9e9], [1.0, 1.0, 1.0], ["the training loss is 9e+09, and on the validation part"]),
        ([9e9, 9e9, 9e9], [1.0, 1.0, 1.2], []),
        ([1.0, 0.9, 0.9], [1.0, 0.9, 0.9], []),
    ],
)
def test_warnings_of_training(losses: list[float], val: list[float], expected: list[str], tmp_path: Path) -> None:
    both = enumerate(zip(losses, val, strict=True))
    rows = [{"step": 100 * at + 100, "train_loss": a, "val_loss": b} for at, (a, b) in both]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    best = {"": Some(best_loss=min(val))}
    run: Any = Some(names=[""], directory=tmp_path, config=Some(epochs=len(losses)), statuses=best)
    task: Any = Some(metric="mse", criterion="mse")
    found = training_warnings(run, task, {"persistence": {"mse": 3.0}, "ridge": {"mse": 1.0}})
    assert [one.partition(": the last value")[0].partition(" what the LSTM")[0] for one in found] == expected
