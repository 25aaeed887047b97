"""Text files that nobody chose: each is read exactly, or refused in one line; some are trained on and forecast.

The same hundred in every run, and a thousand in the slow one.
"""

import csv
import functools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from odd_files import LOCAL, ODD, STEPS, Odd, options, written

from jax_lstm.checks import InputError
from jax_lstm.cli import main
from jax_lstm.data import DataConfig, read_series
from jax_lstm.data.config import FileConfig
from jax_lstm.data.zones import local_times

plain = functools.partial(
    settings,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.function_scoped_fixture],
)


def config(odd: Odd, path: Path, target: str) -> DataConfig:
    path.write_bytes(written(odd).content)
    group = "shop" if odd.series > 1 else ""
    return DataConfig(str(path), (target,), time="time", group=group, calendar="off", file=FileConfig(**options(odd)))


def check(odd: Odd, path: Path) -> bool:
    """Whether the file was read, which must then be exactly as it was written."""
    expected = written(odd)
    try:
        read = read_series(config(odd, path, expected.columns[0]))
    except InputError as refused:
        said = str(refused)
        assert "\n" not in said
        return False
    for series, (name, times) in zip(read.series, expected.times.items(), strict=True):
        assert series.columns == tuple(expected.columns)
        assert series.group == (name if odd.series > 1 else "")
        np.testing.assert_array_equal(series.times, times)
        np.testing.assert_array_equal(series.values, expected.values[name])
        continued = pd.date_range(times[-1], periods=4, freq=STEPS[odd.step]).to_numpy("datetime64[us]")[1:]
        np.testing.assert_array_equal(series.ahead(3), continued)
    assert sum(series.moved_rows for series in read.series) == expected.moved
    return True


@plain(max_examples=100)
@given(ODD)
def test_a_hundred_files(tmp_path: Path, odd: Odd) -> None:
    check(odd, tmp_path / "odd.csv")


def test_most_files_are_read(tmp_path: Path) -> None:
    """Else the tests above would say little."""
    read: list[bool] = []
    plain(max_examples=60)(given(ODD)(lambda odd: read.append(check(odd, tmp_path / "odd.csv"))))()
    assert np.mean(read) > 0.9


@pytest.mark.slow
@plain(max_examples=1000)
@given(ODD)
def test_a_thousand_files(tmp_path: Path, odd: Odd) -> None:
    check(odd, tmp_path / "odd.csv")


@pytest.mark.slow
def test_twenty_files_trained_on_and_forecast(tmp_path: Path) -> None:
    """The rows of a forecast continue the calendar that was written, in each series."""
    drawn: list[Odd] = []
    plain(max_examples=300)(given(ODD)(lambda odd: drawn.append(odd)))()
    path, done = tmp_path / "odd.csv", 0
    for at in np.random.default_rng(0).permutation(len(drawn)):
        odd = drawn[at]
        if done < 20 and odd.rows >= 20 and check(odd, path):
            forecast(odd, path, tmp_path / f"run{done}")
            done += 1
    assert done == 20


def forecast(odd: Odd, path: Path, run: Path) -> None:
    expected, group = written(odd), ["--group", "shop"] if odd.series > 1 else []
    described = [f"--{name.replace('_', '-')}={value}" for name, value in options(odd).items() if value]
    sizes = ["--window=4", "--horizon=3", "--hidden-size=2", "--epochs=1", "--batch-size=8", "--split=1.0,0,0"]
    columns = ["--target", expected.columns[0], "--time", "time", *group]
    assert main(["train", "--csv", str(path), *columns, *described, *sizes, "--out", str(run)]) == 0, odd
    assert main(["forecast", str(run)]) == 0, odd
    _, *rows = csv.reader((run / "forecast.csv").read_text().splitlines())
    stamps = [row[-2].removesuffix("Z") for row in rows]
    continued = [
        pd.date_range(times[-1], periods=4, freq=STEPS[odd.step]).to_numpy("datetime64[us]")[1:]
        for times in expected.times.values()
    ]
    ahead = np.concatenate(continued)
    ahead = local_times(ahead, "Europe/Berlin") if odd.form == LOCAL else ahead
    np.testing.assert_array_equal(np.array(stamps, "datetime64[us]"), ahead)
