"""`jax-lstm forecast --stream`: after each row what `jax-lstm forecast` would say of the file up to it."""

import csv
import io
import itertools
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from processes import PROGRAM

from jax_lstm.cli import main
from jax_lstm.data.series import fill
from jax_lstm.tasks import open_run
from jax_lstm.tasks.forecast import interval

WINDOW, HORIZON, ROWS = 7, 3, 36
ABSENT = {4, *range(9, 12), *range(18, 28)}  # rows that a file with times lacks: one, some, more than a window
Prints = Callable[..., str]
pytestmark = pytest.mark.usefixtures("without_pictures")


def lines(time: bool, group: bool = False) -> list[str]:
    """Two columns; some values are missing, and with times some rows."""
    header = ",".join([*(["site"] if group else []), *(["when"] if time else []), "p", "t"])
    made = [header]
    for at in range(ROWS):
        if time and at in ABSENT:
            continue
        for site in ("a", "b") if group else ("",):
            shift = 40 if site == "b" else 0
            p = "" if at in (0, 13) else f"{1000 + 50 * np.sin(at / 4) + shift:.3f}"
            t = "" if at == 15 else f"{20 + 3 * np.cos(at / 5) + shift:.3f}"
            stamp = np.datetime64("2024-01-01T00:00:00") + np.timedelta64(at, "D")
            made.append(",".join([*([site] if group else []), *([str(stamp)] if time else []), p, t]))
    return made


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """The run directory of such a model, trained once for each kind of file."""
    folder, made = tmp_path_factory.mktemp("runs"), {}

    def run(time: bool = False, group: bool = False, *options: Any) -> Path:
        key = (time, group, options)
        if key not in made:
            out, path = folder / f"run{len(made)}", folder / f"{len(made)}.csv"
            rng = np.random.default_rng(0)
            days = np.datetime64("2020-01-01") + np.arange(200, dtype="timedelta64[D]")
            rows = [f"a,{days[at]},{rng.normal(1000, 50):.2f},{rng.normal(20, 3):.2f}"
                    for at in range(200)]  # fmt: skip
            path.write_text("\n".join(["site,when,p,t", *rows]) + "\n")
            names = (("--time", "when") if time else ()) + (("--group", "site") if group else ())
            data = ("--csv", path, "--target", "t", "p", "--features", "p", "t", *names)
            model = ("--window", WINDOW, "--horizon", HORIZON, "--hidden-size", 6, "--num-layers", 2, "--epochs", 1)
            assert main([*map(str, ("train", *data, *model, *options)), "--out", str(out)]) == 0
            made[key] = out
        return made[key]

    return run


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
        (False, False, ()),
        pytest.param(True, False, ("--seeds", "0:3"), marks=pytest.mark.slow),
        pytest.param(True, True, ("--precision", "bfloat16"), marks=pytest.mark.slow),
        pytest.param(False, False, ("--x64", "--proj-size", 3), marks=pytest.mark.slow),
    ],
)
def test_it_says_what_forecast_says_of_the_file_up_to_there(
    time: bool, group: bool, options: tuple[str, ...], trained: Any, stream: Prints, tmp_path: Path
) -> None:
    run, text = trained(time, group, *options), lines(time, group)
    found = rows_of(stream(run, "\n".join(text) + "\n"))
    assert len(found) == len(text) - 1
    ends = ("", " low", " high") if "--seeds" in options else ("",)
    close = 2e-2 if "bfloat16" in options else 1e-5
    first = WINDOW * (2 if group else 1)  # rows of all groups until each has a window of them
    for upto in (first, len(text) * 2 // 3, len(text) - 1):
        path, out = tmp_path / "upto.csv", tmp_path / "upto.out.csv"
        path.write_text("\n".join(text[: upto + 1]) + "\n")
        told = found[upto - 1]
        site = told.get("site", "")
        assert main(["forecast", str(run), "--csv", str(path), "--out", str(out)]) == 0
        expected = [row for row in rows_of(out.read_text()) if row.get("site", site) == site]
        for column, end in itertools.product("tp", ends):
            got = [float(told[f"{column}+{step}{end}"]) for step in range(1, HORIZON + 1)]
            np.testing.assert_allclose(got, [float(row[column + end]) for row in expected], rtol=close)


@pytest.mark.slow
def test_the_first_rows_are_forecast_from_all_of_them(trained: Any, stream: Prints) -> None:
    """As the model does with a sequence of that length."""
    run, text = open_run(trained()), lines(False)
    found = rows_of(stream(trained(), "\n".join(text) + "\n"))
    values = np.array([[float(cell or np.nan) for cell in row.split(",")] for row in text[1:]])
    rows = run.scaler.pick(("p", "t")).standardise(fill(values, run.scaler.pick(("p", "t")).mean))
    for count in range(1, WINDOW + 1):
        standardised = np.asarray(run.model()(rows[None, :count].astype(np.float32)), float)
        expected = run.scaler.pick(("t", "p")).restore(standardised.reshape(HORIZON, 2))
        got = [[float(found[count - 1][f"{name}+{step}"]) for name in "tp"] for step in range(1, HORIZON + 1)]
        np.testing.assert_allclose(got, expected, rtol=1e-5)
    assert [row["row"] for row in found] == [str(at) for at in range(1, ROWS + 1)]


def test_a_stream_that_begins_at_a_gap(trained: Any, stream: Prints) -> None:
    """The step is that of the training data."""
    found = rows_of(stream(trained(True), "when,p,t\n2024-01-01,1,2\n2024-01-05,1,2\n2024-01-06,1,2\n"))
    assert [row["when"] for row in found] == ["2024-01-01", "2024-01-05", "2024-01-06"]


def test_an_interval_is_that_of_nine_in_ten_of_a_normal_distribution() -> None:
    members = np.random.default_rng(0).normal(5, 2, (100_000, 1))
    low, high = interval(members)  # type: ignore[misc]
    assert np.mean((low < members) & (members < high)) == pytest.approx(0.9, abs=0.005)
    few = np.array([[1.0], [3.0]])
    np.testing.assert_allclose(np.array(interval(few)), [[2 - 1.645 * 2**0.5], [2 + 1.645 * 2**0.5]])
    assert interval(few[:1]) is None


def test_closed_input_is_said(trained: Any, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    assert main(["forecast", str(trained()), "--stream"]) == 2
    assert "`--stream` must have a standard input and output" in capsys.readouterr().err


@pytest.mark.slow
def test_each_forecast_comes_before_the_next_row(trained: Any) -> None:
    with subprocess.Popen(
        [*PROGRAM, "forecast", str(trained()), "--stream"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        header, *rows = lines(False)
        process.stdin.write("\ufeff" + header + "\n")
        for at, row in enumerate(rows[:12]):
            process.stdin.write(row + "\n")
            process.stdin.flush()
            if at == 0:
                assert process.stdout.readline().startswith("row,t+1")
            assert process.stdout.readline().startswith(f"{at + 1},")
        process.stdin.close()
        assert process.wait() == 0


STAMPS = "when,p,t\n2024-01-01,1,2\n2024-01-02,1,2\n"


@pytest.mark.parametrize(
    ("time", "text", "message"),
    [
        (False, "", "standard input: the file is empty"),
        (False, "p\n1\n", "standard input, line 1: no column 't'; the columns are p"),
        (False, "p,p,t\n1,1,1\n", "column 'p' is named twice"),
        (False, "p,t\n1\n", "line 2: expected 2 fields, as in the header; got 1"),
        (False, "p,t\n1,2\n1,x\n", "line 3, column 't': expected a number; got 'x'\n"),
        (False, "p,t\n1,1e300\n", "line 2: column 't' holds 1e+300, too far from its mean"),
        (False, 'p,t\n1,"2\n', "line 2: not CSV"),
        (True, STAMPS + "2024-01-02,1,2\n", "line 4: timestamp 2024-01-02 00:00:00 does not come after"),
        (True, STAMPS + "2024-01-02 12:00,1,2\n", "is off the grid of 1 day, 0:00:00, the step from row to row"),
        (True, STAMPS + "2024-01-03T00:00Z,1,2\n", "some timestamps have an offset from UTC and some have none"),
    ],
)
def test_rows_that_cannot_be_used(time: bool, text: str, message: str, trained: Any, stream: Prints) -> None:
    assert message in stream(trained(time), text, status=2)


def test_a_bidirectional_model_cannot_stream(stream: Prints) -> None:
    run = Path(__file__).parents[1] / "train" / "saved" / "forecast-1"
    assert "`--stream` must be used with a model that reads forwards only" in stream(run, "a,b\n1,2\n", status=2)


def test_wrong_options(trained: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["forecast", str(trained()), "--stream", "--csv", "x.csv"]) == 2
    assert "`--csv and --out` must be left out with --stream" in capsys.readouterr().err
