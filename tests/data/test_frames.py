"""Files as frames: text of any form, Parquet, NumPy arrays, DataFrames, folders; and the message for each fault."""

import gzip
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from jax_lstm.checks import InputError, MissingExtraError
from jax_lstm.data import DataConfig, read_series
from jax_lstm.data.columns import numbers
from jax_lstm.data.config import FileConfig
from jax_lstm.data.frames import Frame, of_dataframe, read_frame
from jax_lstm.data.table import read_tables

HOURS = np.datetime64("2020-01-01T00", "h") + np.arange(5)
TABLE = "time,y,x\n2020-01-01,1.5,10\n2020-01-02,2.5,20\n2020-01-03,-3.5,30\n"
HEADER, *ROWS = TABLE.splitlines()


def write(directory: Path, content: str | bytes, name: str = "data.csv") -> str:
    path = directory / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return str(path)


def frame(directory: Path, content: str | bytes, name: str = "data.csv", **options: Any) -> Frame:
    return read_frame(write(directory, content, name), FileConfig(**options))


def parquet(path: Path, **columns: Any) -> str:
    pyarrow = pytest.importorskip("pyarrow")
    pytest.importorskip("pyarrow.parquet").write_table(pyarrow.table(columns), path)
    return str(path)


def npz(path: Path, **arrays: Any) -> str:
    np.savez(path, **arrays)
    return str(path)


def german(text: str) -> str:
    return text.replace(",", ";").replace(".", ",")


@pytest.mark.parametrize(
    ("content", "notes"),
    [
        (TABLE, ()),
        *((TABLE.replace("\n", ending), ()) for ending in ("\r\n", "\r", "\n\n\n")),
        (f"\n\n{TABLE}", ()),
        (TABLE.replace(",", " , "), ()),
        ("\n".join(",".join(f'"{each}"' for each in row.split(",")) for row in (HEADER, *ROWS)), ()),
        (TABLE.replace(",", ";"), ("read with ';' between columns",)),
        (TABLE.replace(",", "\t"), ("read with tabs between columns",)),
        (TABLE.replace(",", "|"), ("read with '|' between columns",)),
        (TABLE.replace(",", "   "), ("read with spaces between columns",)),
        (german(TABLE), ("read with ';' between columns and ',' as decimal sign",)),
        (TABLE.encode("utf-8-sig"), ()),
        (TABLE.encode("utf-16"), ("read as utf-16",)),
        (TABLE.encode("utf-16-le"), ("read as utf-16-le",)),
        (TABLE.encode("utf-16-be"), ("read as utf-16-be",)),
        (gzip.compress(TABLE.encode(), mtime=0), ()),
        (f"Station 12\nin °C\n{TABLE}".encode("cp1252"), ("read as cp1252", "2 lines before the header left out")),
        ("\n".join((HEADER, ",m/s,kWh", *ROWS)), ("a row of units left out: m/s, kWh",)),
        ("\n".join((HEADER, *(f"{row}," for row in ROWS))), ("each row ends with a separator, which was left out",)),
        ("\n".join(f"{row}," for row in (HEADER, *ROWS)), ("an empty column without a name was left out",)),
        (
            "\n".join(f"{row}," for row in ("Station 12", HEADER, *ROWS)).replace("Station 12,", "Station 12"),
            ("1 line before the header left out", "an empty column without a name was left out"),
        ),
        (
            "\n".join(f"{at},{row}" for at, row in zip(("", 0, 1, 2), (HEADER, *ROWS), strict=True)),
            ("the first column, of whole numbers, was left out because it has no name",),
        ),
    ],
)
def test_the_form_of_a_text_is_recognised_and_said(
    tmp_path: Path, content: str | bytes, notes: tuple[str, ...]
) -> None:
    read = read_frame(write(tmp_path, content), FileConfig())
    assert (read.names, read.notes) == (["time", "y", "x"], notes)
    (table,), *_ = read_tables(DataConfig(read.path, ("y",), time="time"))
    np.testing.assert_array_equal(table.values, [[1.5, 10], [2.5, 20], [-3.5, 30]])
    np.testing.assert_array_equal(table.times, np.array(["2020-01-01", "2020-01-02", "2020-01-03"], "datetime64[us]"))


@pytest.mark.parametrize(
    ("content", "options", "expected"),
    [
        ("y\t x\n1\t 2\n", {"separator": "tab"}, [[1, 2]]),
        ("y#x\n1#2\n", {"separator": "#"}, [[1, 2]]),
        ('y,x\n"1,250","2,5"\n', {"decimal": ","}, [[1.25, 2.5]]),
        ('y,x\n"1,250","2.5"\n', {"thousands": ","}, [[1250, 2.5]]),
        ("y;x\n1.250;2,5\n", {"thousands": ".", "decimal": ","}, [[1250, 2.5]]),
        ("title\ny,x\n1,2\n", {"skip_lines": 1}, [[1, 2]]),
        ("title,a\ny,x\n1,2\n", {"skip_lines": 1}, [[1, 2]]),
        ("y,x\n1,-99.9\n-99.90,none\n", {"missing": ("-99.9",)}, [[1, np.nan], [np.nan, np.nan]]),
        ("y,x\n1,missing\n2,M\n", {"missing": ("M", "Missing")}, [[1, np.nan], [2, np.nan]]),
        ("y,x\n1,2\n".encode("utf-32"), {"encoding": "utf-32"}, [[1, 2]]),
    ],
)
def test_options_name_the_form(tmp_path: Path, content: str | bytes, options: Any, expected: list[list[float]]) -> None:
    path = write(tmp_path, content)
    (table,), *_ = read_tables(DataConfig(path, ("y",), file=FileConfig(**options)))
    np.testing.assert_array_equal(table.values, expected)


def test_lines_are_those_of_the_file(tmp_path: Path) -> None:
    """A quoted newline counts as a line."""
    read = frame(tmp_path, 'title\n\nsite,y\n"two\nlines",1\na,2\n\n"two\nlines",3\n')
    assert read.lines is not None
    assert read.lines.tolist() == [5, 6, 9]
    assert read.place(1) == f"{read.path}, line 6"


GOOD = "time,site,y,x\n2020-01-01,a,1,10\n2020-01-02,a,2,20\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", ": the file is empty"),
        ("\n\n\n", ": the file is empty"),
        ("time,site,y,x\n\n\n", ": no rows under the header"),
        ("time,site,y, y\n2020-01-01,a,1,2\n", ", line 1: column 'y' is named twice"),
        (f"{GOOD}2020-01-03,a,3\n", ", line 4: expected 4 fields, as in the header; got 3"),
        (f"{GOOD}2020-01-03,a,3,30,\n", ", line 4: expected 4 fields, as in the header; got 5"),
        (f'{GOOD}2020-01-03,a,"3,30\n', ", line 4: not CSV"),
        (f'{GOOD}2020-01-03,a,"3"3,30\n', ", line 4: not CSV"),
        ("y,,x\n1,2,3\n", ", line 1: column 2 has no name; give it one in the header"),
        (",index,y\na,2,3\n", ", line 1: column 1 has no name; give it one in the header"),
        ('y,x\n"1,234",2\n', ": '1,234' may be 1.234 or 1234; say --decimal , or --thousands ,"),
        (b"y\n\x811\n", ": not text in UTF-8"),  # nor in cp1252
        (b"y,x\n1,2\0\xff\n", ": not text in UTF-8"),
        (TABLE.encode("utf-16") + b"1", ": not text in utf-16"),
    ],
)
def test_a_fault_is_named_with_file_and_line(tmp_path: Path, content: str | bytes, message: str) -> None:
    with pytest.raises(InputError) as caught:
        frame(tmp_path, content)
    said = str(caught.value)
    assert said.startswith(f"{tmp_path / 'data.csv'}{message}")
    assert "\n" not in said


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"separator": "ab"}, "`--separator` must be one character, or tab; got 'ab'"),
        ({"encoding": "latin-99"}, "`--encoding` must name an encoding, as utf-8 or cp1252; got 'latin-99'"),
        ({"encoding": "ascii"}, "not text in ascii: .* (--encoding names another)"),
    ],
)
def test_faults_of_options(tmp_path: Path, options: Any, message: str) -> None:
    with pytest.raises(InputError) as caught:
        frame(tmp_path, "y,é\n1,2\n", **options)
    start, _, end = message.partition(".*")
    assert start in str(caught.value)
    assert str(caught.value).endswith(end)


@pytest.mark.parametrize("name", ["a.npy", "a.npz", "a.parquet", "a.CSV.GZ"])
def test_what_cannot_be_read(tmp_path: Path, name: str) -> None:
    pytest.importorskip("pyarrow")
    with pytest.raises(InputError, match=rf"{name}: no such file$"):
        read_frame(str(tmp_path / name), FileConfig())
    whole = gzip.compress("".join(f"{number}\n" for number in ["y", *range(3000)]).encode())
    altered = bytearray(whole)
    altered[-6] ^= 0xFF  # of the checksum
    for content in (whole[: len(whole) // 2], bytes(altered)):
        with pytest.raises(InputError, match=rf"{name}: cannot be read: ") as caught:
            frame(tmp_path, content, name)
        assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="cannot be read"):
        read_frame(str(tmp_path), FileConfig())


@pytest.mark.parametrize(
    ("name", "arrays", "names", "values"),
    [
        ("a.NPY", np.array([[1, 2], [4, 5]], np.int16), ("0", "1"), [[1, 2], [4, 5]]),
        ("a.npy", np.array([1.5, np.nan]), ("0",), [[1.5], [np.nan]]),
        ("a.npz", {"y": [1.0, 2.0], "x": [[3, 4], [5, 6]], "flag": [True, False]}, ("y", "x.0", "x.1", "flag"),
         [[1, 3, 4, 1], [2, 5, 6, 0]]),
    ],
)  # fmt: skip
def test_columns_of_arrays(tmp_path: Path, name: str, arrays: Any, names: Any, values: Any) -> None:
    path = tmp_path / name
    with path.open("wb") as out:
        np.savez(out, **arrays) if name == "a.npz" else np.save(out, arrays)
    (table,), *_ = read_tables(DataConfig(str(path), names[:1]))
    assert (table.columns, table.values.dtype) == (names, np.float64)
    np.testing.assert_array_equal(table.values, values)


def test_npz_holds_times_and_groups_too(tmp_path: Path) -> None:
    path = npz(tmp_path / "a.npz", y=[1.0, 2.0, 3.0], at=HOURS[:3], site=["b", "a", "b"])
    (b, a), *_ = read_tables(DataConfig(path, ("y",), time="at", group="site"))
    assert (b.group, a.group, b.columns) == ("b", "a", ("y",))
    assert b.values.tolist() == [[1], [3]]
    np.testing.assert_array_equal(b.times, HOURS[[0, 2]])
    assert (b.rows.tolist(), b.place(1), b.zone.offset) == ([0, 2], f"{path}, row 2", "")


def test_parquet_types(tmp_path: Path) -> None:
    stamps = [datetime(2020, 1, 1, hour, tzinfo=UTC) for hour in range(3)]
    columns = {"y": [1, None, 3], "a.b": [0.5, float("nan"), 2.5], "on": [True, False, None], "text": ["1", "NA", None]}
    path = parquet(tmp_path / "a.parquet", time=stamps, **columns)
    (table,), *_ = read_tables(DataConfig(path, ("y",), time="time"))
    assert table.columns == ("y", "a.b", "on", "text")
    nan = np.nan
    np.testing.assert_array_equal(table.values, [[1, 0.5, 1, 1], [nan, nan, 0, nan], [3, 2.5, nan, nan]])
    assert table.zone.offset == "Z"
    np.testing.assert_array_equal(table.times, HOURS[:3])


def test_an_unnamed_index_in_parquet(tmp_path: Path) -> None:
    """Whole numbers that a writer other than pandas kept are left out, and timestamps become a column."""
    read = read_frame(parquet(tmp_path / "a.parquet", y=[1.0, 2.0], __index_level_0__=[0, 1]), FileConfig())
    assert (read.names, read.notes) == (["y"], ("the index column '__index_level_0__' was left out",))
    pd.DataFrame({"y": [1.0, 2.0]}, index=pd.DatetimeIndex(HOURS[:2])).to_parquet(tmp_path / "b.parquet")
    assert read_frame(str(tmp_path / "b.parquet"), FileConfig()).names == ["index", "y"]


class Polars:
    """What is used of a DataFrame of another library."""

    columns = ("t", "y")

    def __getitem__(self, name: str) -> Any:
        return {"t": HOURS[:3], "y": [1, 2, 3]}[name]


INDEX = pd.DatetimeIndex(HOURS[:3])


@pytest.mark.parametrize(
    ("data", "names", "time"),
    [
        (Polars(), ["t", "y"], "t"),
        (pd.DataFrame({"y": [1, 2, 3]}), ["y"], ""),
        (pd.DataFrame({"y": [1, 2, 3]}, index=[5, 2, 7]), ["y"], ""),
        (pd.DataFrame({"y": [1, 2, 3]}, index=INDEX), ["index", "y"], "index"),
        (pd.DataFrame({"y": [1, 2, 3]}, index=INDEX.rename("t")), ["t", "y"], "t"),
        (pd.DataFrame({"y": [1, 2, 3]}, index=INDEX.to_period("h")), ["index", "y"], "index"),
        (pd.Series([1, 2, 3], index=INDEX), ["index", "y"], "index"),
        (pd.DataFrame({"y": pd.array([1, 2, 3], "Int64"), 7: [1, 2, 3]}), ["y", "7"], ""),
    ],
)  # fmt: skip
def test_dataframes(data: Any, names: list[str], time: str) -> None:
    kept = list(data.columns) if hasattr(data, "columns") else None
    assert of_dataframe(data).names == names
    (table,), *_ = read_tables(DataConfig("frame", ("y",), time=time), data=data)
    np.testing.assert_array_equal(table.values[:, 0], [1, 2, 3])
    if time:
        np.testing.assert_array_equal(table.times, HOURS[:3])
    assert kept is None or list(data.columns) == kept


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (3, "`DataFrame` must be a DataFrame; got int"),
        (pd.DataFrame({"y": [1], " y": [2]}), "DataFrame: column 'y' is named twice"),
        (pd.DataFrame({"t": [1]}, index=INDEX[:1].rename("t")), "DataFrame: column 't' is named twice"),
        (pd.DataFrame({"y": []}), "DataFrame: no rows in the file"),
        (pd.DataFrame(), "DataFrame: no columns in the file"),
    ],
)
def test_faults_of_dataframes(data: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        of_dataframe(data)


@pytest.mark.parametrize(
    ("arrays", "options", "message"),
    [
        ({"y": [1.0, np.inf]}, {}, "a.npz, row 1, column 'y': expected a finite number; got .*inf"),
        ({"y": ["1", "x"]}, {}, "a.npz, row 1, column 'y': expected a number; got 'x'"),
        ({"y": ["u", "v"]}, {}, "leave the column out with --ignore y, or encode its classes with --categories y"),
        ({"y": [1.0, 2.0], "t": HOURS[:2]}, {}, "a.npz, column 't': expected numbers; got datetime64.*say --time t;"),
        ({"y": [1j, 2j]}, {}, "column 'y': expected a number; got 1j"),
        ({"x": [1.0]}, {}, "a.npz: no column 'y'; the columns are x"),
        ({"y": [1.0, 2.0], "x": [1.0]}, {}, "array 'x' must have the 2 rows of the array before; got 1"),
        ({"y": np.zeros((2, 2, 2))}, {}, r"array 'y' must have shape \(N,\) or \(N, C\); got \(2, 2, 2\)"),
        ({"y": np.zeros((2, 1)), "y.0": np.zeros(2)}, {}, "column 'y.0' is named twice"),
        ({"y": []}, {}, "a.npz: no rows in the file"),
        ({}, {}, "a.npz: no columns in the file"),
        ({"y": [1.0, 2.0], "t": [3.5, 4.0]}, {"time": "t"}, "row 0, column 't': expected an ISO 8601 timestamp"),
        ({"y": [1.0], "t": ["noon"]}, {"time": "t"}, "row 0, column 't': expected an ISO 8601 timestamp"),
        ({"y": [1.0], "t": [np.datetime64("NaT")]}, {"time": "t"}, "a.npz: cannot be read: "),
        (
            {"y": [1.0], "t": [np.datetime64("NaT", "h")]},
            {"time": "t"},
            "row 0, column 't': expected a timestamp; got none",
        ),
        ({"y": [1.0, 2.0], "t": HOURS[[1, 0]]}, {"time": "t"}, "row 1: timestamp .* comes before that of row 0"),
        ({"y": [1, 2], "t": ["2020-01-01", "2020-01-02T00:00Z"]}, {"time": "t"}, "row 1, column 't': some timestamps"),
        ({"y": np.array([None])}, {}, "cannot be read: Object arrays cannot be loaded"),
    ],
)
def test_faults_of_arrays_are_named(tmp_path: Path, arrays: Any, options: Any, message: str) -> None:
    path = npz(tmp_path / "a.npz", **arrays)
    target = "y.0" if "y.0" in arrays else "y"
    with pytest.raises(InputError, match=message) as caught:
        read_series(DataConfig(path, (target,), **options))
    assert "\n" not in str(caught.value)


def test_each_file_of_a_folder_is_a_series(tmp_path: Path) -> None:
    write(tmp_path, "b,a\n1,2\n", "south.CSV")
    write(tmp_path, "b;a\n5,5;6,5\n", "west.txt")
    npz(tmp_path / "north.npz", a=[3.0], b=[4.0])
    write(tmp_path, "not data", "README.md")
    tables, _, notes, _ = read_tables(DataConfig(str(tmp_path), ("b",)))
    assert [table.group for table in tables] == ["north", "south", "west"]
    assert [table.columns for table in tables] == [("a", "b")] * 3
    assert [table.values.tolist() for table in tables] == [[[3, 4]], [[2, 1]], [[6.5, 5.5]]]
    assert notes == ["read with ';' between columns and ',' as decimal sign"]


@pytest.mark.parametrize(
    ("files", "options", "message"),
    [
        ({"notes.md": ""}, {}, "no file in the folder has one of the suffixes .csv, .csv.gz, .tsv, .tsv.gz, .txt"),
        ({"a.csv": "y\n1\n", "a.csv.gz": ""}, {}, "a.csv and .*a.csv.gz have one name"),
        ({"a.csv": "y\n1\n"}, {"group": "y"}, "`--group` must be left out with a folder"),
        ({"a.csv": "y,x\n1,2\n", "b.csv": "y\n1\n"}, {}, "b.csv: no column 'x'; the columns are y"),
        (
            {"a.csv": "t,y\n2020-01-01,1\n", "b.csv": "t,y\n2020-01-01T00:00Z,1\n"},
            {"time": "t"},
            "b.csv, column 't': timestamps must have an offset from UTC in all files, or in none",
        ),
    ],
)
def test_faults_of_folders_are_named(tmp_path: Path, files: dict[str, str], options: Any, message: str) -> None:
    for name, text in files.items():
        write(tmp_path, text, name)
    with pytest.raises(InputError, match=message):
        read_tables(DataConfig(str(tmp_path), ("y",), **options))


def test_without_pyarrow_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r"a .parquet file needs the package pyarrow: pip install pyarrow, or"):
        read_frame(str(tmp_path / "a.parquet"), FileConfig())


@pytest.mark.parametrize(
    ("field", "decimal", "thousands"),
    [("1,5", ".", ""), ("1,250", ".", ","), ("1,250.5", ".", ","), ("1,250,000", ".", ",")],
)
def test_commas_beside_points_are_no_decimal_signs(tmp_path: Path, field: str, decimal: str, thousands: str) -> None:
    """1,5 beside 2.5 is text, as a list."""
    read = frame(tmp_path, f'y,x\n2.5,"{field}"\n3.25,\n')
    assert (read.decimal, read.thousands) == (decimal, thousands)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("y;x\n1.234;5\n12.345;6\n-999.000;7\n", "1.234"),
        ("y\tx\n1.234\t2000\n999\t6\n", "1.234"),  # x has no point
        ("y,x\n1.234,5\n12.345,6\n", ""),  # as many programs write three decimals
        ("y;x\n1.234;5.000\nnull;-\n", "1.234"),
        ("y;x\n1.234;5.5\n12.345;6.0\n", ""),
        ("y;x\n1.234;5\n0.345;6\n", ""),
        ("y;x\n1.234;5\n1234.567;6\n", ""),
        ("y;x\n1.234;5\n1234;6\n", ""),
        ("y;x\n1.234;5\n1.2e3;6\n", ""),
        ("y;x\n1.234,5;5\n1.234;6\n", ""),
        ("y;x\n1;5\n2;6\n", ""),
    ],
)
def test_numbers_that_may_have_a_point_between_thousands(tmp_path: Path, content: str, said: str) -> None:
    path = write(tmp_path, content)
    note = f"{said} is read as a decimal number; if the point separates thousands, pass --thousands ."
    assert [one for one in read_frame(path, FileConfig()).notes if "decimal number" in one] == [note][: bool(said)]
    assert not any("decimal number" in one for one in read_frame(path, FileConfig(decimal=".")).notes)
    if said:
        read = read_frame(path, FileConfig(thousands="."))
        assert not any("decimal number" in one for one in read.notes)
        (first, *_), plain = numbers(read, "y"), float(content.split("\n")[1].replace(";", "\t").split("\t")[0])
        assert first == 1000 * plain
