"""Timestamps as files write them: read as what they mean, or refused."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from jax_lstm.data.stamps import UnreadableError, read_stamp, read_stamps

DAYS = np.array(["2024-01-30", "2024-01-31", "2024-02-01"], "datetime64[us]")
HOURS = np.array(["2024-03-05T22", "2024-03-05T23", "2024-03-06T00"], "datetime64[us]")


def column(texts: Any) -> pd.Series:
    return pd.Series(texts, dtype=object) if isinstance(texts, list) else pd.Series(texts)


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        *((pd.DatetimeIndex(days).strftime(form).tolist(), days)
          for days in (DAYS,)
          for form in ("%Y-%m-%d", "%Y%m%d", "%Y/%m/%d", "%Y.%m.%d", "%d.%m.%Y", "%m/%d/%Y", "%d-%m-%y", "%d-%b-%Y",
                       "%d %b %Y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y", "%d-%b-%y", "%Y-%m-%dT%H:%M:%S")),
        *((pd.DatetimeIndex(HOURS).strftime(form).tolist(), HOURS)
          for form in ("%Y-%m-%d %H:%M", "%Y-%m-%d %H", "%Y%m%d%H", "%Y%m%d%H%M", "%Y%m%d%H%M%S", "%Y/%m/%d %H:%M",
                       "%d.%m.%Y %H:%M", "%d/%m/%y %H:%M:%S", "%d-%b-%Y %H:%M", "%Y-%m-%d %H:%M:%S.%f")),
        (["2024-01", "2024-02"], ["2024-01", "2024-02"]),
        (["202401", "202402"], ["2024-01", "2024-02"]),
        (["Jan 2024", "Feb 2024"], ["2024-01", "2024-02"]),
        (["May 2024", "June 2024"], ["2024-05", "2024-06"]),
        (["1 May 2024", "1 June 2024"], ["2024-05-01", "2024-06-01"]),
        (["Jan-24", "Feb-24"], ["2024-01", "2024-02"]),
        (["2023", "2024"], ["2023", "2024"]),
        *((texts, ["2023-10", "2024-01"])
          for texts in (["2023Q4", "2024Q1"], ["2023-Q4", "2024-Q1"], ["Q4 2023", "q1 2024"])),
        (["1/30/2024 11:00 PM", "1/31/2024 12:00 AM"], ["2024-01-30T23", "2024-01-31"]),
        (["30/01/2024 7:05", "30/01/2024 10:05"], ["2024-01-30T07:05", "2024-01-30T10:05"]),
        (["1/1/2024 0:00", "1/1/2024 1:00"], ["2024-01-01T00", "2024-01-01T01"]),  # both orders mean this
        (["13.01.24", "14.01.24"], ["2024-01-13", "2024-01-14"]),
        # 24-01-24 is of January, as the days of a year would not be regular.
        ([f"24-{month:02}-{day:02}" for month in (1, 2) for day in range(1, 30)],
         [f"2024-{month:02}-{day:02}" for month in (1, 2) for day in range(1, 30)]),
        # In one order they are 24 days, in the other two days of every month.
        ([f"{day:02}/{month:02}/2024" for month in range(1, 13) for day in (1,)] + ["01/01/2025"],
         [f"2024-{month:02}" for month in range(1, 13)] + ["2025-01"]),
        (pd.date_range("2024-01-01", periods=2, freq="D"), ["2024-01-01", "2024-01-02"]),
        (pd.period_range("2024-01", periods=2, freq="M"), ["2024-01", "2024-02"]),
        (np.array([2023, 2024]), ["2023", "2024"]),
        (np.array([20240101.0, 20240102.0]), ["2024-01-01", "2024-01-02"]),
    ],
)  # fmt: skip
def test_times_without_an_offset(texts: Any, expected: Any) -> None:
    found = read_stamps(column(texts))
    assert found.zone.offset == ""
    np.testing.assert_array_equal(found.times, np.array(expected, "datetime64[us]"))


@pytest.mark.parametrize("scale", [1, 10**3, 10**6, 10**9])
def test_epochs(scale: int) -> None:
    seconds = HOURS.astype("datetime64[s]").astype(np.int64)
    for values in (seconds * scale, (seconds * scale).astype(str).tolist()):
        found = read_stamps(column(values))
        assert found.zone.offset == "Z"
        assert found.note.endswith("seconds since 1970")
        np.testing.assert_array_equal(found.times, HOURS)


@pytest.mark.parametrize(
    ("texts", "times", "offset"),
    [
        (["2024-01-01T00:00Z", "2024-01-01T01:00Z"], ["2024-01-01T00", "2024-01-01T01"], "Z"),
        (["2024-01-01T00:00+02:00", "2024-01-01 01:00+0100"], ["2023-12-31T22", "2024-01-01T00"], "Z"),
        (["2024-01-01 00:00-05", "2024-01-01 01:00-05"], ["2024-01-01T05", "2024-01-01T06"], "Z"),
        (["31/01/2024 10:00+01:00", "31/01/2024 11:00+01:00"], ["2024-01-31T09", "2024-01-31T10"], "Z"),
        # Local midnights: days, also across daylight saving.
        (["2024-01-01T00:00+01:00", "2024-01-02T00:00+01:00"], ["2024-01-01", "2024-01-02"], "+01:00"),
        (["2024-01-01T00:00-05:30", "2024-01-02T00:00-05:30"], ["2024-01-01", "2024-01-02"], "-05:30"),
        (["2024-03-31T00:00+01:00", "2024-04-01T00:00+02:00"], ["2024-03-31", "2024-04-01"], ""),
        (pd.date_range("2024-03-31", periods=2, freq="D", tz="Europe/Berlin"), ["2024-03-31", "2024-04-01"], "Z"),
        (pd.date_range("2024-01-01", periods=2, tz="America/New_York"), ["2024-01-01", "2024-01-02"], "Z"),
        (pd.date_range("2024-03-31T01", periods=2, freq="h", tz="CET"), ["2024-03-31T00", "2024-03-31T01"], "Z"),
        (pd.date_range("2024-01-01", periods=2, freq="D", tz="UTC"), ["2024-01-01", "2024-01-02"], "Z"),
    ],
)  # fmt: skip
def test_times_with_an_offset(texts: Any, times: list[str], offset: str) -> None:
    found = read_stamps(column(texts))
    assert found.zone.offset == offset
    np.testing.assert_array_equal(found.times, np.array(times, "datetime64[us]"))


def test_the_order_of_dates_is_recognised_said_and_an_option() -> None:
    assert read_stamps(column(["31.12.2024", "01.01.2025"])).note == "dates day first, as 31.12.2024"
    assert read_stamps(column(["12/31/24", "01/01/25"])).note == "dates month first, as 12/31/24"
    open_to_both = column(["01/02/2024", "02/02/2024"])
    for order, expected in (("day-first", "2024-02-01"), ("month-first", "2024-01-02")):
        assert read_stamps(open_to_both, order).times[0] == np.datetime64(expected)
    assert read_stamps(column(["24|1|31"]), form="%y|%m|%d").times[0] == np.datetime64("2024-01-31")


@pytest.mark.parametrize(
    ("texts", "row", "message"),
    [
        (["2024-01-01", "yesterday"], 1, "expected an ISO 8601 timestamp like 2016-07-01 00:00:00; got 'yesterday'"),
        (["2024-01-01", " "], 1, "expected a timestamp; got none"),
        ([None, "2024-01-01"], 0, "expected a timestamp; got none"),
        (["2024-01-01T00:00", "2024-01-01T01:00Z"], 1, "some timestamps have an offset from UTC and some have none"),
        (["01/02/2024", "02/02/2024"], 0, "'01/02/2024', '02/02/2024' and so on leave both open (say --date-order"),
        (["24-01-01", "24-01-02"], 0, "expected dates in one order"),  # days of January, or each of another year
        (["13/01/2024", "01/13/2024"], 0, "expected dates in one order"),
        (["13/01/2024", "2024-01-14"], 1, "expected a date like 13/01/2024; got '2024-01-14'"),
        (["13/01/2024", "32/01/2024"], 0, "expected dates in one order"),
        (["30/01/2024", "30/02/2024"], 1, "got '30/02/2024'"),
        (["240115", "240116"], 0, "expected an ISO 8601 timestamp"),  # not of the year 2401
        (["0900", "1000"], 0, "expected an ISO 8601 timestamp"),
        (["10", "11"], 0, "expected an ISO 8601 timestamp"),
        (["2023", "20240101"], 1, "expected a timestamp of 4 digits, as in the rows before; got '20240101'"),
        (["2023Q4", "2024Q5"], 1, "expected a quarter like 2023Q4; got '2024Q5'"),
        (["1 May 2024", "1 Mai 2024"], 1, "got '1 Mai 2024'"),
        (["0001-01-01T00:00+99:00", "x"], 1, "some timestamps"),
    ],
)
def test_what_is_refused(texts: list[Any], row: int, message: str) -> None:
    with pytest.raises(UnreadableError) as caught:
        read_stamps(column(texts))
    assert caught.value.row == row
    assert message in caught.value.expected


@pytest.mark.parametrize(
    ("text", "options", "expected"),
    [
        ("2024-01-31 10:00", {}, ("2024-01-31T10", False)),
        ("2024-01-31T10:00Z", {}, ("2024-01-31T10", True)),
        ("2024-01-31T10:00+02:00", {}, ("2024-01-31T08", True)),
        ("2024-01-31T00:00+02:00", {"local": True}, ("2024-01-31", True)),
        ("31/1/2024", {}, ("2024-01-31", False)),
        ("1/2/2024", {"order": "day-first"}, ("2024-02-01", False)),
        ("1704067200", {}, ("2024-01-01", True)),
        ("2024Q2", {}, ("2024-04-01", False)),
    ],
)
def test_one_timestamp(text: str, options: dict[str, Any], expected: tuple[str, bool]) -> None:
    time, offset = read_stamp(text, **options)
    assert (time, offset) == (np.datetime64(expected[0], "us"), expected[1])
    with pytest.raises(UnreadableError):
        read_stamp(f"{text}?", **options)
