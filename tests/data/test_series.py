"""The regular grid of time: its step, its gaps and its faults; and how gaps are filled."""

from collections.abc import Sequence

import numpy as np
import pytest

from jax_lstm.checks import InputError
from jax_lstm.data.series import fill, regular
from jax_lstm.data.table import Table

START, HOUR = np.datetime64("2020-01-01T00:00", "us"), np.timedelta64(1, "h")


def table(hours: Sequence[float] | None, group: str = "") -> Table:
    """A table whose row at each of `hours` holds (row number, -row number); line 2 is the first."""
    count = 3 if hours is None else len(hours)
    numbers = np.arange(count, dtype=np.float64)
    stamps = None if hours is None else START + (np.array(hours) * 3600e6).astype("timedelta64[us]")
    values = np.stack([numbers, -numbers], axis=1)
    return Table("data.csv", group, ("y", "x"), values, stamps, False, np.arange(count) + 2)


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
    assert (first.group, second.group, first.step, second.step) == ("a", "b", HOUR, HOUR)


@pytest.mark.parametrize(
    ("hours", "message"),
    [
        ([0, 1, 3, 2, 4], r"data\.csv, line 5: timestamp 2020-01-01T02:00:00\S* of 'b' comes before that of line 4"),
        ([0, 1, 2, 2, 3], r"data\.csv, line 5: timestamp 2020-01-01T02:00:00\S* of 'b' repeats that of line 4"),
        ([0, 1, 2, 2.5, 3], r"data\.csv, line 5: timestamp 2020-01-01T02:30:00\S* is off the grid of 1:00"),
        ([0, 1, 2, 3, 9000], r"data\.csv, line 6: 8996 rows of 1:00:00 are missing before 2021-01-10"),
    ],
)
def test_faults_of_time_name_the_line_and_the_group(hours: Sequence[float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        regular([table([0, 1, 2], "a"), table(hours, "b")])


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
