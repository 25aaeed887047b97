"""Baselines against slow loops, and the linear one against NumPy's least squares."""

from typing import Any

import numpy as np
import pytest

from jax_lstm.data import DataConfig, Dataset, baselines, load_dataset

WINDOW, HORIZON, ROWS = 6, 4, 150
PARTS = ("train", "val", "test")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Two series of noisy columns; `flat` is constant."""
    rng = np.random.default_rng(0)
    lines = ["site,y,z,flat"]
    for site in ("north", "south"):
        for row, (y, z) in enumerate(rng.standard_normal((ROWS, 2))):
            lines.append(f"{site},{np.sin(row / 2) + y:.6f},{np.cos(row / 3) + z:.6f},3")
    path = tmp_path_factory.mktemp("data") / "data.csv"
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def load(path: str, **options: Any) -> Dataset:
    shape = {"features": ("y", "z"), "target": ("z", "y"), "group": "site", "window": WINDOW, "horizon": HORIZON}
    return load_dataset(DataConfig(csv=path, **(shape | options)))


@pytest.mark.parametrize("part", PARTS)
def test_persistence_repeats_the_last_value_seen(path: str, part: str) -> None:
    dataset = load(path)
    expected = []
    for start in dataset.starts[part]:
        last = dataset.targets[start + WINDOW - 1]
        expected.append([last[column] for _ in range(HORIZON) for column in range(2)])
    np.testing.assert_array_equal(baselines.persistence(dataset, dataset.starts[part]), expected)


@pytest.mark.parametrize("season", [1, 2, 3, 4, 5, 6])
def test_seasonal_naive_repeats_the_latest_season_that_is_past(path: str, season: int) -> None:
    dataset = load(path, season=season)
    for part in PARTS:
        expected = []
        for start in dataset.starts[part]:
            row_of_values = []
            for row in range(start + WINDOW, start + WINDOW + HORIZON):
                while row >= start + WINDOW:  # not seen yet
                    row -= season
                row_of_values += list(dataset.targets[row])
            expected.append(row_of_values)
        np.testing.assert_array_equal(baselines.seasonal_naive(dataset, dataset.starts[part]), expected)


def test_seasonal_naive_may_reach_back_before_the_window(path: str) -> None:
    dataset = load(path, season=20)
    starts = dataset.starts["test"]
    forecasts = baselines.seasonal_naive(dataset, starts)
    expected = [dataset.targets[start + WINDOW - 20 : start + WINDOW - 20 + HORIZON].ravel() for start in starts]
    np.testing.assert_array_equal(forecasts, expected)


@pytest.mark.parametrize("first_row", [0, ROWS])
def test_seasonal_naive_does_not_reach_into_the_series_before(path: str, first_row: int) -> None:
    dataset = load(path, season=WINDOW + 2)
    for row in range(5):
        forecasts = baselines.seasonal_naive(dataset, np.array([50, first_row + row], np.int32))
        assert (forecasts is None) == (row < 2)


def flat_with_one(dataset: Dataset, starts: np.ndarray) -> np.ndarray:
    return np.array([[*dataset.inputs[start : start + WINDOW].ravel(), 1] for start in starts], np.float64)


def targets(dataset: Dataset, starts: np.ndarray) -> np.ndarray:
    return np.array(
        [dataset.targets[start + WINDOW : start + WINDOW + HORIZON].ravel() for start in starts], np.float64
    )


@pytest.mark.parametrize("part", PARTS)
def test_linear_is_the_least_squares_of_the_training_part(path: str, part: str) -> None:
    dataset = load(path)
    train = dataset.starts["train"]
    weights, *_ = np.linalg.lstsq(flat_with_one(dataset, train), targets(dataset, train), rcond=None)
    expected = flat_with_one(dataset, dataset.starts[part]) @ weights
    forecasts = baselines.linear(dataset, dataset.starts[part])
    assert forecasts.shape == (len(dataset.starts[part]), HORIZON * 2)
    np.testing.assert_allclose(forecasts, expected, atol=1e-4)


def test_linear_does_not_depend_on_the_chunks(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = load(path)
    whole = baselines.linear(dataset, dataset.starts["test"])
    monkeypatch.setattr(baselines, "CHUNK", 7)
    np.testing.assert_allclose(baselines.linear(dataset, dataset.starts["test"]), whole, atol=1e-9)


def test_linear_bears_constant_columns(path: str) -> None:
    without, with_flat = load(path), load(path, features=("y", "z", "flat"))
    starts = without.starts["test"]
    np.testing.assert_allclose(
        baselines.linear(with_flat, starts), baselines.linear(without, starts), atol=1e-4, rtol=1e-4
    )


def test_linear_bears_fewer_windows_than_inputs(path: str) -> None:
    dataset = load(path, split="14,8,100")
    assert len(dataset.starts["train"]) < WINDOW * 2
    assert np.isfinite(baselines.linear(dataset, dataset.starts["test"])).all()


def test_every_baseline_has_the_shape_of_the_targets(path: str) -> None:
    dataset = load(path)
    assert set(baselines.BASELINES) == {"persistence", "seasonal-naive", "linear"}
    for forecast in (baselines.persistence, baselines.linear):
        assert forecast(dataset, dataset.starts["val"]).shape == targets(dataset, dataset.starts["val"]).shape
