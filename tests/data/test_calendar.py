"""Calendars are recognised from timestamps, and continue them."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from jax_lstm.data.calendar import Calendar, calendar_features, calendar_names, find_calendar

HOUR = 3_600_000_000


def stamps(freq: str, rows: int = 40, start: str = "2024-01-01") -> np.ndarray:
    return pd.date_range(start, periods=rows, freq=freq).to_numpy("datetime64[us]")


@pytest.mark.parametrize(
    ("freq", "start", "words", "season"),
    [
        ("s", "2024-01-01", "1 second", 60),
        ("15min", "2024-01-01 00:07", "15 minutes", 96),
        ("h", "2024-01-01", "1 hour", 24),
        ("36h", "2024-01-01", "36 hours", 5),
        ("D", "2024-01-01 06:00", "1 day", 7),
        ("B", "2024-01-01", "1 business day", 5),
        ("B", "2024-01-04 17:30", "1 business day", 5),
        ("W-WED", "2024-01-01", "1 week", 52),
        ("MS", "2024-01-01", "1 month", 12),
        ("ME", "2024-01-01", "1 month", 12),
        ("2MS", "2024-01-01", "2 months", 6),
        ("QS", "2024-01-01", "1 quarter", 4),
        ("QE", "2024-01-01", "1 quarter", 4),
        ("YS", "2000-01-01", "1 year", 1),
        ("YE", "2000-01-01", "1 year", 1),
        ("28D", "2024-01-01", "4 weeks", 13),
        ("250ms", "2024-01-01", "0.25 seconds", 240),
    ],
)
def test_regular_timestamps(freq: str, start: str, words: str, season: int) -> None:
    """With rows absent too, and continued beyond the last."""
    whole = stamps(freq, 43, start)
    kept = np.delete(np.arange(40), (5, 11))
    calendar = find_calendar([whole[:40][kept]])
    assert calendar is not None
    assert (str(calendar), min(calendar.seasons, default=1)) == (words, season)
    at, distance = calendar.positions(whole[:40][kept])
    np.testing.assert_array_equal(at, kept)
    assert not distance.any()
    np.testing.assert_array_equal(calendar.stamps(whole[:40][kept], np.arange(43)), whole)


SATURDAYS = [time for time in stamps("D", 60) if pd.Timestamp(time).weekday() != 6]  # closed on Sundays


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        (SATURDAYS, Calendar("weekdays", 1, "1111110")),
        (stamps("D", 60)[np.arange(60) % 7 < 5], Calendar("weekdays", 1, "1111100")),
        (stamps("B", 4, "2024-01-04"), Calendar("weekdays", 1, "1111100")),  # Thursday to Tuesday
        (stamps("D", 5), Calendar("time", 24 * HOUR)),  # Monday to Friday: nothing tells
        (stamps("D", 20), Calendar("time", 24 * HOUR)),
        (stamps("BME"), Calendar("months", 1, month_end=True)),
        (stamps("BMS"), Calendar("months", 1)),
        (stamps("MS") + np.timedelta64(27, "D"), Calendar("months", 1)),  # the 28th is not the end of February
        (np.minimum(stamps("MS") + np.timedelta64(29, "D"), stamps("ME")), Calendar("months", 1)),  # the 30th
        (stamps("h")[[0, 1, 2, 3, 5, 7, 9, 11, 13, 15]], Calendar("time", HOUR)),  # every two hours among hourly ones
        (stamps("h")[[0, 4, 5, 9]], Calendar("time", HOUR)),
        (np.sort([*stamps("h"), np.datetime64("2024-01-01T10:30")]), Calendar("time", HOUR)),  # one stray row
        (stamps("h")[[0]], None),
    ],
)
def test_recognised(times: Any, expected: Calendar | None) -> None:
    assert find_calendar([np.array(times)]) == expected


def test_the_days_of_months_without_them() -> None:
    """The 30th is followed by the last of February, and by the 30th again."""
    days = np.array(["2023-11-30", "2023-12-30", "2024-01-30", "2024-02-29"], "datetime64[us]")
    calendar = Calendar("months", 1)
    assert find_calendar([days]) == calendar
    assert not calendar.positions(days).distance.any()
    ahead = np.array(["2024-02-29", "2024-03-30"], "datetime64[us]")
    np.testing.assert_array_equal(calendar.stamps(days, [3, 4]), ahead)


def test_holidays_and_shifted_days() -> None:
    """A holiday is a row that is absent; a weekly row that a holiday shifts is put on its place."""
    business = np.delete(stamps("B", 60), (7, 30))
    assert str(find_calendar([business])) == "1 business day"
    weekly = stamps("W-MON", 30).copy()
    weekly[17] += np.timedelta64(1, "D")
    calendar = Calendar("time", 7 * 24 * HOUR)
    assert find_calendar([weekly]) == calendar
    at, distance = calendar.positions(weekly)
    assert at.tolist() == list(range(30))
    assert np.flatnonzero(distance).tolist() == [17]


def test_steps_are_those_within_series() -> None:
    hours = stamps("h", 30)
    assert find_calendar([hours[:1], hours[5:], hours[2:20] - np.timedelta64(999, "D")]) == Calendar("time", HOUR)
    assert find_calendar([hours[:1], hours[:1]]) is None


def test_features_are_the_cycles_longer_than_a_step() -> None:
    names = {
        freq: list(calendar_names(find_calendar([times[:40]]) or Calendar("time", 0), times))
        for freq, rows in (("h", 17_600), ("D", 800), ("B", 600), ("W", 110), ("MS", 30), ("QS", 12), ("YS", 40))
        for times in [stamps(freq, rows, "1900-01-01")]
    }
    year, week, day = ([f"{name} sin", f"{name} cos"] for name in ("day of year", "weekday", "hour"))
    assert names == {"h": day + week + year, "D": week + year, "B": week + year, "W": year, "MS": year, "QS": year,
                     "YS": []}  # fmt: skip
    hours = Calendar("time", HOUR)
    short = {rows: list(calendar_names(hours, stamps("h", rows))) for rows in (48, 49, 336, 337, 8760)}
    assert short == {48: [], 49: day, 336: day, 337: day + week, 8760: day + week}, "each cycle must be there twice"
    found = calendar_features(np.array(["2024-01-02T06:00"], "datetime64[us]"))
    assert found["hour sin"] == pytest.approx(1)
    assert found["weekday cos"] == pytest.approx(np.cos(2 * np.pi / 7))
