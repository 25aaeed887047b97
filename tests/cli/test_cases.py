"""The commands on files as users have them, in `tests/cases`: the rows that come next, and what is refused."""

import csv
import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_run import call

CASES = Path(__file__).parents[1] / "cases"
SMALL = ("--window", 8, "--horizon", 4, "--hidden-size", 4, "--epochs", 1)
Prints = Callable[..., str]
Trains = Callable[..., Path]
pytestmark = pytest.mark.usefixtures("without_pictures")


@pytest.fixture(scope="module")
def train(tmp_path_factory: pytest.TempPathFactory) -> Trains:
    """Train on a case, each once."""
    runs: dict[Any, Path] = {}

    def trained(name: str, *options: Any) -> Path:
        if (name, *options) not in runs:
            runs[name, *options] = tmp_path_factory.mktemp("runs") / "run"
            run = runs[name, *options]
            assert call("train", "--csv", CASES / name, *options, *SMALL, "--out", run) == 0
        return runs[name, *options]

    return trained


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        (
            "business_days.csv",
            ("--time", "Date", "--target", "Close"),
            ["2024-01-01", "2024-01-02", "2024-01-03", "2024-01-04"],
        ),
        pytest.param(
            "monthly.csv",
            ("--time", "Month", "--target", "Passengers"),
            ["2002-01-01", "2002-02-01", "2002-03-01", "2002-04-01"],
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "semicolon.csv",
            ("--time", "time", "--target", "load"),
            [f"2024-01-17T{hour}:00:00" for hour in (16, 17, 18, 19)],
            marks=pytest.mark.slow,
        ),
    ],
)
def test_forecasts_continue_the_calendar(name: str, options: Any, expected: list[str], train: Trains) -> None:
    run = train(name, *options)
    assert call("forecast", run) == 0
    assert [row[options[1]] for row in rows_of((run / "forecast.csv").read_text())] == expected


def test_a_forecast_of_few_rows_has_the_calendar_of_the_model(train: Trains) -> None:
    """One Friday, or one window without a weekend, tell nothing of their own step."""
    run = train("business_days.csv", "--time", "Date", "--target", "Close")
    lines = (CASES / "business_days.csv").read_text().splitlines()
    few = run / "few.csv"
    few.write_text("\n".join([lines[0], *lines[-10:]]) + "\n")
    assert call("forecast", run, "--csv", few, "--out", run / "few.out.csv") == 0
    assert rows_of((run / "few.out.csv").read_text())[0]["Date"] == "2024-01-01"


@pytest.mark.slow
def test_a_stream_gives_what_forecast_gives(train: Trains, monkeypatch: pytest.MonkeyPatch, says: Prints) -> None:
    """With calendar features, an hour that is missing, and a panel whose first series has one row."""
    run = train("panel_one_row_first.csv", "--time", "time", "--group", "shop", "--target", "sales")
    lines = (CASES / "panel_one_row_first.csv").read_text().splitlines()
    kept = run / "kept.csv"
    kept.write_text("\n".join(line for at, line in enumerate(lines[:40]) if at not in (1, 35)) + "\n")
    with kept.open() as file:
        monkeypatch.setattr(sys, "stdin", file)
        last = rows_of(says("forecast", run, "--stream"))[-1]
    assert call("forecast", run, "--csv", kept, "--out", run / "kept.out.csv") == 0
    expected = [float(row["sales"]) for row in rows_of((run / "kept.out.csv").read_text())]
    np.testing.assert_allclose([float(last[f"sales+{step}"]) for step in (1, 2, 3, 4)], expected, rtol=1e-5)


@pytest.mark.slow
def test_data_of_another_step_is_refused(train: Trains, monkeypatch: pytest.MonkeyPatch, says: Prints) -> None:
    run, other = train("hourly.csv", "--time", "time", "--target", "load"), CASES / "quarter_hour.csv"
    for command in (("forecast", run, "--csv", other, "--out", run / "x.csv"), ("evaluate", run, "--csv", other)):
        assert "the step of the rows is 15 minutes, and that of the model's training data 1 hour" in says(
            *command, status=2
        )
    with other.open() as file:
        monkeypatch.setattr(sys, "stdin", file)
        assert "is off the grid of 1 hour" in says("forecast", run, "--stream", status=2)


@pytest.mark.slow
def test_rows_of_the_future_are_ignored_with_a_warning(train: Trains, says: Prints) -> None:
    """Unless the model was trained to read them."""
    run = train("known_future.csv", "--time", "time", "--target", "load")
    ignored = " ".join(says("forecast", run).split())
    assert "4 rows follow the last known load; what they say of other columns is not read" in ignored
    run = train("known_future.csv", "--time", "time", "--target", "load", "--future", "temp")
    assert "warning" not in says("forecast", run)
    rows = rows_of((run / "forecast.csv").read_text())
    assert [row["time"] for row in rows] == [f"2024-01-13T{hour}:00:00" for hour in (12, 13, 14, 15)]


@pytest.mark.slow
def test_markers_of_missing_values(train: Trains, says: Prints, tmp_path: Path) -> None:
    """Named, they give what empty fields give; not named, they are warned of with the option that works."""
    columns = ("--time", "time", "--target", "T2M")
    said = says("train", "--csv", CASES / "sentinel_999.csv", *columns, *SMALL, "--out", tmp_path / "new")
    assert "column 'SOLAR' has -999 in 50 rows, far outside its other values" in said.replace("\n", " ")
    assert "--missing -999" in said
    marked = train("sentinel_999.csv", *columns, "--missing", "-999")
    empty = train("sentinel_na.csv", *columns)
    assert (marked / "scores.json").read_text() == (empty / "scores.json").read_text()


@pytest.mark.slow
def test_the_order_of_dates_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: Prints) -> None:
    """A year of days tells it; few rows later, and single ones, would not."""
    days = np.arange("2023-01-01", "2023-12-31", dtype="datetime64[D]").astype(object)
    path = tmp_path / "days.csv"
    path.write_text("day,y\n" + "".join(f"{day:%d/%m/%Y},{day.day}\n" for day in days))
    run, few = tmp_path / "run", tmp_path / "few.csv"
    assert call("train", "--csv", path, "--time", "day", "--target", "y", *SMALL, "--out", run) == 0
    few.write_text("day,y\n" + "".join(f"{day:02}/02/2024,{day}\n" for day in range(1, 9)))
    assert call("forecast", run, "--csv", few, "--out", tmp_path / "out.csv") == 0
    assert rows_of((tmp_path / "out.csv").read_text())[0]["day"] == "2024-02-09"
    with few.open() as file:
        monkeypatch.setattr(sys, "stdin", file)
        assert len(rows_of(says("forecast", run, "--stream"))) == 8
