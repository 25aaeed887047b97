"""Time zones: hours that come twice or not at all, local midnights in UTC, and how a forecast continues them."""

import functools
import io
import sys
import zoneinfo
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from small_run import SMALL, call

import jax_lstm as jl
from jax_lstm.checks import InputError
from jax_lstm.data import DataConfig, read_series
from jax_lstm.data.config import FileConfig
from jax_lstm.data.series import Series
from jax_lstm.data.stamps import UnreadableError, read_stamp, read_stamps
from jax_lstm.data.zones import Zone, known
from jax_lstm.tasks import open_run

BERLIN = "Europe/Berlin"
HOURS = pd.date_range("2024-10-26 20:00", "2024-10-27 06:00", freq="h", tz=BERLIN)
QUARTERS = pd.date_range("2024-10-26 20:00", "2024-10-27 06:00", freq="15min", tz=BERLIN)
DAYS = pd.date_range("2024-03-01", "2024-04-20", freq="D", tz=BERLIN)
GAS_DAYS = pd.date_range("2024-03-01 06:00", periods=60, freq="D", tz=BERLIN)
BEFORE: Any = pd.date_range("2024-10-20", "2024-10-27 01:00", freq="h", tz=BERLIN)  # the hour that comes twice
pytestmark = pytest.mark.usefixtures("without_pictures")


def plain(times: Any) -> list[str]:
    return times.strftime("%Y-%m-%d %H:%M").tolist()


def in_utc(times: Any) -> list[str]:
    return times.tz_convert("UTC").strftime("%Y-%m-%dT%H:%MZ").tolist()


def with_offset(times: Any) -> list[str]:
    return [time.isoformat() for time in times]


def of_utc(times: Any) -> np.ndarray:
    return times.tz_convert(None).to_numpy("datetime64[us]")


def read(path: Path, texts: list[str], zone: str = "", **columns: Any) -> list[Series]:
    pd.DataFrame({"time": texts, "y": np.arange(len(texts)), **columns}).to_csv(path, index=False)
    group = next(iter(columns), "")
    file = FileConfig(time_zone=zone)
    config = DataConfig(str(path), ("y",), ("y",), time="time", group=group, calendar="off", file=file)
    return read_series(config).series


@pytest.mark.parametrize("times", [HOURS, QUARTERS])
@pytest.mark.parametrize("form", [plain, in_utc, with_offset])
def test_hours_of_a_zone_have_no_gap(times: Any, form: Any, tmp_path: Path) -> None:
    (series,) = read(tmp_path / "hours.csv", form(times), BERLIN)
    np.testing.assert_array_equal(series.times, of_utc(times))
    assert (series.absent_rows, series.zone) == (0, Zone(BERLIN, True, "" if form == plain else "Z"))
    upto = of_utc(times)[: len(times) // 2]
    ahead = (plain if form == plain else with_offset)(times[: len(upto)])
    assert [text.replace("T", " ").removesuffix(":00") for text in series.zone.texts(upto)] == [
        text.replace("T", " ").removesuffix(":00") if form != plain else text for text in ahead
    ]


def test_each_series_has_its_own_order(tmp_path: Path) -> None:
    """Rows of two series, time by time; the second begins an hour later, in the hour that comes twice."""
    times = HOURS.repeat(2)[1:]
    shops = (["A", "B"] * len(HOURS))[1:]
    for series in read(tmp_path / "hours.csv", plain(times), BERLIN, shop=shops):
        np.testing.assert_array_equal(series.times, of_utc(HOURS)[series.group == "A" :])


def test_clocks_skip_an_hour(tmp_path: Path) -> None:
    spring = ["2024-03-31 01:00", "2024-03-31 02:00", "2024-03-31 03:00"]
    with pytest.raises(InputError, match=r"spring.csv, line 3, column 'time': expected a time that Europe/Berlin has; "
                       "got 2024-03-31 02:00:00, which its clocks skip"):  # fmt: skip
        read(tmp_path / "spring.csv", spring, BERLIN)


@pytest.mark.parametrize("form", [plain, in_utc, with_offset])
@pytest.mark.parametrize("hour", [0, 6, 17])
def test_days_at_one_local_time_stay_days(form: Any, hour: int, tmp_path: Path) -> None:
    days = pd.date_range(f"2024-03-01 {hour:02}:00", "2024-04-20 20:00", freq="D", tz="America/New_York")
    (series,) = read(tmp_path / "days.csv", form(days), "America/New_York")
    assert str(series.calendar) == "1 day"
    np.testing.assert_array_equal(series.times, days.tz_localize(None).to_numpy("datetime64[us]"))


def test_midnights_in_utc_are_recognised(tmp_path: Path) -> None:
    for zone, after in ((BERLIN, "+01:00"), ("Europe/Madrid", "+01:00"), ("America/New_York", "-04:00"),
                        ("Australia/Sydney", "+11:00")):  # fmt: skip
        days = pd.date_range("2024-03-01", "2024-10-26", freq="D", tz=zone)
        (series,) = read(tmp_path / "days.csv", in_utc(days))
        assert str(series.calendar) == "1 day"
        np.testing.assert_array_equal(series.times, days.tz_localize(None).to_numpy("datetime64[us]"))
        assert series.zone.texts(series.ahead(2))[1] == f"2024-10-28T00:00:00{after}"
    months = pd.date_range("2022-01-01", "2024-04-20", freq="MS", tz=BERLIN)
    assert str(read(tmp_path / "months.csv", in_utc(months))[0].calendar) == "1 month"
    epochs = [str(int(time.timestamp())) for time in DAYS]
    np.testing.assert_array_equal(read_stamps(pd.Series(epochs)).times, DAYS.tz_localize(None).to_numpy())


def test_a_folder_takes_the_zone_of_the_file_that_shows_it(tmp_path: Path) -> None:
    for name, end in (("a", 20), ("b", 51)):
        pd.DataFrame({"time": in_utc(DAYS[:end]), "y": np.arange(end)}).to_csv(tmp_path / f"{name}.csv", index=False)
    found = read_series(DataConfig(str(tmp_path), ("y",), time="time", calendar="off")).series
    assert [one.zone for one in found] == [Zone(BERLIN, False, "Z")] * 2


@pytest.mark.parametrize(
    ("texts", "named"),
    [
        (plain(HOURS), True),
        (plain(QUARTERS), True),
        (in_utc(GAS_DAYS), True),
        ([*in_utc(GAS_DAYS)[:-1], "2024-04-29T12:00Z"], False),
        ([*plain(HOURS)[:4], *plain(HOURS)[3:]], False),  # repeated on a Saturday
        ([*plain(HOURS), *plain(HOURS)[:2]], False),
        ([*plain(DAYS), plain(DAYS)[-1]], False),
    ],
)
def test_the_option_is_named_where_it_is_the_fix(texts: list[str], named: bool, tmp_path: Path) -> None:
    fix = "pass --time-zone with the name of the zone, as Europe/Berlin"
    with pytest.raises(InputError) as refused:
        read(tmp_path / "hours.csv", texts)
    assert (fix in str(refused.value)) == named
    assert "\n" not in str(refused.value)
    if named:
        assert read(tmp_path / "hours.csv", texts, BERLIN)[0].absent_rows == 0


def test_the_hour_that_summer_time_skips_is_noted(tmp_path: Path) -> None:
    def notes(times: Any, zone: str = "") -> tuple[str, ...]:
        pd.DataFrame({"time": plain(times), "y": 1.0}).to_csv(tmp_path / "spring.csv", index=False)
        file = FileConfig(time_zone=zone)
        return read_series(DataConfig(str(tmp_path / "spring.csv"), ("y",), time="time", file=file)).notes

    spring = pd.date_range("2024-03-29", "2024-04-02", freq="h", tz=BERLIN)
    assert "an hour is absent on 2024-03-31; if it is the one that summer time skips, pass" in notes(spring)[0]
    assert notes(spring, BERLIN) == ()
    assert notes(spring.delete(12).tz_localize(None)[:40]) == (), "another day"


@pytest.mark.parametrize(
    ("zone", "message"),
    [
        ("Europe/Berln", r"got 'Europe/Berln' \(did you mean Europe/Berlin\?\)"),
        ("new york", r"did you mean America/New_York\?"),
        ("berlin", r"did you mean Europe/Berlin\?"),
        ("Nowhere at all", "be a zone of the IANA database, as Europe/Berlin; got 'Nowhere at all'$"),
    ],
)
def test_a_zone_that_does_not_exist(zone: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        FileConfig(time_zone=zone)
    with pytest.raises(InputError, match="`time_zone` must be a zone"):
        jl.Forecaster(time_zone=zone)


def test_a_system_without_zones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jax_lstm.data.zones.known", lambda name: False)
    monkeypatch.setattr(zoneinfo, "available_timezones", set)
    with pytest.raises(InputError, match=r"zone data, which is missing here; got Europe/Berlin \(pip install tzdata\)"):
        FileConfig(time_zone=BERLIN)


def test_a_zone_needs_times(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("y\n1\n2\n")
    with pytest.raises(InputError, match="`--time-zone` must come with --time; got Europe/Berlin"):
        read_series(DataConfig(str(tmp_path / "data.csv"), ("y",), file=FileConfig(time_zone=BERLIN)))
    with pytest.raises(InputError, match="`--time-zone` must be left out with --stream"):
        DataConfig("none.npy", ("0",), stream=True, file=FileConfig(time_zone=BERLIN))


def test_one_timestamp_of_a_zone() -> None:
    """An hour that comes twice is told by the row before."""
    last, found = np.datetime64("NaT"), []
    for text in plain(HOURS):
        last, offset = read_stamp(text, zone=BERLIN, last=last)
        assert not offset
        found.append(last)
    np.testing.assert_array_equal(found, of_utc(HOURS))
    for text, local, expected in (("2024-03-30T23:00Z", True, "2024-03-31"), ("2024-03-31", True, "2024-03-31"),
                                  ("2024-03-31T00:00+01:00", False, "2024-03-30T23"),
                                  ("1711839600", True, "2024-03-31")):  # fmt: skip
        assert read_stamp(text, local=local, zone=BERLIN)[0] == np.datetime64(expected)
    with pytest.raises(UnreadableError, match="its clocks skip"):
        read_stamp("2024-03-31 02:30", zone=BERLIN)
    assert known(BERLIN)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Any], Path]:
    """By the form of its times, a folder with a run, and with `later.csv`: the rows of the run and two more."""

    @functools.cache
    def train(form: Any) -> Path:
        folder = tmp_path_factory.mktemp("zone")
        for name, times in (("data.csv", BEFORE[:-2]), ("later.csv", BEFORE)):
            rows = pd.DataFrame({"time": form(times), "y": np.sin(times.hour.to_numpy() * np.pi / 12)})
            rows.to_csv(folder / name, index=False)
        columns = ("--csv", folder / "data.csv", "--target", "y", "--time", "time", "--time-zone", BERLIN)
        options = (*SMALL, "--learning-rate", 0.3, "--calendar", "on")
        assert call("train", *columns, *options, "--out", folder / "run") == 0
        return folder

    return train


@pytest.mark.parametrize("form", [plain, pytest.param(with_offset, marks=pytest.mark.slow)])
def test_a_run_keeps_its_zone(form: Any, trained: Callable[[Any], Path]) -> None:
    """A forecast across the switch, of later rows too, in the form of the file."""
    run, later = trained(form) / "run", trained(form) / "later.csv"
    assert call("forecast", run, "--csv", later) == 0
    expected = pd.date_range(BEFORE[-1], periods=4, freq="h")[1:]
    found = pd.read_csv(run / "forecast.csv")["time"].tolist()
    assert found == [text.replace(" ", "T") + (":00" if form == plain else "") for text in form(expected)]
    assert call("evaluate", run, "--csv", later) == 0


def test_calendar_features_are_local(
    trained: Callable[[Any], Path], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Of the rows, of those ahead, and of streamed ones, across the switch."""
    run, data = trained(plain) / "run", trained(plain) / "later.csv"
    columns = open_run(run, "forecast", "forecast").trained.columns.calendar_features
    assert "hour sin" in columns
    (one,) = read_series(DataConfig(str(data), ("y",), time="time", file=FileConfig(time_zone=BERLIN))).series
    hours = np.arctan2(*(one.values[:, one.columns.index(f"hour {wave}")] for wave in ("sin", "cos")))
    np.testing.assert_allclose(hours % (2 * np.pi) * 12 / np.pi % 24, BEFORE.hour, atol=1e-6)
    assert call("forecast", run, "--csv", data) == 0
    expected = pd.read_csv(run / "forecast.csv")["y"]
    with data.open() as file:
        monkeypatch.setattr(sys, "stdin", file)
        capfd.readouterr()
        assert call("forecast", run, "--stream") == 0
    last = pd.read_csv(io.StringIO(capfd.readouterr().out)).iloc[-1]
    np.testing.assert_allclose(last.filter(regex="^y").to_numpy(float), expected, rtol=1e-5)
    unlike = Zone.local
    monkeypatch.setattr(Zone, "local", lambda zone, times: unlike(zone, times) + np.timedelta64(6, "h"))
    assert call("forecast", run, "--csv", data) == 0
    assert np.abs(pd.read_csv(run / "forecast.csv")["y"] - expected).max() > 1e-4, "the hour is read"


@pytest.mark.slow
def test_a_data_frame_with_a_zone(tmp_path: Path) -> None:
    """It does as the option does; the zone goes with the run."""
    data = pd.DataFrame({"y": np.sin(np.arange(len(BEFORE)) / 4)}, index=BEFORE)
    small: dict[str, Any] = {"target": "y", "window": 6, "horizon": 3, "hidden_size": 4, "epochs": 1}
    model = jl.Forecaster(**small).fit(data)
    expected: Any = pd.date_range(BEFORE[-1], periods=4, freq="h")[1:]
    assert list(model.predict().index) == list(expected)
    assert model.predict().index.tz is not None
    model.save(tmp_path / "run")
    loaded = jl.Forecaster.load(tmp_path / "run")
    assert loaded.get_params()["time_zone"] == BERLIN
    assert str(loaded.predict().index.dtype) == f"datetime64[us, {BERLIN}]"
    naive = jl.Forecaster(time_zone=BERLIN, **small).fit(data.set_axis(BEFORE.tz_localize(None))).predict()
    assert list(naive.index) == list(expected.tz_localize(None))
    np.testing.assert_allclose(naive["y"], model.predict()["y"], rtol=1e-6)
    folds = jl.Forecaster(**small).backtest(data, folds=2).forecasts
    assert list(folds["index"]) == list(BEFORE[-6:])
    assert not folds["actual"].isna().any()


@pytest.mark.slow
def test_a_backtest_over_an_hour_that_comes_twice() -> None:
    """Forecasts are compared with the rows that they are of, also where two are written alike."""
    times: Any = pd.date_range("2024-10-20", "2024-10-27 04:00", freq="h", tz=BERLIN)
    data = pd.DataFrame({"time": times.tz_localize(None), "y": np.arange(len(times)) / 7})
    small: dict[str, Any] = {"window": 6, "horizon": 3, "hidden_size": 4, "epochs": 1, "calendar": "off"}
    folds = jl.Forecaster(target="y", time="time", time_zone=BERLIN, **small).backtest(data, folds=2).forecasts
    assert list(folds["time"].dt.hour) == [0, 1, 2, 2, 3, 4]
    np.testing.assert_array_equal(folds["actual"], data["y"].iloc[-6:])
    assert list(folds["step"]) == [1, 2, 3] * 2
