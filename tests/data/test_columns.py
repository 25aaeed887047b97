"""Columns as numbers and as classes, and the message for what is neither."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from jax_lstm.checks import InputError
from jax_lstm.data.columns import classes_of, encoded, number, numbers, rows_by, suspect
from jax_lstm.data.frames import Frame

NAN = np.nan


def frame(values: Any, **options: Any) -> Frame:
    return Frame("a.csv", pd.DataFrame({"y": values}), np.arange(len(values)) + 2, **options)


@pytest.mark.parametrize(
    ("texts", "options", "expected"),
    [
        (["1", " -2.5e1\t", "+.5", "3."], {}, [1, -25, 0.5, 3]),
        (["1", "", " ", "NA", "nan", "NULL", "None", "n/a", "-", "?", "NaT"], {}, [1, *[NAN] * 10]),
        (["True", "FALSE", "true", ""], {}, [1, 0, 1, NAN]),
        (["0.1", "2.7755575615628914e-17", "9007199254740993"], {}, [0.1, 2.0**-55, 9007199254740992]),  # exact
        (["1 234", "12\u00a0345,5", "1'234'567"], {"decimal": ","}, [1234, 12345.5, 1234567]),
        (["1,234", "1,234,567.5", "12"], {"thousands": ","}, [1234, 1234567.5, 12]),
        (["1.234", "1.234.567,5", "1,25"], {"thousands": ".", "decimal": ","}, [1234, 1234567.5, 1.25]),
        (["1,5e3", "-,5"], {"decimal": ","}, [1500, -0.5]),
        (["1", "M", "m"], {"missing": ("M",)}, [1, NAN, NAN]),
        ([1, None, 2.5], {}, [1, NAN, 2.5]),
        ([True, False], {}, [1, 0]),
        (pd.array([1, None], "Int64"), {}, [1, NAN]),
        (pd.array([True, None], "boolean"), {}, [1, NAN]),
        (np.array([1, 2], np.uint8), {}, [1, 2]),
        (pd.Categorical(["1", "2"]), {}, [1, 2]),
    ],
)
def test_numbers(texts: Any, options: dict[str, Any], expected: list[float]) -> None:
    found = numbers(frame(texts, **options), "y")
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, expected)


def test_markers_of_missing_values_are_numbers_or_words() -> None:
    np.testing.assert_array_equal(
        numbers(frame(["-999", "x", "-999.00", "1"], missing=("-999", "x")), "y"), [NAN, NAN, NAN, 1]
    )
    np.testing.assert_array_equal(numbers(frame([-999.0, 1.0], missing=("-999",)), "y"), [NAN, 1])


@pytest.mark.parametrize(
    ("texts", "options", "message"),
    [
        (["1", "2", "three"], {}, "a.csv, line 4, column 'y': expected a number; got 'three'"),
        (["1", "-1e999"], {}, "a.csv, line 3, column 'y': expected a finite number; got '-1e999'"),
        (["1", "inf"], {}, "a.csv, line 3, column 'y': expected a finite number; got 'inf'"),
        (["1", "2", "1_0"], {}, "a.csv, line 4, column 'y': expected a number; got '1_0'"),
        (["1", "2", "1,5"], {}, "a.csv, line 4, column 'y': expected a number; got '1,5'"),
        (["1", "2", "12 34"], {}, "a.csv, line 4, column 'y': expected a number; got '12 34'"),
        (["1", "2", "1,23"], {"thousands": ","}, "a.csv, line 4, column 'y': expected a number; got '1,23'"),
        (["1", "2", "1.5"], {"decimal": ","}, "got '1.5' (the file was read with ',' as decimal sign)"),
        (["a", "b"], {}, "(leave the column out with --ignore y, or encode its classes with --categories y)"),
        (["", "b", ""], {}, "line 3, column 'y': expected a number; got 'b' (leave the column out with --ignore y"),
        (["2024-01-01", "2024-01-02"], {}, "(if 'y' has timestamps, say --time y; else leave it out with --ignore y)"),
        (pd.to_datetime(["2024-01-01"]), {}, "a.csv, column 'y': expected numbers; got datetime64"),
    ],
)
def test_a_fault_is_named_with_line_and_column(texts: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        numbers(frame(texts, **options), "y")
    said = str(caught.value)
    assert message in said
    assert "\n" not in said


def test_one_number_as_a_column_has_it() -> None:
    assert [number(text, "here") for text in (" 1.5", "true", "1 234")] == [1.5, 1, 1234]
    assert np.isnan(number("NA", "here"))
    for text, kind in (("x", "a number"), ("inf", "a finite number"), ("1_0", "a number")):
        with pytest.raises(InputError, match=f"^here: expected {kind}; got {text!r}"):
            number(text, "here")


def test_classes() -> None:
    data = frame(["b", "a ", "", "b", "NA"])
    assert classes_of(data, "y") == ("a", "b")
    found = encoded(data, "y", ("a", "b"), "error")
    assert {name: values.tolist() for name, values in found.items()} == {"y=a": [0, 1, 0, 0, 0], "y=b": [1, 0, 0, 1, 0]}
    assert encoded(data, "y", ("a",), "other")["y=a"].tolist() == [0, 1, 0, 0, 0]
    with pytest.raises(InputError, match=r"a\.csv, line 2, column 'y': 'b' is not one of the classes in training: a "):
        encoded(data, "y", ("a",), "error")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, 2, 3, 4, -999, -999, -999], -999),
        ([1, 2, 3, 4, 9999, 9999, 9999, NAN], 9999),
        ([1, 2, 3, 4, -999, -999], None),  # too few
        ([1, 2, 3, 4, -5, -5, -5], None),  # too near
        ([230, 231, 232, 233, 0, 0, 0], None),  # a machine that is off
        ([0, 1, 0, 1, 100, 100, 100], None),  # few values
        ([*np.arange(50) ** 3, 50**3, 50**3, 50**3], None),  # a long tail
        ([], None),
        ([NAN, NAN], None),
    ],
)
def test_a_value_far_outside_all_others_is_suspect(values: list[float], expected: float | None) -> None:
    assert suspect(np.array(values, np.float64)) == expected


def test_rows_by_group_in_order_of_appearance() -> None:
    found = rows_by(["b", "a", "b", "", "a"])
    assert {name: rows.tolist() for name, rows in found.items()} == {"b": [0, 2], "a": [1, 4], "": [3]}
    assert list(found) == ["b", "a", ""]
