"""Baselines against slow loops, and the linear one against NumPy's least squares."""

from typing import Any

import numpy as np
import pytest

from jax_lstm.data import DataConfig, Dataset, baselines, load_dataset

WINDOW, HORIZON, ROWS = 6, 4, 150


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


@pytest.mark.parametrize("season", [1, 2, 3, 4, 5, 6, 20])
def test_seasonal_naive_repeats_the_latest_season_that_is_past(path: str, season: int) -> None:
    """Which may reach back before the window; with a season of one row it is persistence."""
    dataset = load(path, season=season)
    for part in ("train", "val", "test") if season <= WINDOW else ("test",):
        expected = []
        for start in dataset.starts[part]:
            row_of_values = []
            for row in range(start + WINDOW, start + WINDOW + HORIZON):
                while row >= start + WINDOW:  # not seen yet
                    row -= season
                row_of_values += list(dataset.targets[row])
            expected.append(row_of_values)
        np.testing.assert_array_equal(baselines.seasonal_naive(dataset, dataset.starts[part]), expected)
        if season == 1:
            np.testing.assert_array_equal(baselines.persistence(dataset, dataset.starts[part]), expected)


@pytest.mark.parametrize("first_row", [0, ROWS])
def test_seasonal_naive_does_not_reach_into_the_series_before(path: str, first_row: int) -> None:
    dataset = load(path, season=WINDOW + 2)
    for row in range(5):
        forecasts = baselines.seasonal_naive(dataset, np.array([50, first_row + row], np.int32))
        assert (forecasts is None) == (row < 2)


def by_numpy(dataset: Dataset, starts: np.ndarray) -> np.ndarray:
    """The least squares of the training part."""
    train, inputs, targets = dataset.starts["train"], dataset.inputs, dataset.targets
    x, ahead = (
        np.array([[*inputs[start : start + WINDOW].ravel(), 1] for start in each], np.float64)
        for each in (train, starts)
    )
    y = [targets[start + WINDOW : start + WINDOW + HORIZON].ravel() for start in train]
    return ahead @ np.linalg.lstsq(x, np.array(y, np.float64), rcond=None)[0]


@pytest.mark.parametrize("features", [("y", "z"), ("y", "z", "flat")])
def test_linear_is_the_least_squares_of_the_training_part(
    path: str, features: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = load(path, features=features)
    for chunk, part in ((4096, "train"), (4096, "val"), (7, "test")):
        monkeypatch.setattr(baselines, "CHUNK", chunk)
        forecasts = baselines.linear(dataset, dataset.starts[part])
        assert forecasts.shape == (len(dataset.starts[part]), HORIZON * 2)
        np.testing.assert_allclose(forecasts, by_numpy(dataset, dataset.starts[part]), atol=1e-4)


def test_linear_bears_fewer_windows_than_inputs(path: str) -> None:
    dataset = load(path, split="14,8,100")
    assert len(dataset.starts["train"]) < WINDOW * 2
    assert np.isfinite(baselines.linear(dataset, dataset.starts["test"])).all()
