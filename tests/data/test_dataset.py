"""Data sets: the split, the scaler of the training part alone, and which windows there are and what they hold."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jax_lstm.checks import InputError
from jax_lstm.data import DataConfig, Dataset, Scaler, Trained, input_windows, load_dataset, target_windows

COLUMNS = ("y", "z", "x")
WINDOW, HORIZON = 5, 3
PARTS = ("train", "val", "test")
EDGES = {"0.6,0.2,0.2": (0.6, 0.8, 1.0), "0.5,0.25,0.1": (0.5, 0.75, 0.85)}


def write(path: Path, series: Mapping[str, np.ndarray]) -> str:
    """Hourly rows of each series, (N, 3); a row without any value is left out, a missing value is empty."""
    lines = ["site,time,y,z,x"]
    for site, values in series.items():
        for hour, row in enumerate(values):
            if not np.isnan(row).all():
                stamp = np.datetime64("2020-01-01T00", "h") + np.timedelta64(hour, "h")
                lines.append(",".join([site, f"{stamp}:00", *("" if np.isnan(v) else repr(float(v)) for v in row)]))
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def random_series(rows: int, seed: int) -> np.ndarray:
    """Values of which some are missing; some whole rows are absent, though not the first ones or the last."""
    rng = np.random.default_rng(seed)
    values = rng.standard_normal((rows, 3)) * (1, 10, 100) + (0, 50, -200)
    values[rng.random(values.shape) < 0.04] = np.nan
    values[rng.integers(10, rows - 1, 3)] = np.nan
    values[[0, 1, -1], :2] = 1.0
    return values


@pytest.fixture(scope="module")
def series() -> dict[str, np.ndarray]:
    return {"north": random_series(90, 1), "south": random_series(60, 2), "west": random_series(71, 3)}


@pytest.fixture(scope="module")
def path(series: dict[str, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> str:
    return write(tmp_path_factory.mktemp("data") / "data.csv", series)


def load(path: str, target: Sequence[str] = ("y",), split: str = "0.6,0.2,0.2", **options: Any) -> Dataset:
    return load_dataset(
        DataConfig(
            path, tuple(target), time="time", group="site", window=WINDOW, horizon=HORIZON, split=split, calendar="off"
        ),
        **options,
    )


def parts_by_loop(values: np.ndarray, at: list[int], edges: Sequence[float]) -> dict[str, list[int]]:
    """Every window of one series, by definition: its rows exist, its targets all lie in the part and are known."""
    rows = [0, *(round(len(values) * edge) for edge in edges)]
    starts: dict[str, list[int]] = {part: [] for part in PARTS}
    for part, begin, end in zip(PARTS, rows, rows[1:], strict=False):
        for start in range(len(values)):
            targets = range(start + WINDOW, start + WINDOW + HORIZON)
            if targets[0] >= begin and targets[-1] < end and not np.isnan(values[np.ix_(targets, at)]).any():
                starts[part].append(start)
    return starts


@pytest.mark.parametrize("target", [("y",), ("x",), ("x", "y")])
@pytest.mark.parametrize("split", EDGES)
def test_windows_are_those_of_a_slow_loop(
    path: str, series: dict[str, np.ndarray], target: tuple[str, ...], split: str
) -> None:
    dataset, at = load(path, target, split), [COLUMNS.index(name) for name in target]
    expected: dict[str, list[int]] = {part: [] for part in PARTS}
    first = 0
    for values in series.values():
        for part, starts in parts_by_loop(values, at, EDGES[split]).items():
            expected[part] += [first + start for start in starts]
        first += len(values)
    assert {part: starts.tolist() for part, starts in dataset.starts.items()} == expected
    assert all(starts.dtype == np.int32 for starts in dataset.starts.values())
    assert dataset.first_rows.tolist() == [0, 90, 150]


def standardised_by_loop(series: Mapping[str, np.ndarray], share: float) -> list[list[float]]:
    """Each row of each series: the last value seen, or the training mean; then less the mean, over the deviation."""
    known = []
    for column in range(3):
        values = [row[column] for one in series.values() for row in one[: round(len(one) * share)]]
        known.append([value for value in values if not np.isnan(value)])
    mean = [float(np.mean(values)) for values in known]
    deviation = [float(np.sqrt(np.mean(np.square(np.subtract(values, np.mean(values)))))) for values in known]
    rows = []
    for one in series.values():
        last = list(mean)
        for row in one:
            last = [before if np.isnan(value) else float(value) for value, before in zip(row, last, strict=True)]
            rows.append([(value - m) / d for value, m, d in zip(last, mean, deviation, strict=True)])
    return rows


def test_windows_hold_what_a_slow_loop_finds(path: str, series: dict[str, np.ndarray]) -> None:
    """With the scaler of the training part alone."""
    dataset = load(path, ("x", "y"), dtype=np.float64)
    rows = standardised_by_loop(series, 0.6)
    for starts in (*dataset.starts.values(), np.zeros(0, np.int32)):
        x = input_windows(dataset.inputs, starts, WINDOW)
        y = target_windows(dataset.targets, starts, WINDOW, HORIZON)
        assert x.shape == (len(starts), WINDOW, 3)
        assert y.shape == (len(starts), HORIZON * 2)
        for got_x, got_y, start in zip(x, y, starts, strict=True):
            seen = rows[start : start + WINDOW]
            ahead = rows[start + WINDOW : start + WINDOW + HORIZON]
            np.testing.assert_allclose(got_x, seen, atol=1e-12)
            np.testing.assert_allclose(got_y, [row[at] for row in ahead for at in (2, 0)], atol=1e-12)


def test_a_scaler_of_another_run_is_taken_as_it_is(path: str) -> None:
    other = Scaler(COLUMNS, np.array([1.0, 2.0, 3.0]), np.array([10.0, 20.0, 30.0]))
    own = load(path, dtype=np.float64)
    given = load(path, dtype=np.float64, trained=Trained(own.columns, own.calendar, other))
    assert given.scaler is other
    # Where a value was seen, both stand for the same number.
    np.testing.assert_allclose(other.restore(given.inputs)[2:80], own.scaler.restore(own.inputs)[2:80])
    picked = other.pick(("x", "y"))
    assert (picked.columns, picked.mean.tolist(), picked.scale.tolist()) == (("x", "y"), [3, 1], [30, 10])


def test_gaps_are_counted(path: str, series: dict[str, np.ndarray]) -> None:
    dataset, values = load(path), np.concatenate(list(series.values()))
    absent = np.isnan(values).all(axis=1)
    assert dataset.absent_rows == absent.sum() > 0
    assert dataset.rows == (~absent).sum()
    assert dataset.missing_values == dict(zip(COLUMNS, np.isnan(values[~absent]).sum(axis=0).tolist(), strict=True))
    without_gaps = sum(
        sum(map(len, parts_by_loop(np.zeros_like(one), [0], EDGES["0.6,0.2,0.2"]).values())) for one in series.values()
    )
    assert dataset.dropped_windows == without_gaps - sum(map(len, dataset.starts.values())) > 0


def test_features_and_targets_may_differ(path: str) -> None:
    config = DataConfig(path, ("y",), ("x", "z"), "time", "site", WINDOW, HORIZON, calendar="off")
    dataset, whole = load_dataset(config), load(path, split="0.7,0.1,0.2")
    assert (dataset.features, dataset.target, dataset.input_size, dataset.output_size) == (("x", "z"), ("y",), 2, 3)
    np.testing.assert_array_equal(dataset.inputs, whole.inputs[:, [2, 1]])
    np.testing.assert_array_equal(dataset.targets, whole.targets)
    assert (dataset.inputs.dtype, dataset.targets.dtype) == (np.float32, np.float32)
    assert dataset.times is not None
    assert len(dataset.times) == len(dataset.inputs) == len(dataset.targets) == 221


def plain(tmp_path: Path, values: Sequence[float], split: str) -> Dataset:
    """One series of one column without times."""
    path = tmp_path / "plain.csv"
    path.write_text("y\n" + "".join(f"{value!r}\n" for value in values))
    return load_dataset(DataConfig(str(path), ("y",), window=WINDOW, horizon=HORIZON, split=split))


@pytest.mark.parametrize(
    ("split", "expected"),
    [
        ("0.5,0.25,0.25", ((0, 12), (15, 22), (25, 32))),
        ("20,10,10", ((0, 12), (15, 22), (25, 32))),
        ("20,10,5", ((0, 12), (15, 22), (25, 27))),
        ("8,3,3", ((0, 0), (3, 3), (6, 6))),
        ("30,0,10", ((0, 22), None, (25, 32))),
        ("40,0,0", ((0, 32), None, None)),
    ],
)
def test_splits_by_rows_and_by_fractions(tmp_path: Path, split: str, expected: Sequence[Any]) -> None:
    dataset = plain(tmp_path, range(40), split)
    for part, edges in zip(PARTS, expected, strict=True):
        assert dataset.starts[part].tolist() == ([] if edges is None else list(range(edges[0], edges[1] + 1)))


TOO_FEW = "rows of one series.*; the longest has"


@pytest.mark.parametrize(
    ("values", "split", "message"),
    [
        (range(40), "7,3,3", rf"the train part needs at least window \+ horizon = 8 {TOO_FEW} 7"),
        (range(40), "20,2,3", f"the val part needs at least horizon = 3 {TOO_FEW} 2"),
        (range(40), "0.7,0.25,0.05", f"the test part needs at least horizon = 3 {TOO_FEW} 2"),
        (range(40), "20,10,11", "`--split` must ask for at most the 40 rows of a series; got 20,10,11"),
        (range(40), "40,1,0", "`--split` must ask for at most the 40 rows of a series; got 40,1,0"),
        ([1e200, -1e200] * 20, "20,10,10", r"column 'y' holds values too large to standardise, up to 1e\+200"),
        ([1.0, 2.0] * 19 + [1e300] * 2, "20,10,10", r"column 'y' holds 1e\+300, too far from its mean"),
        ([np.nan] * 20 + [1.0, 2.0] * 10, "20,10,10", "column 'y' has no value in the training part"),
    ],
)
def test_rows_that_cannot_be_used(tmp_path: Path, values: Sequence[float], split: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        plain(tmp_path, values, split)


def test_a_constant_column_warns_and_is_not_divided_by_zero(tmp_path: Path) -> None:
    dataset = plain(tmp_path, [0.1] * 30 + [0.1, 2.1] * 10, "30,10,10")
    (warning,) = dataset.warnings
    assert warning.startswith("column 'y' is constant in the training part")
    assert dataset.scaler.scale.tolist() == [1.0]
    np.testing.assert_allclose(dataset.inputs[:, 0], [0] * 30 + [0, 2] * 10, atol=1e-6)
    assert plain(tmp_path, range(50), "30,10,10").warnings == ()
