"""The packaged weather, and the windows of ETTh1 that papers use."""

from pathlib import Path

import numpy as np
import pytest

from jax_lstm.data import DataConfig, load_dataset, read_series

ETTH1 = Path(__file__).parents[2].parent / "shared" / "data" / "ETTh1.csv"
RANGES = {
    "temp": (0, 110), "dewp": (-20, 90), "humid": (0, 100), "wind_speed": (0, 60), "precip": (0, 5),
    "pressure": (950, 1060), "visib": (0, 10),
}  # fmt: skip


CLOCK = ("hour sin", "hour cos", "weekday sin", "weekday cos")  # the training part is shorter than two years


def test_the_packaged_weather() -> None:
    """Rows and gaps are those of the source; each airport is a series of hours in UTC, and no window crosses two."""
    weather, series = load_dataset(DataConfig()), read_series(DataConfig()).series
    assert weather.config.statistics == "shared"
    assert (weather.rows, weather.absent_rows, weather.warnings) == (26115, 75, ())
    assert weather.missing_values == {"temp": 1, "dewp": 1, "humid": 1, "wind_speed": 5, "pressure": 2729}
    assert (weather.features, weather.target, weather.output_size) == ((*RANGES, *CLOCK), ("temp",), 12)
    assert weather.first_rows.tolist() == [0, 8730, 2 * 8730]
    assert np.isfinite(weather.inputs).all()
    for starts in weather.starts.values():
        assert len(starts) > 0
        assert (starts % 8730 + weather.config.window + 12 <= 8730).all()
    assert [one.group for one in series] == ["EWR", "JFK", "LGA"]
    for one in series:
        assert (one.zone.offset, str(one.calendar), len(one.values)) == ("Z", "1 hour", 8730)
        np.testing.assert_array_equal(
            one.times, np.datetime64("2013-01-01T06:00") + np.arange(8730) * np.timedelta64(1, "h")
        )
    whole = np.concatenate([one.values for one in series])[:, : len(RANGES)]
    for values, (low, high) in zip(whole.T, RANGES.values(), strict=True):
        assert low <= np.nanmin(values) < np.nanmax(values) <= high


@pytest.mark.skipif(not ETTH1.exists(), reason=f"{ETTH1} is not there")
def test_windows_of_etth1() -> None:
    config = DataConfig(str(ETTH1), ("OT",), time="date", window=96, horizon=24, split="8640,2880,2880", calendar="off")
    dataset = load_dataset(config)
    assert {part: len(starts) for part, starts in dataset.starts.items()} == {"train": 8521, "val": 2857, "test": 2857}
    assert (dataset.rows, dataset.absent_rows, dataset.missing_values, dataset.dropped_windows) == (17420, 0, {}, 0)
    assert dataset.starts["val"][0] == 8640 - 96
    assert dataset.starts["test"][-1] == 14400 - 96 - 24
