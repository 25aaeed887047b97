"""Parquet, .npy, .npz and folders: what is read, and the message for everything that cannot be."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jax_lstm.data.formats import read_tables

from jax_lstm.checks import InputError, MissingExtraError
from jax_lstm.data import DataConfig, read_series

HOURS = np.datetime64("2020-01-01T00", "h") + np.arange(5)


def parquet(path: Path, **columns: Any) -> str:
    pyarrow = pytest.importorskip("pyarrow")
    pytest.importorskip("pyarrow.parquet").write_table(pyarrow.table(columns), path)
    return str(path)


def npz(path: Path, **arrays: Any) -> str:
    np.savez(path, **arrays)
    return str(path)


@pytest.mark.parametrize(
    ("name", "arrays", "asked", "columns", "values"),
    [
        ("a.npy", np.array([[1, 2, 3], [4, 5, 6]], np.int16), ("2", "0", "1"), ("2", "0", "1"), [[3, 1, 2], [6, 4, 5]]),
        ("a.npy", np.array([1.5, np.nan]), ("0",), ("0",), [[1.5], [np.nan]]),
        ("a.npz", {"y": [1.0, 2.0], "x": [[3, 4], [5, 6]], "flag": [True, False]}, (), ("y", "x.0", "x.1", "flag"),
         [[1, 3, 4, 1], [2, 5, 6, 0]]),
    ],
)  # fmt: skip
def test_columns_of_arrays(tmp_path: Path, name: str, arrays: Any, asked: Any, columns: Any, values: Any) -> None:
    path = tmp_path / name
    np.save(path, arrays) if name == "a.npy" else npz(path, **arrays)
    (table,) = read_tables(str(path), asked[:-1], asked[-1:] or ("y",))
    assert (table.columns, table.values.dtype) == (columns, np.float64)
    np.testing.assert_array_equal(table.values, values)


def test_npz_holds_times_and_groups_too(tmp_path: Path) -> None:
    path = npz(tmp_path / "a.npz", y=[1.0, 2.0, 3.0], at=HOURS[:3], site=["b", "a", "b"])
    b, a = read_tables(path, (), ("y",), "at", "site")
    assert (b.group, a.group, b.columns) == ("b", "a", ("y",))
    assert b.values.tolist() == [[1], [3]]
    np.testing.assert_array_equal(b.times, HOURS[[0, 2]])
    assert (b.lines.tolist(), b.unit, b.utc) == ([0, 2], "row", False)


def test_parquet_types(tmp_path: Path) -> None:
    stamps = [datetime(2020, 1, 1, hour, tzinfo=UTC) for hour in range(3)]
    columns = {"y": [1, None, 3], "a.b": [0.5, float("nan"), 2.5], "on": [True, False, None], "text": ["1", "NA", None]}
    path = parquet(tmp_path / "a.parquet", time=stamps, **columns)
    (table,) = read_tables(path, (), ("y",), "time")
    assert table.columns == ("y", "a.b", "on", "text")
    nan = np.nan
    np.testing.assert_array_equal(table.values, [[1, 0.5, 1, 1], [nan, nan, 0, nan], [3, 2.5, nan, nan]])
    assert table.utc
    np.testing.assert_array_equal(table.times, HOURS[:3])


@pytest.mark.parametrize(
    "times", [HOURS[[0, 1, 4]].astype("datetime64[us]"), [f"2020-01-01 0{hour}:00" for hour in (0, 1, 4)]]
)
def test_parquet_times_without_an_offset(tmp_path: Path, times: Any) -> None:
    path = parquet(tmp_path / "a.parquet", when=times, y=[1.0, 2.0, 3.0])
    (series,), _, _ = read_series(DataConfig(path, ("y",), time="when"))
    np.testing.assert_array_equal(series.times, HOURS)
    np.testing.assert_array_equal(series.values[:, 0], [1, 2, np.nan, np.nan, 3])
    assert (series.step, series.utc) == (np.timedelta64(1, "h"), False)


def test_each_file_of_a_folder_is_a_series(tmp_path: Path) -> None:
    (tmp_path / "south.csv").write_text("b,a\n1,2\n")
    npz(tmp_path / "north.npz", a=[3.0], b=[4.0])
    (tmp_path / "README.txt").write_text("not data")
    tables = read_tables(str(tmp_path), (), ("b",))
    assert [table.group for table in tables] == ["north", "south"]
    assert [table.columns for table in tables] == [("a", "b")] * 2
    assert [table.values.tolist() for table in tables] == [[[3, 4]], [[2, 1]]]


@pytest.mark.parametrize(
    ("arrays", "options", "message"),
    [
        ({"y": [1.0, np.inf]}, {}, "a.npz, row 1, column 'y': expected a finite number; got inf"),
        ({"y": ["1", "x"]}, {}, "a.npz, row 1, column 'y': expected a number; got 'x'"),
        ({"y": ["u", "v"]}, {}, "say --time y or --group y"),
        ({"y": [1.0, 2.0], "t": HOURS[:2]}, {}, "a.npz, column 't': expected numbers; got datetime64"),
        ({"y": [1j, 2j]}, {}, "column 'y': expected numbers; got complex128"),
        ({"x": [1.0]}, {}, "a.npz: no column 'y'; the columns are x"),
        ({"y": [1.0, 2.0], "x": [1.0]}, {}, "array 'x' must have the 2 rows of the array before; got 1"),
        ({"y": np.zeros((2, 2, 2))}, {}, r"array 'y' must have shape \(N,\) or \(N, C\); got \(2, 2, 2\)"),
        ({"y": np.zeros((2, 1)), "y.0": np.zeros(2)}, {}, "column 'y.0' is named twice"),
        ({"y": []}, {}, "a.npz: no rows in the file"),
        ({}, {}, "a.npz: no columns in the file"),
        ({"y": [1.0, 2.0], "t": [3.0, 4.0]}, {"time": "t"}, "column 't': expected timestamps; got float64"),
        ({"y": [1.0], "t": ["noon"]}, {"time": "t"}, "row 0, column 't': expected an ISO 8601 timestamp"),
        ({"y": [1.0], "t": [np.datetime64("NaT")]}, {"time": "t"}, "row 0, column 't': expected a timestamp"),
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


@pytest.mark.parametrize("name", ["a.npy", "a.npz", "a.parquet"])
def test_what_is_no_such_file_is_named(tmp_path: Path, name: str) -> None:
    pytest.importorskip("pyarrow")
    with pytest.raises(InputError, match=rf"{name}: no such file"):
        read_tables(str(tmp_path / name), (), ("y",))
    (tmp_path / name).write_text("some text, no more")
    with pytest.raises(InputError, match=rf"{name}: cannot be read: ") as caught:
        read_tables(str(tmp_path / name), (), ("y",))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("files", "options", "message"),
    [
        ({"notes.txt": ""}, {}, "no file in the folder has one of the suffixes .csv, .csv.gz, .parquet, .npy, .npz"),
        ({"a.csv": "y\n1\n", "a.csv.gz": ""}, {}, "a.csv and .*a.csv.gz have one name"),
        ({"a.csv": "y\n1\n"}, {"group": "y"}, "`--group` must be left out with a folder"),
        ({"a.csv": "y,x\n1,2\n", "b.csv": "y\n1\n"}, {}, "b.csv, line 1: no column 'x'"),
        (
            {"a.csv": "t,y\n2020-01-01,1\n", "b.csv": "t,y\n2020-01-01T00:00Z,1\n"},
            {"time": "t"},
            "b.csv, column 't': timestamps must have an offset from UTC in all files, or in none",
        ),
    ],
)
def test_faults_of_folders_are_named(tmp_path: Path, files: dict[str, str], options: Any, message: str) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=message):
        read_tables(str(tmp_path), (), ("y",), **options)


def test_without_pyarrow_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r"a .parquet file needs pyarrow: pip install 'jax-lstm\[data\]'"):
        read_tables(str(tmp_path / "a.parquet"), (), ("y",))
