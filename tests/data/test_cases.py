"""Files of the kind that users have, and siblings of each kind: what is read, and what is refused and why."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from jax_lstm.checks import InputError
from jax_lstm.data import DataConfig, SequencesConfig, load_dataset, read_series
from jax_lstm.data.config import FileConfig
from jax_lstm.data.dataset import Read, Trained
from jax_lstm.data.sequences import load_sequences

CASES = Path(__file__).parents[1] / "cases"
SMALL = {"window": 8, "horizon": 4}


def case(name: str, target: str, time: str = "time", **options: Any) -> DataConfig:
    return DataConfig(str(CASES / f"{name}.csv"), (target,), time=time, **SMALL, **options)


@pytest.mark.parametrize(
    ("config", "calendar", "season", "ahead", "features", "notes"),
    [
        (case("panel_one_row_first", "sales", group="shop"), "1 hour", 24, ["2024-01-12T12", "2024-01-12T13"], "sales",
         []),
        (case("pandas_index", "sales", group="shop"), "1 hour", 24, ["2024-01-13T12", "2024-01-13T13"], "sales",
         ["the first column, of whole numbers, was left out because it has no name"]),
        (case("business_days", "Close", "Date"), "1 business day", 5, ["2024-01-01", "2024-01-02"], "Open Close", []),
        (case("monthly", "Passengers", "Month"), "1 month", 12, ["2002-01-01", "2002-02-01"], "Passengers", []),
        (case("hourly", "load"), "1 hour", 24, ["2024-01-13T12", "2024-01-13T13"], "load", []),
        (case("quarter_hour", "load"), "15 minutes", 96, ["2024-03-01T16", "2024-03-01T16:15"], "load", []),
        (case("semicolon", "load"), "1 hour", 24, ["2024-01-17T16", "2024-01-17T17"], "load",
         ["read with ';' between columns and ',' as decimal sign"]),
        (case("known_future", "load"), "1 hour", 24, ["2024-01-13T12", "2024-01-13T13"], "temp load",
         ["4 rows after the last target are the future: other columns are known in them"]),
        (case("sentinel_na", "T2M"), "1 day", 7, ["2021-08-23", "2021-08-24"], "T2M SOLAR", []),
        (case("sentinel_999", "T2M", file=FileConfig(missing=("-999",))), "1 day", 7, ["2021-08-23", "2021-08-24"],
         "T2M SOLAR", []),
    ],
)  # fmt: skip
def test_cases(
    config: DataConfig, calendar: str, season: int, ahead: list[str], features: str, notes: list[str]
) -> None:
    read, dataset = read_series(config), load_dataset(config)
    assert (str(read.calendar), dataset.config.season, list(read.notes), read.warnings) == (calendar, season, notes, ())
    assert read.columns.numbers == tuple(features.split())
    np.testing.assert_array_equal(read.series[0].ahead(2), np.array(ahead, "datetime64[us]"))
    assert all(len(starts) for starts in dataset.starts.values())


def test_values_of_cases() -> None:
    (semicolon,) = read_series(case("semicolon", "load")).series
    np.testing.assert_array_equal(semicolon.values[:3, 0], [9.81, 11.65, 12.54])
    new, old = read_series(case("panel_one_row_first", "sales", group="shop")).series
    assert (new.group, len(new.values), old.group, len(old.values)) == ("NEW", 1, "OLD", 300)
    assert load_dataset(case("panel_one_row_first", "sales", group="shop")).warnings[-1].endswith("NEW (1 rows)")
    (future,) = read_series(case("known_future", "load")).series
    assert (len(future.values), len(future.future)) == (300, 4)
    (days,) = read_series(case("business_days", "Close", "Date")).series
    assert (days.absent_rows, load_dataset(case("business_days", "Close", "Date")).dropped_windows) == (0, 0)


def test_sentinels_are_warned_of_and_an_option_makes_them_missing() -> None:
    raw = read_series(case("sentinel_999", "T2M"))
    assert [warning.rpartition("say ")[2] for warning in raw.warnings] == ["--missing -999"] * len(raw.warnings)
    assert len(raw.warnings) >= 1
    named = load_dataset(case("sentinel_999", "T2M", file=FileConfig(missing=("-999",))))
    other = load_dataset(case("sentinel_na", "T2M"))
    assert named.missing_values == other.missing_values != {}
    np.testing.assert_array_equal(named.inputs, other.inputs)


def test_a_model_refuses_data_with_another_step() -> None:
    hourly = load_dataset(case("hourly", "load"))
    trained = Trained(hourly.columns, hourly.calendar, hourly.scaler)
    for read in (read_series, load_dataset):
        with pytest.raises(InputError, match="rows is 15 minutes, and that of the model's training data 1 hour;"):
            read(case("quarter_hour", "load"), trained=trained)


def test_labels_with_a_column_of_times() -> None:
    path = str(CASES / "labelled_with_time.csv")
    with pytest.raises(InputError, match="line 2, column 'time': expected a number; got '2024-01-01 00:00:00'"):
        load_sequences(SequencesConfig(path), 0.25, "float32")


def read(tmp_path: Path, lines: Sequence[str], **options: Any) -> Read:
    path = tmp_path / "data.csv"
    path.write_text("\n".join(lines) + "\n")
    given = {"target": ("y",), "time": "time", "calendar": "off"} | options
    return read_series(DataConfig(str(path), **given))


def daily(rows: int = 30, start: str = "2024-01-01", freq: str = "D", form: str = "%Y-%m-%d") -> list[str]:
    return pd.date_range(start, periods=rows, freq=freq).strftime(form).tolist()


@pytest.mark.parametrize(
    ("stamps", "calendar", "ahead"),
    [
        (daily(form="%d.%m.%Y"), "1 day", "2024-01-31"),
        (daily(form="%m/%d/%Y"), "1 day", "2024-01-31"),
        (daily(form="%d %B %Y", freq="MS"), "1 month", "2026-07-01"),
        (daily(form="%Y-%m", freq="MS"), "1 month", "2026-07-01"),
        (daily(form="%YQ1", freq="YS"), "1 year", "2054-01-01"),
        (daily(form="%Y", freq="YS"), "1 year", "2054-01-01"),
        (daily(freq="ME"), "1 month", "2026-07-31"),
        (daily(freq="BME"), "1 month", "2026-07-31"),
        (daily(freq="W"), "1 week", "2024-08-04"),
        ([stamp for stamp in daily(freq="B") if stamp != "2024-01-15"], "1 business day", "2024-02-12"),  # a holiday
        ([*daily(15, freq="W-MON")[:7], "2024-02-20", *daily(15, freq="W-MON")[8:]], "1 week", "2024-04-15"),
        ([f"{each} 00:00:00+0{1 + (each >= '2024-04-01')}:00" for each in daily(start="2024-03-15")], "1 day",
         "2024-04-14"),
        (daily(freq="h", form="%Y-%m-%d %H:%M")[:10] + daily(freq="h", form="%Y-%m-%d %H:%M")[11::2], "1 hour",
         "2024-01-02T06"),
    ],
)  # fmt: skip
def test_calendars_of_files(tmp_path: Path, stamps: list[str], calendar: str, ahead: str) -> None:
    found = read(tmp_path, ["time,y", *(f"{stamp},{at % 7}" for at, stamp in enumerate(stamps))])
    assert str(found.calendar) == calendar
    assert found.series[0].ahead(1)[0] == np.datetime64(ahead)


@pytest.mark.parametrize(
    ("lines", "options", "message"),
    [
        (["time,y", "01/02/2024,1", "02/02/2024,2"], {}, "line 2, column 'time': expected dates in one order"),
        (["time,y,shop", "2024-01-01,1,A"], {}, "column 'shop': expected a number; got 'A' (leave the column out with"),
        (["time,y,end", "2024-01-01,1,2024-01-02"], {}, "(if 'end' has timestamps, say --time end; else leave it out"),
        (["time,y,", "2024-01-01,1,2"], {}, "line 1: column 3 has no name; give it one in the header"),
        (["time,z", "2024-01-01,1"], {}, "no column 'y'; the columns are time, z"),
        (["time;y", "2024-01-01;1"], {"file": FileConfig(separator=",")}, "the columns are time;y"),
    ],
)
def test_refused(tmp_path: Path, lines: list[str], options: Any, message: str) -> None:
    with pytest.raises(InputError) as caught:
        read(tmp_path, lines, **options)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_classes_and_booleans(tmp_path: Path) -> None:
    """Also in a panel of which the first series has one row; a new class is an error, or none of the known."""
    lines = ["shop,time,y,open,kind", "N,2024-01-09,5,True,x", *(
        f"O,{stamp},{at},{at % 2 == 0},{'xyz'[at % 3]}" for at, stamp in enumerate(daily())
    )]  # fmt: skip
    options = {"group": "shop", "categories": ("kind",)}
    found = read(tmp_path, lines, **options)
    assert found.columns.features == ("y", "open", "kind=x", "kind=y", "kind=z")
    np.testing.assert_array_equal(found.series[1].values[:3, 1:], [[1, 1, 0, 0], [0, 0, 1, 0], [1, 0, 0, 1]])
    trained = load_dataset(
        DataConfig(str(tmp_path / "data.csv"), ("y",), time="time", calendar="off", window=3, horizon=2, **options)
    )
    path = tmp_path / "new.csv"
    path.write_text("\n".join([*lines[:1], *(line.replace(",z", ",new") for line in lines[2:])]))
    for unknown in ("error", "other"):
        config = DataConfig(str(path), ("y",), time="time", calendar="off", unknown_class=unknown, **options)
        model = Trained(trained.columns, trained.calendar, trained.scaler)
        if unknown == "error":
            with pytest.raises(InputError, match=r"line 4, column 'kind': 'new' is not one of the classes in training"):
                read_series(config, model)
        else:
            np.testing.assert_array_equal(read_series(config, model).series[0].values[2, 2:], [0, 0, 0])
