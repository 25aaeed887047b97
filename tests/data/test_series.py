"""The regular grid of time: its step, its gaps and its faults; and how gaps are filled."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from jax_lstm.checks import InputError
from jax_lstm.data.calendar import Calendar
from jax_lstm.data.frames import Frame
from jax_lstm.data.series import Series, fill, with_calendar
from jax_lstm.data.series import regular as on_grid
from jax_lstm.data.table import Columns, Table
from jax_lstm.data.zones import Zone

COLUMNS = Columns(("y", "x"), ("y",), ("y", "x"))
START, HOUR = np.datetime64("2020-01-01T00:00", "us"), np.timedelta64(1, "h")


def table(hours: Sequence[float] | None, group: str = "") -> Table:
    """A table whose row at each of `hours` holds (row number, -row number); line 2 is the first."""
    count = 3 if hours is None else len(hours)
    numbers = np.arange(count, dtype=np.float64)
    stamps = None if hours is None else START + (np.array(hours) * 3600e6).astype("timedelta64[us]")
    values = np.stack([numbers, -numbers], axis=1)
    frame = Frame("data.csv", pd.DataFrame(), np.arange(count) + 2)
    return Table(frame, group, ("y", "x"), values, stamps, Zone(), np.arange(count))


def regular(tables: list[Table], trained: Calendar | None = None) -> list[Series]:
    return on_grid(tables, COLUMNS, trained)


def hourly(hours: int = 1) -> Calendar:
    return Calendar("time", 3_600_000_000 * hours)


def test_without_times_rows_stay_as_they_are() -> None:
    (series,) = regular([table(None)])
    np.testing.assert_array_equal(series.values, table(None).values)
    assert (series.times, series.absent_rows) == (None, 0)


@pytest.mark.parametrize(
    ("hours", "rows"),
    [
        ([5], [0]),
        ([0, 1, 2, 3], [0, 1, 2, 3]),
        ([0, 1, 4, 5, 6, 8], [0, 1, np.nan, np.nan, 2, 3, 4, np.nan, 5]),
        ([*range(10), 900], [*range(10), *[np.nan] * 890, 10]),
    ],
)
def test_gaps_become_rows_of_missing_values(hours: Sequence[float], rows: Sequence[float]) -> None:
    (series,) = regular([table(hours)])
    np.testing.assert_array_equal(series.values, np.stack([rows, np.negative(rows)], axis=1))
    np.testing.assert_array_equal(series.times, START + (hours[0] + np.arange(len(rows))) * HOUR)
    assert series.absent_rows == np.isnan(rows).sum()


def test_the_step_is_the_most_common_one_of_all_groups() -> None:
    """By itself, the second series would have a step of two hours; series may cover the same time."""
    first, second = regular([table([0, 1, 2, 3, 4], "a"), table([0.5, 2.5, 4.5], "b")])
    assert (first.absent_rows, second.absent_rows) == (0, 2)
    np.testing.assert_array_equal(second.times, START + (np.arange(5) + 0.5) * np.timedelta64(3600, "s"))
    assert (first.group, second.group, first.calendar, second.calendar) == ("a", "b", hourly(), hourly())


@pytest.mark.parametrize(
    ("hours", "message"),
    [
        ([0, 1, 3, 2, 4], r"data\.csv, line 5: timestamp 2020-01-01 02:00:00 of 'b' comes before that of line 4"),
        ([0, 1, 2, 2, 3], r"data\.csv, line 5: timestamp 2020-01-01 02:00:00 of 'b' repeats that of line 4"),
        (
            [*range(30), 29.5, 30],
            r"data\.csv, line 32: timestamp 2020-01-02 05:30:00 is off the grid of 1 hour that begins",
        ),
        ([0, 1, 2, 3, 9000], r"data\.csv, line 6: 8996 rows of 1 hour are missing before 2021-01-10"),
    ],
)
def test_faults_of_time_name_the_line_and_the_group(hours: Sequence[float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        regular([table([0, 1, 2], "a"), table(hours, "b")])


def test_a_few_jittered_timestamps_are_put_on_the_grid_and_counted() -> None:
    hours = np.arange(40.0)
    hours[[5, 21]] += (0.1, -0.2)
    (series,) = regular([table(hours.tolist())])
    assert (series.moved_rows, series.absent_rows, series.calendar) == (2, 0, hourly())
    np.testing.assert_array_equal(series.times, START + np.arange(40) * HOUR)
    hours[::3] += 0.1
    with pytest.raises(InputError, match="is off the grid of"):
        regular([table(hours.tolist())])


def test_the_calendar_of_a_trained_model() -> None:
    """A file with a single row, or with few gaps, lies on it; one with another step is refused, with both named."""
    (one,) = regular([table([3])], hourly())
    assert one.calendar == hourly()
    np.testing.assert_array_equal(one.ahead(2), START + np.array([4, 5]) * HOUR)
    (few,) = regular([table([0, 2, 3])], hourly())
    assert (few.calendar, few.absent_rows) == (hourly(), 1)
    for hours, step in (([0, 2, 4, 6], "2 hours"), ([0, 0.25, 0.5, 0.75, 1], "15 minutes")):
        with pytest.raises(
            InputError, match=f"step of the rows is {step}, and that of the model's training data 1 hour; resample"
        ):
            regular([table(hours)], hourly())


@pytest.mark.parametrize(
    ("targets", "others", "rows", "future", "empty"),
    [
        ([1, 2, 3, 4], [1, 2, 3, 4], 4, 0, 0),
        ([1, 2, np.nan, np.nan], [1, 2, 3, 4], 2, 2, 0),
        ([1, 2, np.nan, np.nan], [1, 2, np.nan, 4], 2, 2, 0),
        ([1, 2, np.nan, np.nan], [1, 2, np.nan, np.nan], 2, 0, 2),
        ([1, np.nan, 3, np.nan], [1, 2, 3, np.nan], 3, 0, 1),
        ([np.nan] * 4, [1, 2, 3, 4], 4, 0, 0),
    ],
)
def test_rows_after_the_last_target(
    targets: list[float], others: list[float], rows: int, future: int, empty: int
) -> None:
    one = replace(table([0, 1, 2, 3]), values=np.stack([targets, others], axis=1))
    (series,) = regular([one])
    assert (len(series.values), len(series.future), series.empty_rows) == (rows, future, empty)
    assert series.times is not None
    assert len(series.times) == rows
    not_read = Columns(("x",), ("y",), ("x",))
    assert len(on_grid([one], not_read)[0].values) == 4


def test_rows_ahead() -> None:
    """Without times they have numbers."""
    (series,) = regular([table(None)])
    assert series.ahead(2).tolist() == [4, 5]
    assert replace(series, first_row=10).ahead(2).tolist() == [14, 15]


def test_columns_of_the_calendar() -> None:
    (series,) = regular([table([0, 1, 3])])
    series = with_calendar(series, ("hour sin", "weekday cos"))
    assert series.columns == ("y", "x", "hour sin", "weekday cos")
    np.testing.assert_allclose(series.values[:, 2], np.sin(2 * np.pi * np.arange(4) / 24))  # of the absent row too


def filled_by_loop(values: np.ndarray, start: Sequence[float]) -> np.ndarray:
    result, last = [], list(start)
    for row in values:
        last = [before if np.isnan(value) else value for value, before in zip(row, last, strict=True)]
        result.append(last)
    return np.array(result)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 1.0])
def test_fill_carries_the_last_value_forward_and_never_looks_ahead(share: float) -> None:
    rng, start = np.random.default_rng(1), np.array([10.0, 20.0, 30.0])
    values = np.where(rng.random((40, 3)) < share, np.nan, rng.standard_normal((40, 3)))
    kept, whole = values.copy(), fill(values, start)
    np.testing.assert_array_equal(whole, filled_by_loop(values, start.tolist()))
    np.testing.assert_array_equal(values, kept)
    for row in range(len(values)):
        changed = values.copy()
        changed[row + 1 :] = 1e6
        np.testing.assert_array_equal(fill(changed, start)[: row + 1], whole[: row + 1])
