"""Reading CSV files: what is read, and the message for everything that cannot be."""

import gzip
import re
from pathlib import Path

import numpy as np
import pytest

from jax_lstm.checks import InputError
from jax_lstm.data.table import read_csv

GOOD = "time,y,x\n2020-01-01,1,10\n2020-01-02,2,20\n"


def write(directory: Path, content: str | bytes, name: str = "data.csv") -> str:
    path = directory / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return str(path)


def test_values_come_in_the_order_asked_for_with_each_column_once(tmp_path: Path) -> None:
    path = write(tmp_path, "c,b,a\n1,2,3\n4,5,6\n")
    (table,) = read_csv(path, ("a", "b"), ("c", "b"))
    assert table.columns == ("a", "b", "c")
    assert table.values.dtype == np.float64
    assert table.values.tolist() == [[3, 2, 1], [6, 5, 4]]
    assert table.times is None
    assert table.lines.tolist() == [2, 3]


def test_without_features_all_columns_but_time_and_group_are_read(tmp_path: Path) -> None:
    path = write(tmp_path, "time,a,site,b\n2020-01-01,1,north,2\n")
    (table,) = read_csv(path, (), ("b",), "time", "site")
    assert table.columns == ("a", "b")
    assert table.group == "north"


@pytest.mark.parametrize("text", ["", " ", "NA", "na", "NaN", "nan", "null", "None"])
def test_missing_values_are_nan(tmp_path: Path, text: str) -> None:
    (table,) = read_csv(write(tmp_path, f"a,b\n1,{text}\n"), (), ("a",))
    np.testing.assert_array_equal(table.values, [[1, np.nan]])


def test_spaces_around_names_and_numbers_are_ignored(tmp_path: Path) -> None:
    (table,) = read_csv(write(tmp_path, " a , b\n 1 ,-2.5e1\t\n"), (), ("b",))
    assert table.columns == ("a", "b")
    assert table.values.tolist() == [[1, -25]]


def test_groups_come_as_they_first_appear_with_their_own_rows(tmp_path: Path) -> None:
    tables = read_csv(write(tmp_path, "site,y\nb,1\na,2\nb,3\na,4\n"), (), ("y",), group="site")
    assert [table.group for table in tables] == ["b", "a"]
    assert [table.values[:, 0].tolist() for table in tables] == [[1, 3], [2, 4]]
    assert [table.lines.tolist() for table in tables] == [[2, 4], [3, 5]]


def test_blank_lines_are_skipped_and_counted(tmp_path: Path) -> None:
    (table,) = read_csv(write(tmp_path, "\ny\n\n1\n\n\n2\n\n"), (), ("y",))
    assert table.values[:, 0].tolist() == [1, 2]
    assert table.lines.tolist() == [4, 7]


def test_a_quoted_newline_counts_as_a_line(tmp_path: Path) -> None:
    text = 'site,y\n"two\nlines",1\nplain,2\nplain,oops\n'
    with pytest.raises(InputError, match=r"line 5, column 'y'"):
        read_csv(write(tmp_path, text), (), ("y",), group="site")
    tables = read_csv(write(tmp_path, text.replace("oops", "3")), (), ("y",), group="site")
    assert [table.group for table in tables] == ["two\nlines", "plain"]
    assert tables[1].lines.tolist() == [4, 5]


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_byte_order_mark_and_line_endings_change_nothing(tmp_path: Path, mark: str, ending: str) -> None:
    path = write(tmp_path, mark + GOOD.replace("\n", ending))
    (table,) = read_csv(path, (), ("y",), "time")
    assert table.columns == ("y", "x")
    assert table.values.tolist() == [[1, 10], [2, 20]]


def test_a_gzip_file_reads_as_its_content(tmp_path: Path) -> None:
    (plain,) = read_csv(write(tmp_path, GOOD), (), ("y",), "time")
    (zipped,) = read_csv(write(tmp_path, gzip.compress(GOOD.encode()), "data.csv.gz"), (), ("y",), "time")
    np.testing.assert_array_equal(zipped.values, plain.values)
    np.testing.assert_array_equal(zipped.lines, plain.lines)
    assert plain.times is not None
    np.testing.assert_array_equal(zipped.times, plain.times)


FAULTS = {
    "empty": ("", "the file is empty"),
    "blank lines alone": ("\n\n\n", "the file is empty"),
    "header alone": ("time,y,x\n", "no rows under the header"),
    "header and blank lines": ("time,y,x\n\n\n", "no rows under the header"),
    "missing column": ("time,x\n2020-01-01,1\n", ", line 1: no column 'y'; the columns are time, x"),
    "column named twice": ("time,y, y\n2020-01-01,1,2\n", ", line 1: column 'y' is named twice"),
    "text": (GOOD + "2020-01-03,three,30\n", ", line 4, column 'y': expected a number; got 'three'"),
    "infinity": (GOOD + "2020-01-03,inf,30\n", ", line 4, column 'y': expected a finite number; got 'inf'"),
    "overflow": (GOOD + "2020-01-03,3,-1e999\n", ", line 4, column 'x': expected a finite number; got '-1e999'"),
    "short row": (GOOD + "2020-01-03,3\n", ", line 4: expected 3 fields, as in the header; got 2"),
    "long row": (GOOD + "2020-01-03,3,30,\n", ", line 4: expected 3 fields, as in the header; got 4"),
    "open quote": (GOOD + '2020-01-03,"3,30\n', ", line 4: not CSV"),
    "text after a quote": (GOOD + '2020-01-03,"3"3,30\n', ", line 4: not CSV"),
    "no timestamp": (GOOD + "yesterday,3,30\n", ", line 4, column 'time': expected an ISO 8601 timestamp"),
    "empty timestamp": (GOOD + ",3,30\n", ", line 4, column 'time': expected an ISO 8601 timestamp"),
    "timestamp beyond the calendar": (
        GOOD + "0001-01-01T00:00+05:00,3,30\n",
        ", line 4, column 'time': expected an ISO",
    ),
    "underscore in a number": (GOOD + "2020-01-03,1_0,30\n", ", line 4, column"),
    "offset in some timestamps": (
        GOOD + "2020-01-03T00:00Z,3,30\n",
        ", line 4, column 'time': some timestamps have an offset",
    ),
    "Latin-1": (GOOD.encode() + "2020-01-03,é,3\n".encode("latin-1"), ": not UTF-8 text"),
    "UTF-16": (GOOD.encode("utf-16"), ": not UTF-8 text"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_named_with_file_line_and_column(tmp_path: Path, fault: str) -> None:
    content, message = FAULTS[fault]
    path = write(tmp_path, content)
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        read_csv(path, (), ("y",), "time")
    assert str(caught.value).startswith(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["time", "group", "features"])
def test_every_named_column_must_be_there(tmp_path: Path, name: str) -> None:
    asked = {"features": ("y",), name: ("gone",) if name == "features" else "gone"}
    with pytest.raises(InputError, match="no column 'gone'"):
        read_csv(write(tmp_path, GOOD), target=("y",), **asked)


@pytest.mark.parametrize(("line", "hinted"), [(2, True), (3, False)])
def test_text_in_the_first_row_is_taken_for_a_column_of_names(tmp_path: Path, line: int, hinted: bool) -> None:
    rows = ["y", "1", "2", "3"]
    rows[line - 1] = "north"
    with pytest.raises(InputError, match=f"line {line}, column 'y'") as caught:
        read_csv(write(tmp_path, "\n".join(rows)), (), ("y",))
    assert ("--group y" in str(caught.value)) == hinted


def test_a_missing_file_and_a_directory(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.csv: no such file$"):
        read_csv(str(tmp_path / "none.csv"), (), ("y",))
    with pytest.raises(InputError, match="cannot be read"):
        read_csv(str(tmp_path), (), ("y",))


def test_gzip_files_that_are_truncated_altered_or_none(tmp_path: Path) -> None:
    whole = gzip.compress("".join(f"{number}\n" for number in ["y", *range(3000)]).encode())
    altered = bytearray(whole)
    altered[-6] ^= 0xFF  # of the checksum
    for content in (whole[: len(whole) // 2], bytes(altered), GOOD.encode()):
        with pytest.raises(InputError, match=r"data\.csv\.gz: cannot be read"):
            read_csv(write(tmp_path, content, "data.csv.gz"), (), ("y",))


def test_offsets_from_utc_become_utc(tmp_path: Path) -> None:
    text = "time,y\n2020-01-01T02:00+02:00,1\n2019-12-31T20:00-05:00,2\n2020-01-01T02:00Z,3\n"
    (table,) = read_csv(write(tmp_path, text), (), ("y",), "time")
    assert table.utc
    hours = ["2020-01-01T00", "2020-01-01T01", "2020-01-01T02"]
    np.testing.assert_array_equal(table.times, np.array(hours, "datetime64[us]"))


def test_timestamps_without_offset_stay_as_they_are(tmp_path: Path) -> None:
    (table,) = read_csv(write(tmp_path, "time,y\n2020-01-01 12:34:56.5,1\n20200102,2\n"), (), ("y",), "time")
    assert not table.utc
    expected = np.array(["2020-01-01T12:34:56.500000", "2020-01-02"], "datetime64[us]")
    np.testing.assert_array_equal(table.times, expected)


def test_offsets_must_not_differ_between_groups(tmp_path: Path) -> None:
    text = "time,site,y\n2020-01-01,a,1\n2020-01-01T00:00Z,b,1\n"
    with pytest.raises(InputError, match="some timestamps have an offset from UTC and some have none"):
        read_csv(write(tmp_path, text), (), ("y",), "time", "site")
