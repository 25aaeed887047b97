"""DataFrames of polars are read as those of pandas, and forecasts come in those of pandas."""

import datetime
from typing import Any

import numpy as np
import pandas as pd
import pytest

import jax_lstm as jl
from jax_lstm.data import DataConfig, read_series
from jax_lstm.data.frames import of_dataframe
from jax_lstm.data.zones import Zone

pl: Any = pytest.importorskip("polars")
ROWS, BERLIN = 160, "Europe/Berlin"
SMALL: dict[str, Any] = {"target": "y", "time": "time", "window": 12, "horizon": 4, "hidden_size": 4, "epochs": 1}
HOURS = pd.date_range("2024-03-29", periods=ROWS, freq="h", tz=BERLIN)
UTC = pl.Series("time", HOURS.tz_convert(None).to_numpy("datetime64[us]"))
TIMES = {
    "hours": UTC,
    "zone": UTC.dt.replace_time_zone("UTC").dt.convert_time_zone(BERLIN),
    "dates": pl.Series("time", [datetime.date(2024, 1, 1) + datetime.timedelta(days=at) for at in range(ROWS)]),
}


def frame(times: Any = UTC) -> Any:
    values = np.sin(np.arange(ROWS) / 4) + np.random.default_rng(0).normal(0, 0.1, ROWS)
    return pl.DataFrame({"time": times, "y": values, "x": values[::-1].copy()})


def read(data: Any, **columns: Any) -> Any:
    config = DataConfig("DataFrame", ("y",), time="time", calendar="off", **columns)
    return read_series(config, data=of_dataframe(data).data)


@pytest.mark.parametrize(
    ("times", "step", "zone"),
    [("hours", "1 hour", Zone()), ("zone", "1 hour", Zone(BERLIN, True, "Z")), ("dates", "1 day", Zone())],
)
def test_times(times: str, step: str, zone: Zone) -> None:
    (series,) = read(frame(TIMES[times])).series
    assert (str(series.calendar), series.absent_rows, series.zone) == (step, 0, zone)
    if times != "dates":
        np.testing.assert_array_equal(series.times, UTC.to_numpy())


@pytest.mark.parametrize("dtype", ["Int64", "Float32", "Boolean", "Decimal"])
def test_nulls(dtype: str) -> None:
    column = pl.Series("x", [None if at % 9 == 0 else at % 2 for at in range(ROWS)])
    dtype = pl.Decimal(10, 3) if dtype == "Decimal" else getattr(pl, dtype)
    (series,) = read(frame().with_columns(column.cast(dtype))).series
    expected = [np.nan if at % 9 == 0 else at % 2 for at in range(ROWS)]
    np.testing.assert_array_equal(series.values[:, series.columns.index("x")], expected)


@pytest.mark.parametrize("dtype", ["String", "Categorical"])
def test_series_and_classes(dtype: str) -> None:
    """Strings name the series, and become features."""
    kinds = pl.Series("kind", [None, "a", "b", "a"] * (ROWS // 4), dtype=getattr(pl, dtype))
    shops = [frame().with_columns(kinds, pl.lit(shop).cast(getattr(pl, dtype)).alias("shop")) for shop in "AB"]
    found = read(pl.concat(shops), group="shop", categories=("kind",))
    assert [one.group for one in found.series] == ["A", "B"]
    assert found.columns.features == ("y", "x", "kind=a", "kind=b")
    np.testing.assert_array_equal(found.series[1].values[:4, 2:], [[0, 0], [1, 0], [0, 1], [1, 0]])


def test_what_is_no_data_frame() -> None:
    for data, name in ((frame().lazy(), "LazyFrame"), (frame()["y"], "Series")):
        with pytest.raises(jl.InputError, match=f"`data` must be a DataFrame; got {name}"):
            jl.Forecaster(**SMALL).fit(data)


@pytest.mark.slow
def test_fit_predict_and_backtest() -> None:
    data, pandas = frame(TIMES["zone"]), frame().to_dict(as_series=False) | {"time": HOURS}
    expected = jl.Forecaster(**SMALL).fit(pd.DataFrame(pandas)).predict()
    model = jl.Forecaster(**SMALL).fit(data)
    for found in (model.predict(), model.predict(data)):
        pd.testing.assert_frame_equal(found, expected)
    folds = model.backtest(data, folds=2).forecasts
    assert list(folds["time"]) == list(HOURS[-8:])
    np.testing.assert_array_equal(folds["actual"], data["y"][-8:])
