"""The regular grid of time: its step, its gaps and its faults; and how gaps are filled."""

from collections.abc import Sequence

import numpy as np
import pytest

from jax_lstm.checks import InputError
from jax_lstm.data.series import fill, regular
from jax_lstm.data.table import Table

START = np.datetime64("2020-01-01T00:00", "us")


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
    assert series.times is None
    assert series.absent_rows == 0


def test_a_whole_grid_stays_as_it_is() -> None:
    (series,) = regular([table([0, 1, 2, 3])])
    np.testing.assert_array_equal(series.values, table([0, 1, 2, 3]).values)
    assert series.absent_rows == 0
    assert series.times is not None
    assert series.step == np.timedelta64(1, "h")


def test_gaps_become_rows_of_missing_values() -> None:
    (series,) = regular([table([0, 1, 4, 5, 6, 8])])
    assert series.absent_rows == 3
    expected = [0, 1, np.nan, np.nan, 2, 3, 4, np.nan, 5]
    np.testing.assert_array_equal(series.values, np.stack([expected, np.negative(expected)], axis=1))
    assert series.times is not None
    np.testing.assert_array_equal(series.times, START + np.arange(9) * np.timedelta64(1, "h"))


def test_the_step_is_the_most_common_one_of_all_groups() -> None:
    # By itself, the second series would have a step of two hours.
    first, second = regular([table([0, 1, 2, 3, 4], "a"), table([0.5, 2.5, 4.5], "b")])
    assert (first.absent_rows, second.absent_rows) == (0, 2)
    assert second.times is not None
    np.testing.assert_array_equal(second.times, START + (np.arange(5) + 0.5) * np.timedelta64(3600, "s"))
    assert (first.group, second.group) == ("a", "b")


def test_a_single_row_is_a_series() -> None:
    (series,) = regular([table([5])])
    assert len(series.values) == 1
    assert series.absent_rows == 0


FAULTS = {
    "unsorted": ([0, 1, 3, 2, 4], r"data\.csv, line 5: timestamp 2020-01-01T02:00:00\S* comes before that of line 4"),
    "repeated": ([0, 1, 2, 2, 3], r"data\.csv, line 5: timestamp 2020-01-01T02:00:00\S* repeats that of line 4"),
    "off the grid": ([0, 1, 2, 2.5, 3], r"data\.csv, line 5: timestamp 2020-01-01T02:30:00\S* is off the grid of 1:00"),
    "huge gap": ([0, 1, 2, 3, 9000], r"data\.csv, line 6: 8996 rows of 1:00:00 are missing before 2021-01-10"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_of_time_name_the_line(fault: str) -> None:
    hours, message = FAULTS[fault]
    with pytest.raises(InputError, match=message):
        regular([table(hours)])


def test_faults_of_time_name_the_group() -> None:
    with pytest.raises(InputError, match=r"line 3: timestamp \S+ of 'b' repeats"):
        regular([table([0, 1, 2], "a"), table([0, 0], "b")])


def test_groups_may_cover_the_same_time() -> None:
    assert len(regular([table([0, 1], "a"), table([0, 1], "b")])) == 2


def test_a_long_gap_that_is_not_most_of_the_series_is_filled() -> None:
    (series,) = regular([table([*range(10), 900])])
    assert len(series.values) == 901
    assert series.absent_rows == 890


def filled_by_loop(values: np.ndarray, start: np.ndarray) -> np.ndarray:
    result, last = [], list(start)
    for row in values:
        last = [before if np.isnan(value) else value for value, before in zip(row, last, strict=True)]
        result.append(last)
    return np.array(result)


def with_gaps(seed: int, share: float) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.where(rng.random((40, 3)) < share, np.nan, rng.standard_normal((40, 3)))


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 1.0])
def test_fill_carries_the_last_value_forward(share: float) -> None:
    values, start = with_gaps(1, share), np.array([10.0, 20.0, 30.0])
    kept = values.copy()
    np.testing.assert_array_equal(fill(values, start), filled_by_loop(values, start))
    np.testing.assert_array_equal(values, kept)


def test_fill_takes_the_start_before_the_first_value() -> None:
    values = np.array([[np.nan, 1.0], [np.nan, np.nan], [2.0, np.nan]])
    assert fill(values, np.array([7.0, 8.0])).tolist() == [[7, 1], [7, 1], [2, 1]]


def test_fill_never_looks_ahead() -> None:
    values, start = with_gaps(2, 0.5), np.zeros(3)
    whole = fill(values, start)
    for row in range(len(values)):
        changed = values.copy()
        changed[row + 1 :] = 1e6
        np.testing.assert_array_equal(fill(changed, start)[: row + 1], whole[: row + 1])
