"""The packaged weather, and the windows of ETTh1 that papers use."""

from pathlib import Path

import numpy as np
import pytest

from jax_lstm.data import DataConfig, Dataset, load_dataset, read_series

ETTH1 = Path(__file__).parents[2].parent / "shared" / "data" / "ETTh1.csv"
COLUMNS = ("temp", "dewp", "humid", "wind_speed", "precip", "pressure", "visib")


@pytest.fixture(scope="module")
def weather() -> Dataset:
    return load_dataset(DataConfig())


def test_rows_and_gaps_are_those_of_the_source(weather: Dataset) -> None:
    assert weather.rows == 26115
    assert weather.absent_rows == 75
    assert weather.missing_values == {"temp": 1, "dewp": 1, "humid": 1, "wind_speed": 5, "pressure": 2729}
    assert len(weather.first_rows) == 3
    assert len(weather.inputs) == len(weather.targets) == 26115 + 75
    assert weather.warnings == ()


def test_temperature_is_forecast_from_all_columns(weather: Dataset) -> None:
    assert (weather.features, weather.target) == (COLUMNS, ("temp",))
    assert (weather.input_size, weather.output_size) == (7, 12)
    np.testing.assert_array_equal(weather.targets[:, 0], weather.inputs[:, 0])
    assert np.isfinite(weather.inputs).all()
    assert {part: len(starts) > 0 for part, starts in weather.starts.items()} == dict.fromkeys(weather.starts, True)


def test_no_window_crosses_airports(weather: Dataset) -> None:
    ends = np.append(weather.first_rows[1:], len(weather.inputs))
    for starts in weather.starts.values():
        series = np.searchsorted(weather.first_rows, starts, side="right") - 1
        assert (starts + 48 + 12 <= ends[series]).all()


def test_each_airport_is_a_series_of_hours_in_utc() -> None:
    series, features, target = read_series(DataConfig(target=("temp", "dewp"), features=("pressure",)))
    assert [one.group for one in series] == ["EWR", "JFK", "LGA"]
    assert (features, target) == (("pressure",), ("temp", "dewp"))
    for one in series:
        assert one.utc
        assert one.times is not None
        assert one.step == np.timedelta64(1, "h")
        assert one.times[0] == np.datetime64("2013-01-01T06:00")
        assert len(one.values) == len(one.times) == 8730
        assert one.columns == ("pressure", "temp", "dewp")


def test_values_are_those_of_weather() -> None:
    series, _, _ = read_series(DataConfig())
    values = np.concatenate([one.values for one in series])
    low = {"temp": 0, "dewp": -20, "humid": 0, "wind_speed": 0, "precip": 0, "pressure": 950, "visib": 0}
    high = {"temp": 110, "dewp": 90, "humid": 100, "wind_speed": 60, "precip": 5, "pressure": 1060, "visib": 10}
    for at, name in enumerate(COLUMNS):
        assert low[name] <= np.nanmin(values[:, at]) < np.nanmax(values[:, at]) <= high[name], name


@pytest.mark.skipif(not ETTH1.exists(), reason=f"{ETTH1} is not there")
def test_windows_of_etth1() -> None:
    config = DataConfig(str(ETTH1), ("OT",), time="date", window=96, horizon=24, split="8640,2880,2880")
    dataset = load_dataset(config)
    assert {part: len(starts) for part, starts in dataset.starts.items()} == {"train": 8521, "val": 2857, "test": 2857}
    assert (dataset.rows, dataset.absent_rows, dataset.missing_values, dataset.dropped_windows) == (17420, 0, {}, 0)
    assert dataset.starts["val"][0] == 8640 - 96
    assert dataset.starts["test"][-1] == 14400 - 96 - 24
