"""`jax-lstm forecast --stream`: after each row what `jax-lstm forecast` would say of the file up to it."""

import csv
import io
import itertools
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from processes import PROGRAM
from small_run import HORIZON, SMALL, WINDOW, call, noisy_sine, write

from jax_lstm.checks import InputError
from jax_lstm.cli import main
from jax_lstm.data.series import fill
from jax_lstm.tasks import open_run
from jax_lstm.tasks.forecast import agreement
from jax_lstm.tasks.online import Online

ROWS = 36
ABSENT = {4, *range(9, 12), *range(18, 28)}  # rows that a file with times lacks: one, some, more than a window
Prints = Callable[..., str]
pytestmark = pytest.mark.usefixtures("without_pictures")


def lines(time: bool, group: bool = False) -> list[str]:
    """Two columns; some values are missing, and with times some rows."""
    made = [",".join([*(["site"] if group else []), *(["time"] if time else []), "y", "x"])]
    for at in range(ROWS):
        if time and at in ABSENT:
            continue
        for site in ("s0", "s1") if group else ("",):
            shift = 3 if site == "s1" else 0
            y = "" if at in (0, 13) else f"{20 + 5 * np.sin(at / 4) + shift:.3f}"
            x = "" if at == 15 else f"{np.cos(at / 5) + shift:.3f}"
            stamp = np.datetime64("2024-01-01T00:00:00") + np.timedelta64(at, "h")
            made.append(",".join([*([site] if group else []), *([str(stamp)] if time else []), y, x]))
    return made


@pytest.fixture
def stream(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Prints:
    def run(run: Path, text: str, status: int = 0) -> str:
        path = tmp_path / "in.csv"
        path.write_text(text)
        with path.open() as file:
            monkeypatch.setattr(sys, "stdin", file)
            capfd.readouterr()
            assert main(["forecast", str(run), "--stream"]) == status
        said = capfd.readouterr()
        return said.out if status == 0 else said.err

    return run


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


@pytest.mark.parametrize(
    ("time", "group", "options"),
    [
        (True, False, ()),
        pytest.param(True, False, ("--seeds", "0:3"), marks=pytest.mark.slow),
        pytest.param(True, True, ("--precision", "bfloat16"), marks=pytest.mark.slow),
        pytest.param(False, False, ("--x64", "--num-layers", 2, "--proj-size", 3), marks=pytest.mark.slow),
        pytest.param(True, False, ("--network", "tutorial", "--bidirectional"), marks=pytest.mark.slow),
    ],
)
def test_it_says_what_forecast_says_of_the_file_up_to_there(
    time: bool, group: bool, options: tuple[str, ...], trained: Path, stream: Prints, tmp_path: Path
) -> None:
    run, text = trained, lines(time, group)
    if options:
        run, series = tmp_path / "run", [noisy_sine(seed=site) for site in range(1 + group)]
        columns = (*(("--time", "time") if time else ()), *(("--group", "site") if group else ()))
        data = ("--csv", write(tmp_path / "data.csv", *series, time=time), "--target", "x", "y", *columns)
        assert call("train", *data, *SMALL, *options, "--out", run) == 0
    found = rows_of(stream(run, "\n".join(text) + "\n"))
    assert len(found) == len(text) - 1
    ends = ("", " seeds low", " seeds high") if "--seeds" in options else ("",)
    close = 2e-2 if "bfloat16" in options else 1e-5
    first = WINDOW * (1 + group)  # rows of all groups until each has a window of them
    for upto in (first, 2 * first, len(text) * 2 // 3, len(text) - 1):  # the second has missing values in its window
        path, out = tmp_path / "upto.csv", tmp_path / "upto.out.csv"
        path.write_text("\n".join(text[: upto + 1]) + "\n")
        told = found[upto - 1]
        site = told.get("site", "")
        assert call("forecast", run, "--csv", path, "--out", out) == 0
        expected = [row for row in rows_of(out.read_text()) if row.get("site", site) == site]
        for column, end in itertools.product(open_run(run).target, ends):
            got = [float(told[f"{column}+{step}{end}"]) for step in range(1, HORIZON + 1)]
            np.testing.assert_allclose(got, [float(row[column + end]) for row in expected], rtol=close, atol=1e-6)


@pytest.mark.slow
def test_before_a_window_was_read_its_first_row_stands_for_those_before(trained: Path, stream: Prints) -> None:
    run, text = open_run(trained), lines(True)[: WINDOW - 1]  # none of which is absent but hour 4
    found = rows_of(stream(trained, "\n".join(text) + "\n"))
    values = np.array([[float(cell or np.nan) for cell in row.split(",")[1:]] for row in text[1:]])
    rows = np.concatenate([*[fill(values[:1], run.scaler.mean)] * (WINDOW - 1), fill(values, run.scaler.mean)])
    assert [row["time"] for row in found] == [row.split(",")[0] for row in text[1:]]
    assert_forecasts(run, found, rows, np.arange(len(found)))


def assert_forecasts(run: Any, found: list[dict[str, str]], rows: np.ndarray, starts: np.ndarray) -> None:
    """Each printed row has the forecast from the window of `rows` (N, F) at its start: of quantiles the median."""
    horizon = np.tile(rows[-1:], (HORIZON, 1))  # of which nothing is read
    inputs = run.scaler.standardise(np.concatenate([rows, horizon])).astype(np.float32)
    levels = run.config.levels
    forecasts = run.forecast(inputs, starts.astype(np.int32)).reshape(len(starts), HORIZON, -1)
    expected = forecasts[..., levels.index(0.5) if levels else 0] * run.scaler.scale[0] + run.scaler.mean[0]
    got = [[float(row[f"y+{step}"]) for step in range(1, HORIZON + 1)] for row in found]
    np.testing.assert_allclose(got, expected, rtol=1e-5)


@pytest.mark.slow
def test_the_calendar_of_the_rows_ahead(stream: Prints, tmp_path: Path) -> None:
    """A window is forecast with the hours of the rows after it, and of quantiles the median is printed."""
    values = noisy_sine()
    data, run = write(tmp_path / "data.csv", values), tmp_path / "run"
    options = ("--csv", data, "--target", "y", "--time", "time", "--quantiles", ".1,.5,.9")
    assert call("train", *options, *SMALL, "--out", run) == 0
    text = Path(data).read_text().splitlines()[: 1 + 40]
    found = rows_of(stream(run, "\n".join([*text[:15], *text[17:], ""])))  # two rows are absent
    rows, angle = values.copy(), np.arange(len(values)) * 2 * np.pi / 24
    rows[14:16] = rows[13]
    rows = np.concatenate([rows, np.stack([np.sin(angle), np.cos(angle)], axis=1)], axis=1)
    assert open_run(run).features == ("y", "x", "hour sin", "hour cos")
    ends = np.array([at for at in range(WINDOW, 41) if at not in (15, 16)])
    assert_forecasts(open_run(run), [row for row in found if row["time"] >= text[WINDOW][:19]], rows, ends - WINDOW)
    assert "no column 'time', whose calendar the model reads" in stream(run, "y,x\n1,2\n", status=2)


def test_columns_known_in_advance_are_refused(trained: Path) -> None:
    run = open_run(trained)
    columns = replace(run.trained.columns, future=("x",))
    run.__dict__["trained"] = run.trained._replace(columns=columns)
    with pytest.raises(InputError, match=r"`--stream` must be used with a model trained without --future, .* got .* x"):
        Online(run)


def test_a_stream_that_begins_at_a_gap(trained: Path, stream: Prints) -> None:
    """The step is that of the training data."""
    stamps = [f"2024-01-01T0{hour}:00:00" for hour in (0, 4, 5)]
    found = rows_of(stream(trained, "\n".join(["time,y,x", *(f"{stamp},1,2" for stamp in stamps), ""])))
    assert [row["time"] for row in found] == stamps


def test_an_interval_is_that_of_nine_in_ten_of_a_normal_distribution() -> None:
    members = np.random.default_rng(0).normal(5, 2, (100_000, 1))
    low, high = agreement(members)  # type: ignore[misc]
    assert np.mean((low < members) & (members < high)) == pytest.approx(0.9, abs=0.005)
    few = np.array([[1.0], [3.0]])
    np.testing.assert_allclose(np.array(agreement(few)), [[2 - 1.645 * 2**0.5], [2 + 1.645 * 2**0.5]])
    assert agreement(few[:1]) is None


def test_closed_input_is_said(trained: Path, monkeypatch: pytest.MonkeyPatch, says: Prints) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    said = says("forecast", trained, "--stream", status=2)
    assert "`--stream` must have a standard input and output" in said


@pytest.mark.slow
def test_each_forecast_comes_before_the_next_row(trained: Path) -> None:
    with subprocess.Popen(
        [*PROGRAM, "forecast", str(trained), "--stream"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        header, *rows = lines(True)
        process.stdin.write("\ufeff" + header + "\n")
        for at, row in enumerate(rows[:12]):
            process.stdin.write(row + "\n")
            process.stdin.flush()
            if at == 0:
                assert process.stdout.readline().startswith("time,y+1")
            assert process.stdout.readline().startswith(row.split(",")[0])
        process.stdin.close()
        assert process.wait() == 0


FIRST = "time,y,x\n2024-01-01T00:00,1,2\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "standard input: the file is empty"),
        ("time,y\n2024-01-01T00:00,1\n", "standard input, line 1: no column 'x'; the columns are time, y"),
        ("time,y,y,x\n", "column 'y' is named twice"),
        (FIRST + "2024-01-01T01:00,1\n", "line 3: expected 3 fields, as in the header; got 2"),
        (FIRST + "2024-01-01T01:00,1,a\n", "line 3, column 'x': expected a number; got 'a'\n"),
        (FIRST + "2024-01-01T01:00,1,1e300\n", "line 3: column 'x' holds 1e+300, too far from its mean"),
        (FIRST + '2024-01-01T01:00,1,"2\n', "line 3: not CSV"),
        (FIRST + "2024-01-01T00:00,1,2\n", "line 3: timestamp 2024-01-01T00:00:00 does not come after"),
        (FIRST + "2024-01-01T01:30,1,2\n", "is off the grid of 1 hour, the step from row to row"),
        (FIRST + "2024-01-01T01:00Z,1,2\n", "some timestamps have an offset from UTC and some have none"),
    ],
)
def test_rows_that_cannot_be_used(text: str, message: str, trained: Path, stream: Prints) -> None:
    assert message in stream(trained, text, status=2)
