"""Ridge regression against NumPy's least squares, its choices by validation, and the windows that are tried."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from jax_lstm.data import DataConfig, Dataset, load_dataset
from jax_lstm.data.calendar import DAY, Calendar
from jax_lstm.data.ridge import PENALTIES, fit_ridge, parts_to_choose
from jax_lstm.data.season import find_season, segment_for, windows_to_try
from jax_lstm.tasks.scores import truth_of

WINDOW, HORIZON, ROWS = 6, 3, 400


def load(path: Path, **options: Any) -> Dataset:
    """A noisy season of 5 rows, and a column `z` that tells the target two rows ahead."""
    rng, row = np.random.default_rng(0), np.arange(ROWS)
    z = rng.standard_normal(ROWS + 2)
    y = 3 * np.sin(2 * np.pi * row / 5) + np.cumsum(0.05 * rng.standard_normal(ROWS)) + z[:ROWS]
    file = path / "data.csv"
    lines = [f"{a:.6f},{b:.6f}" for a, b in zip(y, z[2:], strict=True)]
    file.write_text("\n".join(["y,z", *lines]) + "\n")
    given = {"window": WINDOW, "horizon": HORIZON, "season": 5, "split": "0.6,0.2,0.2"} | options
    return load_dataset(DataConfig(str(file), ("y",), **given), np.float64)


def least_squares(dataset: Dataset, part: str, penalty: float, how: str) -> np.ndarray:
    """Forecasts by NumPy from the target's window alone."""

    def pairs(part: str) -> Any:
        whole = np.array([dataset.targets[at : at + WINDOW + HORIZON, 0] for at in dataset.starts[part]])
        x, y = whole[:, :WINDOW], whole[:, WINDOW:]
        centre = {"last": x[:, -1:], "mean": x.mean(1, keepdims=True), "none": 0 * x[:, :1]}[how]
        scale = np.sqrt(x.var(1, keepdims=True) + 1e-5) if how == "mean" else 1 + 0 * x[:, :1]
        return (x - centre) / scale, (y - centre) / scale, centre, scale

    x, y, _, scale = pairs("train")
    weight = scale[:, 0] ** 2
    mean_x, mean_y = weight @ x / weight.sum(), weight @ y / weight.sum()
    gram = (x - mean_x).T @ ((x - mean_x) * weight[:, None]) + penalty * weight.sum() * np.eye(WINDOW)
    found = np.linalg.solve(gram, (x - mean_x).T @ ((y - mean_y) * weight[:, None]))
    x, _, centre, scale = pairs(part)
    return ((x - mean_x) @ found + mean_y) * scale + centre


@pytest.mark.parametrize("how", ["last", "mean", "none"])
def test_it_is_the_least_squares_with_the_best_penalty(how: Any, tmp_path: Path) -> None:
    dataset = load(tmp_path, features=("y",))
    ridge, truth = fit_ridge(dataset, how), truth_of(dataset, "val")
    losses = [float(np.mean((least_squares(dataset, "val", one, how) - truth) ** 2)) for one in PENALTIES]
    assert ridge.penalty == PENALTIES[int(np.argmin(losses))]
    assert ridge.loss == pytest.approx(min(losses), rel=1e-9)
    expected = least_squares(dataset, "test", ridge.penalty, how)
    np.testing.assert_allclose(ridge.forecast(dataset, dataset.starts["test"]), expected, atol=1e-9)


def test_covariates_are_used_where_they_help(tmp_path: Path) -> None:
    """Shuffled, they are left alone."""
    dataset = load(tmp_path)
    alone, both = fit_ridge(load(tmp_path, features=("y",))), fit_ridge(dataset)
    assert (alone.lags, both.lags) == (-1, 5)
    assert both.loss < 0.8 * alone.loss
    starts = dataset.starts["test"]
    errors = [np.mean((one.forecast(dataset, starts) - truth_of(dataset, "test")) ** 2) for one in (both, alone)]
    assert errors[0] < 0.8 * errors[1]
    at = dataset.features.index("z")
    dataset.inputs[:, at] = np.random.default_rng(1).permutation(dataset.inputs[:, at])
    assert fit_ridge(dataset).loss > 0.98 * alone.loss
    assert fit_ridge(load(tmp_path, split="0.9,0.03,0.07")).lags == -1, "too few windows to choose"


def test_columns_known_in_advance_are_used(tmp_path: Path) -> None:
    known, unknown = fit_ridge(load(tmp_path, future=("z",))), fit_ridge(load(tmp_path))
    assert known.loss < 0.8 * unknown.loss


def test_the_last_training_windows_choose_without_validation(tmp_path: Path) -> None:
    dataset = load(tmp_path, split="0.8,0,0.2")
    fitted, chosen = parts_to_choose(dataset)
    assert fitted[-1] + WINDOW + HORIZON <= chosen[0] + WINDOW
    assert set(fitted) | set(chosen) < set(dataset.starts["train"])
    assert np.isfinite(fit_ridge(dataset).loss)


def test_few_windows_and_constant_columns_are_borne(tmp_path: Path) -> None:
    dataset = load(tmp_path, split="14,8,100")
    assert len(dataset.starts["train"]) <= WINDOW
    dataset.inputs[:, 1] = 0
    assert np.isfinite(fit_ridge(dataset).forecast(dataset, dataset.starts["test"])).all()


def test_the_window_is_the_one_with_the_least_validation_error(tmp_path: Path) -> None:
    dataset = load(tmp_path, window=0)
    losses = {one: fit_ridge(load(tmp_path, window=one)).loss for one in (5, 10, 20)}
    assert dataset.config.window == min(losses, key=lambda one: losses[one])


HOURS, MONTHS = Calendar("time", DAY // 24), Calendar("months", 1)


def test_seasons() -> None:
    rng, rows = np.random.default_rng(0), np.arange(2000)[:, None]
    daily, weekly = np.sin(2 * np.pi * rows / 24), np.sin(2 * np.pi * rows / 168) * 3
    noise = 0.1 * rng.standard_normal((2000, 1))
    assert find_season(daily + noise, HOURS) == 24
    assert find_season(daily + weekly + noise, HOURS) == 168
    assert find_season(daily[:100], HOURS) == 24, "too few rows for a week"
    assert find_season(np.sin(2 * np.pi * rows / 11) + noise, None) == 11
    assert find_season(np.cumsum(noise, axis=0), None) == 1
    assert find_season(daily, Calendar("months", 12)) == 24, "years have no season of their own"
    assert find_season(daily[:4], None) == find_season(0 * daily, None) == 1


def test_windows_to_try() -> None:
    assert windows_to_try(24, HOURS, 24, 8640) == [24, 48, 96, 168, 336, 672]
    assert windows_to_try(24, HOURS, 24, 3000) == [24, 48, 96, 168, 336], (
        "four weeks are too long for 18 weeks of training rows"
    )
    assert windows_to_try(12, MONTHS, 12, 100) == [12, 24]
    assert windows_to_try(1, None, 5, 1000) == [10, 20, 40]
    assert windows_to_try(12, MONTHS, 12, 20) == [1]
    assert windows_to_try(24, HOURS, 3, 30) == [6]


def test_segments_divide_the_season() -> None:
    cases = {(24, 336): 24, (24, 96): 12, (12, 24): 3, (1, 40): 5, (1, 5): 1}
    assert {case: segment_for(*case) for case in cases} == cases


@pytest.mark.parametrize(("horizon", "loss", "window"), [(3, 0.995, 10), (20, 0.995, 5), (20, 0.98, 10)])
def test_a_longer_window_must_be_clearly_better_where_validation_windows_are_few(
    horizon: int, loss: float, window: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The validation part has 80 rows: 61 windows of horizon 20 are few, 78 of horizon 3 are not."""
    losses = {5: 1.0, 10: loss, 20: 1.2}
    monkeypatch.setattr("jax_lstm.data.dataset.fit_ridge", lambda one: SimpleNamespace(loss=losses[one.config.window]))
    assert load(tmp_path, window=0, horizon=horizon).config.window == window
