"""Baselines against slow loops."""

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
        if season == 1:
            assert baselines.seasonal_naive(dataset, dataset.starts[part]) is None
            np.testing.assert_array_equal(baselines.persistence(dataset, dataset.starts[part]), expected)
        else:
            np.testing.assert_array_equal(baselines.seasonal_naive(dataset, dataset.starts[part]), expected)


@pytest.mark.parametrize("first_row", [0, ROWS])
def test_seasonal_naive_does_not_reach_into_the_series_before(path: str, first_row: int) -> None:
    dataset = load(path, season=WINDOW + 2)
    for row in range(5):
        forecasts = baselines.seasonal_naive(dataset, np.array([50, first_row + row], np.int32))
        assert (forecasts is None) == (row < 2)
