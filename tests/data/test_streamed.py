"""Series on disk: the rows, the statistics and the windows, beside NumPy's of the same arrays in memory."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jax_lstm.checks import InputError
from jax_lstm.data import DataConfig, Scaler, Trained, load_dataset, streamed
from jax_lstm.data.stored import open_stored
from jax_lstm.data.streamed import last_rows, load_streamed
from jax_lstm.data.table import Columns

RNG = np.random.default_rng(0)
SCALER = Scaler(("0", "1"), np.array([10.0, -3.0]), np.array([2.0, 0.5]))


def trained(scaler: Scaler) -> Trained:
    return Trained(Columns(scaler.columns, ("0",), scaler.columns), None, scaler)


def two_files(folder: Path, rows: tuple[int, int] = (50, 30)) -> dict[str, np.ndarray]:
    """Numbers that tell where they stand: thousands by file, then the row, and their negatives."""
    arrays = {}
    for at, (name, count) in enumerate(zip("ab", rows, strict=True)):
        column = 1000.0 * at + np.arange(count)
        arrays[name] = np.stack([column, -column], axis=1).astype(np.float32)
        np.save(folder / f"{name}.npy", arrays[name])
    return arrays


@pytest.mark.parametrize("dtype", ["f4", ">f8", "<i2", "u1", "?", "f2"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_rows_of_npy(tmp_path: Path, dtype: str, order: Any) -> None:
    array = np.asarray(RNG.integers(0, 100, (20, 3)).astype(dtype), order=order)
    np.save(tmp_path / "a.npy", array)
    for features in ((2, 0), (2, 0, 1), ()):
        (stored,) = open_stored(str(tmp_path / "a.npy"), tuple(map(str, features)), ("0",))
        at = features or (0, 1, 2)
        assert (stored.rows, stored.columns) == (20, tuple(map(str, at)))
        np.testing.assert_array_equal(stored.read(7, 12), array[7:12, at].astype(float))


@pytest.mark.parametrize("target", [("0,1",), ("0, 1",), ("0", "1")])
@pytest.mark.parametrize("features", [(), ("2,0",), ("1",)])
def test_names_are_split_as_in_memory(tmp_path: Path, target: tuple[str, ...], features: tuple[str, ...]) -> None:
    np.save(tmp_path / "a.npy", RNG.normal(size=(60, 3)))
    config = DataConfig(str(tmp_path / "a.npy"), target, features, window=4, horizon=2)
    memory, disk = load_dataset(config), load_streamed(replace(config, stream=True))
    assert (disk.columns.features, disk.columns.target) == (memory.features, memory.target)
    assert disk.columns.target == ("0", "1")
    (end,) = last_rows(config, 5)
    assert set(end.columns) == {*memory.features, *memory.target}


def test_a_file_that_takes_the_name_of_another_is_read_anew(tmp_path: Path) -> None:
    for value in (1.0, 2.0):
        np.save(tmp_path / "new.npy", np.full(5, value))
        (tmp_path / "new.npy").replace(tmp_path / "a.npy")
        (stored,) = open_stored(str(tmp_path / "a.npy"), (), ("0",))
        assert stored.read(4, 5).tolist() == [[value]]


def test_more_files_than_may_be_open(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for at in range(150):
        np.save(tmp_path / f"{at:03}.npy", np.full(5, float(at)))
    series = open_stored(str(tmp_path), (), ("0",))
    held = len(list(Path("/proc/self/fd").iterdir())) if Path("/proc/self/fd").is_dir() else 100
    resource.setrlimit(resource.RLIMIT_NOFILE, (held + 100, hard))
    try:
        assert [one.read(1, 2)[0, 0] for one in series] == list(range(150))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_statistics_are_those_of_the_training_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streamed, "CHUNK_NUMBERS", 33)  # chunks of 11 rows
    scale, shift = np.array([1.0, 1e-3, 1e6]), np.array([1e3, 0.0, -1e9])  # a mean far from 0 against the spread
    arrays = [RNG.normal(size=(rows, 3)) * scale + shift for rows in (100, 47)]
    for name, array in zip("ab", arrays, strict=True):
        np.save(tmp_path / f"{name}.npy", array)
    data = load_streamed(DataConfig(str(tmp_path), ("0",), window=4, horizon=2, split="0.7,0.1,0.2", stream=True))
    train = np.concatenate([arrays[0][:70], arrays[1][:33]])
    np.testing.assert_allclose(data.scaler.mean, train.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(data.scaler.scale, train.std(axis=0), rtol=1e-9)
    assert data.warnings == ()


def test_a_constant_column_is_warned_of_and_becomes_zero(tmp_path: Path) -> None:
    array = np.stack([np.full(100, 0.1), np.arange(100)], axis=1)
    np.save(tmp_path / "a.npy", array)
    data = load_streamed(DataConfig(str(tmp_path / "a.npy"), ("0",), window=4, horizon=2, stream=True))
    assert data.warnings == ("column '0' is constant in the training part, so it teaches the model nothing",)
    assert not data.read("train", np.arange(5))[..., 0].any()


def test_windows_of_each_part(tmp_path: Path) -> None:
    """Two series of 50 and 30 rows, in tenths 7, 1 and 2: training targets end at rows 35 and 21, and so on."""
    two_files(tmp_path)
    config = DataConfig(str(tmp_path), ("0",), window=6, horizon=3, split="0.7,0.1,0.2", stream=True)
    data = load_streamed(config, trained(SCALER))
    expected = {
        "train": [*range(35 - 9 + 1), *range(1000, 1000 + 21 - 9 + 1)],
        "val": [*range(35 - 6, 40 - 9 + 1), 1000 + 21 - 6],
        "test": [*range(40 - 6, 50 - 9 + 1), *range(1000 + 24 - 6, 1000 + 30 - 9 + 1)],
    }
    for part, starts in expected.items():
        assert len(data.windows[part]) == len(starts)
        values = SCALER.restore(data.read(part, np.arange(len(starts))))
        assert values.shape == (len(starts), 9, 2)
        np.testing.assert_array_equal(values[..., 0], np.array(starts)[:, None] + np.arange(9))
        np.testing.assert_array_equal(values[..., 1], -values[..., 0])
    first = SCALER.restore(data.read("test", np.array([0]), lead=5))[0, :, 0]
    np.testing.assert_array_equal(first, np.arange(29, 43))


def test_the_windows_to_score_on_are_spread_evenly(tmp_path: Path) -> None:
    column = np.arange(1000.0)
    np.save(tmp_path / "a.npy", column)
    shape = {"window": 4, "horizon": 2, "split": "600,200,200", "season": 10}
    config = DataConfig(str(tmp_path / "a.npy"), ("0",), **shape, stream=True, eval_windows=7)
    data = load_streamed(config, trained(Scaler(("0",), np.zeros(1), np.ones(1))))
    sample = data.sample(np.float64)
    for part, first, count in (("train", 0, 595), ("val", 596, 199), ("test", 796, 199)):
        starts = sample.starts[part]
        assert len(starts) == 7
        begins = first + np.arange(7) * count // 7
        np.testing.assert_array_equal(sample.inputs[starts, 0], begins)
        np.testing.assert_array_equal(sample.targets[starts[:, None] + np.arange(6), 0], begins[:, None] + np.arange(6))
        if part != "train":  # the season before, for the seasonal-naive forecast
            np.testing.assert_array_equal(sample.targets[starts - 6, 0], begins - 6)
    every = load_streamed(replace(config, eval_windows=10_000), trained(data.scaler)).sample("f4")
    assert every.starts["val"].shape == (199,)


def test_the_last_rows(tmp_path: Path) -> None:
    arrays = two_files(tmp_path, (50, 3))
    a, b = last_rows(DataConfig(str(tmp_path), ("0",), stream=True), 5)
    np.testing.assert_array_equal(a.values, arrays["a"][45:])
    np.testing.assert_array_equal(b.values, arrays["b"])
    assert (a.group, a.first_row, b.first_row) == ("a", 45, 0)


def cut_off(path: Path) -> None:
    np.save(path, np.zeros((50, 2)))
    path.write_bytes(path.read_bytes()[:-1])


def with_nan(path: Path) -> None:
    values = np.zeros((50, 2))
    values[49, 1] = np.nan  # in the test part
    np.save(path, values)


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (
            lambda path: path.with_suffix(".npz").touch(),
            {"csv": "a.npz"},
            r"must read .npy files; .*a.npz \(convert it by",
        ),
        (cut_off, {}, "a.npy: the file is cut off: it has 927 bytes"),
        (with_nan, {}, "a.npy, row 49, column '1': with --stream every value must be a finite number; got nan"),
        (lambda path: np.save(path, np.zeros((5, 2))), {}, "too few rows: the train part needs at least window"),
        (lambda path: np.save(path, np.zeros((50, 2))), {"target": ("y",)}, "no column 'y'; the columns are 0, 1"),
        (lambda path: np.save(path, np.array(["a"] * 50)), {}, "the array must hold numbers; got <U1"),
        (lambda path: np.save(path, np.zeros((0, 2))), {}, "no rows in the file"),
        (lambda path: np.save(path, np.zeros((2, 2, 2))), {}, r"must have shape \(N,\) or \(N, C\)"),
        (lambda path: np.save(path, 1e200 * (-1.0) ** np.arange(50)), {}, "too large"),
        (lambda path: path.write_text("text"), {}, "a.npy: cannot be read: "),
        (lambda path: None, {}, "a.npy: no such file"),
        (lambda path: path.with_suffix(".csv").touch(), {"csv": "a.csv"}, "`--stream` must read .npy files"),
        (lambda path: np.save(path, np.zeros((50, 2))), {"split": "50,10,0"}, "at most the 50 rows of a series"),
    ],
)
def test_faults_are_named(tmp_path: Path, make: Any, options: Any, message: str) -> None:
    make(tmp_path / "a.npy")
    options = {"csv": "a.npy", "target": ("0",), "window": 6, "horizon": 3} | options
    config = DataConfig(**{**options, "csv": str(tmp_path / options["csv"])}, stream=True)
    with pytest.raises(InputError, match=message) as caught:
        load_streamed(config)
    assert "\n" not in str(caught.value)


def test_a_file_that_shrinks_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    np.save(path, np.zeros(50))
    (stored,) = open_stored(str(path), (), ("0",))
    path.write_bytes(path.read_bytes()[:-80])
    with pytest.raises(InputError, match="the file ends before row 50"):
        stored.read(30, 50)
