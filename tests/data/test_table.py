"""Reading CSV files: what is read, and the message for everything that cannot be."""

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jax_lstm.checks import InputError
from jax_lstm.data.table import Table, read_csv

GOOD = "time,y,x\n2020-01-01,1,10\n2020-01-02,2,20\n"


def write(directory: Path, content: str | bytes, name: str = "data.csv") -> str:
    path = directory / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return str(path)


def tables(tmp_path: Path, content: str, **asked: Any) -> list[Table]:
    return read_csv(write(tmp_path, content), **({"features": (), "target": ("y",)} | asked))


@pytest.mark.parametrize(
    ("content", "asked", "columns", "values", "lines"),
    [
        (
            "y,b,a\n1,2,3\n4,5,6\n",
            {"features": ("a", "b"), "target": ("y", "b")},
            "aby",
            [[3, 2, 1], [6, 5, 4]],
            [2, 3],
        ),
        ("time,a,site,y\n2020-01-01,1,north,2\n", {"time": "time", "group": "site"}, "ay", [[1, 2]], [2]),
        (" a , y\n 1 ,-2.5e1\t\n", {}, "ay", [[1, -25]], [2]),
        ("\ny\n\n1\n\n\n2\n\n", {}, "y", [[1], [2]], [4, 7]),
        *(
            (f"y,b\n1,{missing}\n", {}, "yb", [[1, np.nan]], [2])
            for missing in ("", " ", "NA", "na", "NaN", "nan", "null", "None")
        ),
        *(
            (mark + GOOD.replace("\n", ending), {"time": "time"}, "yx", [[1, 10], [2, 20]], [2, 3])
            for ending in ("\n", "\r\n", "\r")
            for mark in ("", "\ufeff")
        ),
    ],
)
def test_columns_values_and_lines(
    tmp_path: Path, content: str, asked: dict[str, Any], columns: str, values: list[list[float]], lines: list[int]
) -> None:
    (table,) = tables(tmp_path, content, **asked)
    assert table.columns == tuple(columns)
    np.testing.assert_array_equal(table.values, values)
    assert (table.values.dtype, table.lines.tolist()) == (np.float64, lines)


def test_groups_come_as_they_first_appear_with_their_own_rows(tmp_path: Path) -> None:
    """A quoted newline counts as a line."""
    found = tables(tmp_path, 'site,y\n"two\nlines",1\na,2\n"two\nlines",3\na,4\n', group="site")
    assert [table.group for table in found] == ["two\nlines", "a"]
    assert [table.values[:, 0].tolist() for table in found] == [[1, 3], [2, 4]]
    assert [table.lines.tolist() for table in found] == [[3, 6], [4, 7]]


def test_a_gzip_file_reads_as_its_content(tmp_path: Path) -> None:
    (table,) = read_csv(write(tmp_path, gzip.compress(GOOD.encode()), "data.csv.gz"), (), ("y",), "time")
    assert (table.values.tolist(), table.lines.tolist()) == ([[1, 10], [2, 20]], [2, 3])


@pytest.mark.parametrize(
    ("stamps", "utc", "expected"),
    [
        (("2020-01-01 12:34:56.5", "20200102"), False, ["2020-01-01T12:34:56.500000", "2020-01-02"]),
        (
            ("2020-01-01T02:00+02:00", "2019-12-31T20:00-05:00", "2020-01-01T02:00Z"),
            True,
            ["2020-01-01T00", "2020-01-01T01", "2020-01-01T02"],
        ),
    ],
)
def test_offsets_from_utc_become_utc(tmp_path: Path, stamps: tuple[str, ...], utc: bool, expected: list[str]) -> None:
    (table,) = tables(tmp_path, "time,y\n" + "".join(f"{stamp},1\n" for stamp in stamps), time="time")
    assert table.utc == utc
    np.testing.assert_array_equal(table.times, np.array(expected, "datetime64[us]"))


HEAD = "time,site,y,x\n2020-01-01,a,1,10\n2020-01-02,a,2,20\n"
ROWS = [  # of line 4
    ("2020-01-03,a,three,30", ", line 4, column 'y': expected a number; got 'three'\n"),
    ("2020-01-03,a,inf,30", ", line 4, column 'y': expected a finite number; got 'inf'"),
    ("2020-01-03,a,3,-1e999", ", line 4, column 'x': expected a finite number; got '-1e999'"),
    ("2020-01-03,a,1_0,30", ", line 4, column 'y': expected a number; got '1_0'"),
    ("2020-01-03,a,3", ", line 4: expected 4 fields, as in the header; got 3"),
    ("2020-01-03,a,3,30,", ", line 4: expected 4 fields, as in the header; got 5"),
    ('2020-01-03,a,"3,30', ", line 4: not CSV"),
    ('2020-01-03,a,"3"3,30', ", line 4: not CSV"),
    ("yesterday,a,3,30", ", line 4, column 'time': expected an ISO 8601 timestamp"),
    (",a,3,30", ", line 4, column 'time': expected an ISO 8601 timestamp"),
    ("0001-01-01T00:00+05:00,a,3,30", ", line 4, column 'time': expected an ISO 8601 timestamp"),  # before year 1
    ("2020-01-03T00:00Z,a,3,30", ", line 4, column 'time': some timestamps have an offset from UTC and some have none"),
    ("2020-01-03T00:00Z,b,3,30", ", line 4, column 'time': some timestamps have an offset from UTC and some have none"),
]
FILES: list[tuple[str | bytes, str]] = [
    ("", ": the file is empty"),
    ("\n\n\n", ": the file is empty"),
    ("time,site,y,x\n\n\n", ": no rows under the header"),
    ("time,site,x\n2020-01-01,a,1\n", ", line 1: no column 'y'; the columns are time, site, x"),
    ("time,site,y\n2020-01-01,a,1\n", ", line 1: no column 'x'"),
    ("site,y,x\na,1,2\n", ", line 1: no column 'time'"),
    ("time,y,x\n2020-01-01,1,2\n", ", line 1: no column 'site'"),
    ("time,site,y, y\n2020-01-01,a,1,2\n", ", line 1: column 'y' is named twice"),
    (
        HEAD.replace("a,1", "a,x"),
        ", line 2, column 'y': expected a number; got 'x' (if 'y' has timestamps or names, say",
    ),
    (HEAD.encode() + "2020-01-03,é,3,30\n".encode("latin-1"), ": not UTF-8 text"),
    (HEAD.encode("utf-16"), ": not UTF-8 text"),
]


@pytest.mark.parametrize(("content", "message"), [*FILES, *((f"{HEAD}{row}\n", message) for row, message in ROWS)])
def test_a_fault_is_named_with_file_line_and_column(tmp_path: Path, content: str | bytes, message: str) -> None:
    path = write(tmp_path, content)
    with pytest.raises(InputError) as caught:
        read_csv(path, ("x",), ("y",), "time", "site")
    said = str(caught.value)
    assert (said + "\n").startswith(path + message)
    assert "\n" not in said


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.csv: no such file$"):
        read_csv(str(tmp_path / "none.csv"), (), ("y",))
    with pytest.raises(InputError, match="cannot be read"):
        read_csv(str(tmp_path), (), ("y",))
    whole = gzip.compress("".join(f"{number}\n" for number in ["y", *range(3000)]).encode())
    altered = bytearray(whole)
    altered[-6] ^= 0xFF  # of the checksum
    for content in (whole[: len(whole) // 2], bytes(altered), GOOD.encode()):
        with pytest.raises(InputError, match=r"data\.csv\.gz: cannot be read"):
            read_csv(write(tmp_path, content, "data.csv.gz"), (), ("y",))
