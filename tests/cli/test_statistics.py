"""Runs whose series have their own mean and deviation: forecasts, scores and programs in the units of each series."""

import csv
import io
import json
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_run import call

import jax_lstm as jl
from jax_lstm.cli import pictures, plots
from jax_lstm.export.verify import FORMATS
from jax_lstm.tasks import calibration, load_task, open_run
from jax_lstm.tasks.calibration import interval_scores
from jax_lstm.tasks.evaluation import evaluate
from jax_lstm.tasks.scores import truth_of

pd = pytest.importorskip("pandas")
ROWS, WINDOW, HORIZON = 160, 12, 4
SMALL: dict[str, Any] = {"window": WINDOW, "horizon": HORIZON, "hidden_size": 4, "epochs": 2, "batch_size": 32}
LEVELS = {"kiosk": 10, "store": 1_000, "market": 100_000}
LEARNT = slice(round(0.7 * ROWS))
CASES = Path(__file__).parents[1] / "cases"
pytestmark = pytest.mark.usefixtures("without_pictures")
Prints = Callable[..., str]


def sales(level: float, seed: int, rows: int = ROWS) -> np.ndarray:
    noise = np.random.default_rng(seed).standard_normal(rows)
    return level * (1 + 0.3 * np.sin(np.arange(rows) / 3) + 0.1 * noise)


SHOPS = {name: sales(level, seed) for seed, (name, level) in enumerate(LEVELS.items())}


def frame(series: dict[str, np.ndarray]) -> Any:
    return pd.concat([pd.DataFrame({"shop": name, "y": values}) for name, values in series.items()], ignore_index=True)


def fit(directory: Path, series: dict[str, np.ndarray] = SHOPS, **options: Any) -> jl.Forecaster:
    return jl.Forecaster(target="y", group="shop", **SMALL | options).fit(frame(series), directory=directory)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> jl.Forecaster:
    """With a series too short to train on, but not to forecast."""
    short = {"stall": sales(500, 9, WINDOW + 2)}
    return fit(tmp_path_factory.mktemp("fitted") / "run", SHOPS | short, interval=0.8)


def by_hand(run: Any, learnt: np.ndarray, *histories: np.ndarray) -> np.ndarray:
    """The forecasts (n, horizon) after each, standardised and restored with the moments of the `learnt` values."""
    mean, scale, ahead = learnt.mean(), learnt.std(), np.zeros(HORIZON)
    windows = np.concatenate([np.append((values[-WINDOW:] - mean) / scale, ahead) for values in histories])
    starts = np.arange(len(histories), dtype=np.int32) * (WINDOW + HORIZON)
    return run.forecast(windows[:, None].astype(np.float32), starts) * scale + mean


ENDS = range(round(0.8 * ROWS), ROWS - HORIZON + 1)  # of the windows whose targets are in the test part


def errors_by_hand(run: Any, values: np.ndarray, learnt: np.ndarray) -> np.ndarray:
    """Those of the forecasts (n, horizon) of the test part of a series."""
    return by_hand(run, learnt, *(values[:end] for end in ENDS)) - [values[end : end + HORIZON] for end in ENDS]


@pytest.mark.slow
def test_small_shops_are_learnt_as_well_as_large_ones(tmp_path: Path) -> None:
    """By the mean over series of the error relative to the variance of the series."""
    relative = {}
    for statistics, chosen in (("auto", "series"), ("shared", "shared")):
        run = fit(tmp_path / statistics, statistics=statistics).run
        assert run.config.data.statistics == chosen
        data = load_task(run.config, run.about).dataset
        starts = data.starts["test"]
        errors = (run.forecast(data.inputs, starts) - truth_of(data, "test")) * data.scaler_of(starts).scale
        of = data.series_of(starts)
        variances = [values[LEARNT].var() for values in SHOPS.values()]
        relative[statistics] = np.mean([np.mean(errors[of == at] ** 2) / each for at, each in enumerate(variances)])
    assert relative["auto"] < 0.3
    assert relative["shared"] > 3 * relative["auto"]


def test_a_known_series_is_forecast_with_its_own_statistics(fitted: jl.Forecaster) -> None:
    """Whatever rows are given; a new one, and one too short for training, with those of its own known rows."""
    assert fitted.run.config.data.statistics == "series"
    assert list(fitted.run.scaler.series) == list(SHOPS)
    given = {
        "kiosk": SHOPS["kiosk"][:80] + 3,
        "market": SHOPS["market"],
        "stall": sales(500, 9, WINDOW + 2),
        "new": np.concatenate([[np.nan] * 3, sales(30_000, 7, 50)]),
    }
    with pytest.warns(UserWarning, match="not among the series of training, so .* their own known rows: stall, new$"):
        found = fitted.predict(frame(given))
    for name, values in given.items():
        learnt = SHOPS[name][LEARNT] if name in SHOPS else values[~np.isnan(values)]
        (expected,) = by_hand(fitted.run, learnt, values)
        np.testing.assert_allclose(found["y"][found["shop"] == name], expected, rtol=1e-5)
        margins = fitted.run.margins * learnt.std()
        for end, sign in (("y_10", -1), ("y_90", 1)):
            np.testing.assert_allclose(found[end][found["shop"] == name], expected + sign * margins, rtol=1e-5)


def test_scores_are_in_the_units_of_each_series(fitted: jl.Forecaster) -> None:
    run = fitted.run
    task = load_task(run.config, run.about)
    found = evaluate(run, task, "test")
    each = [errors_by_hand(run, values, values[LEARNT]) for values in SHOPS.values()]
    errors = np.concatenate(each)
    standardised = np.concatenate([own / SHOPS[name][LEARNT].std() for own, name in zip(each, SHOPS, strict=True)])
    scores = found.scores["LSTM"]
    expected = {"mse y": np.mean(np.square(errors)), "mae y": np.mean(np.abs(errors))}
    expected |= {"mse": np.mean(np.square(standardised)), "mae": np.mean(np.abs(standardised))}
    assert {name: scores[name] for name in expected} == pytest.approx(expected, rel=1e-4)
    persistence = [values[end - 1] - values[end : end + HORIZON] for values in SHOPS.values() for end in ENDS]
    assert found.scores["persistence"]["mse y"] == pytest.approx(np.mean(np.square(persistence)), rel=1e-4)


def test_intervals_are_scored_in_the_units_of_each_series(
    fitted: jl.Forecaster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Around the forecast of each window, with margins that are wide where the series varies much."""
    run, scored = fitted.run, []
    task = load_task(run.config, run.about)
    predictions = evaluate(run, task, "test").predictions
    monkeypatch.setattr(calibration, "coverage", lambda *arrays: scored.append(arrays))
    interval_scores(run, task, predictions, "test")
    low, high, truth, *_ = scored[0]
    ends = [(end, name) for end in ENDS for name in SHOPS]  # in the order of time
    assert len(truth) == len(ends)
    for at, (end, name) in enumerate(ends):
        learnt = SHOPS[name][LEARNT]
        np.testing.assert_allclose(truth[at] + learnt.mean(), SHOPS[name][end : end + HORIZON], rtol=1e-4)
        assert (0.1 * learnt.std() < high[at] - low[at]).all()
        assert (high[at] - low[at] < 10 * learnt.std()).all()


def test_pictures_are_in_the_units_of_each_series(
    fitted: jl.Forecaster, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    drawn: list[Any] = []
    monkeypatch.setattr(plots, "forecasts", lambda path, panels, name: drawn.extend(panels))
    task = load_task(fitted.run.config, fitted.run.about)
    pictures.forecasts(tmp_path, task, "test", {"LSTM": np.zeros((task.size("test"), HORIZON))})
    assert len(drawn) == pictures.PANELS
    windows = np.array([values[end : end + HORIZON] for values in SHOPS.values() for end in ENDS])
    for panel in drawn:
        np.testing.assert_allclose(windows[np.abs(windows - panel.truth).sum(axis=1).argmin()], panel.truth, rtol=1e-4)
    levels = [panel.seen.mean() for panel in drawn]
    assert max(levels) / min(levels) > 1000


def test_far_values_are_told_by_the_series(fitted: jl.Forecaster) -> None:
    """What is usual in a market is far from all that the kiosk sold."""
    given = {"kiosk": np.append(SHOPS["kiosk"], 1000.0), "market": SHOPS["market"]}
    with pytest.warns(UserWarning, match="column 'y' holds 1000, 4.. standard deviations from its mean"):
        fitted.predict(frame(given))


@pytest.mark.slow
def test_resumed_and_reloaded_runs_forecast_the_same_to_the_last_bit(
    fitted: jl.Forecaster, tmp_path: Path, says: Prints
) -> None:
    data, expected = frame(SHOPS), fitted.predict(frame(SHOPS))
    fitted.save(tmp_path / "saved")
    pd.testing.assert_frame_equal(jl.Forecaster.load(tmp_path / "saved").predict(data), expected)
    data.to_csv(tmp_path / "data.csv", index=False)
    options = [f"--{name.replace('_', '-')}={value}" for name, value in SMALL.items()]
    data = ("--csv", tmp_path / "data.csv", "--target", "y", "--group", "shop", "--schedule", "constant")
    said = says("train", *data, *options, "--out", tmp_path / "whole")
    assert "statistics per series: within series, the standard deviation of y is 0.00" in said
    assert call("train", *data, *options, "--epochs", 1, "--out", tmp_path / "half") == 0
    assert call("train", "--resume", tmp_path / "half", "--epochs", 2) == 0
    whole, half = (json.loads((tmp_path / name / "config.json").read_text()) for name in ("whole", "half"))
    assert whole["data"]["statistics"] == half["data"]["statistics"] == "series"
    for name in ("whole", "half"):
        assert call("forecast", tmp_path / name) == 0
    first, second = ((tmp_path / name / "forecast.csv").read_bytes() for name in ("whole", "half"))
    assert first == second
    scalers = [open_run(tmp_path / name).about["scaler"] for name in ("whole", "half")]
    assert scalers[0] == scalers[1]
    assert list(scalers[0]["series"]) == list(SHOPS)


def test_evaluate_names_new_series(fitted: jl.Forecaster, tmp_path: Path, says: Prints) -> None:
    frame({"market": SHOPS["market"], "new": sales(20, 5)}).to_csv(tmp_path / "other.csv", index=False)
    said = says("evaluate", fitted.directory, "--csv", tmp_path / "other.csv")
    assert "warning: not among the series of training, so standardised by their own known rows: new\n" in said
    assert "not among the series" not in says("evaluate", fitted.directory)


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_a_stream_has_the_statistics_of_the_series(
    fitted: jl.Forecaster, tmp_path: Path, says: Prints, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows with a column of names have those of each; without it, `--series` names the one."""

    def streamed(data: Any, *options: Any, status: int = 0) -> Any:
        data.to_csv(tmp_path / "in.csv", index=False)
        with (tmp_path / "in.csv").open() as file:
            monkeypatch.setattr(sys, "stdin", file)
            return says("forecast", fitted.directory, "--stream", *options, status=status)

    values = {name: SHOPS[name][40:60] for name in ("market", "kiosk")}
    expected = {name: by_hand(fitted.run, SHOPS[name][LEARNT], each)[0] for name, each in values.items()}
    found = rows_of(streamed(frame(values)))
    for name, row in (("market", found[19]), ("kiosk", found[39])):
        assert row["shop"] == name
        np.testing.assert_allclose([float(row[f"y+{step}"]) for step in (1, 2, 3, 4)], expected[name], rtol=1e-5)
    one = frame({"kiosk": values["kiosk"]})
    found = rows_of(streamed(one[["y"]], "--series", "kiosk"))
    np.testing.assert_allclose([float(found[-1][f"y+{step}"]) for step in (1, 2, 3, 4)], expected["kiosk"], rtol=1e-5)
    known = (
        "`--series` must name a series of training, whose mean and standard deviation are used: kiosk, store, market"
    )
    for data, options, message in (
        (one[["y"]], (), f"{known}; got '' (or train with --statistics shared)"),
        (one[["y"]], ("--series", "stall"), f"{known}; got 'stall' (or train with --statistics shared)"),
        (one, ("--series", "kiosk"), "`--series` must be left out for rows with a column 'shop'; got 'kiosk'"),
        (one.assign(shop="new"), (), "line 2: 'new' is not among the series of training, whose mean and standard"),
    ):
        assert message in streamed(data, *options, status=2)


@pytest.mark.skipif(not (find_spec("onnx") and find_spec("onnxruntime")), reason="ONNX is not installed")
def test_a_program_has_the_units_of_one_series(fitted: jl.Forecaster, tmp_path: Path, says: Prints) -> None:
    file, values = tmp_path / "model.onnx", SHOPS["market"]
    said = says("export", fitted.directory, "--to", "onnx", "--out", file, status=2)
    assert "`--series` must name a series of training, whose mean and standard deviation are used: kiosk" in said
    says("export", fitted.directory, "--to", "onnx", "--out", file, "--series", "market")
    given = {"x": values[None, -WINDOW:, None].astype(np.float32)}
    found = dict(FORMATS["onnx"].run(file.read_bytes(), given))["y"][0]
    np.testing.assert_allclose(found, by_hand(fitted.run, values[LEARNT], values)[0], rtol=1e-4)
    facts = json.loads((tmp_path / "model.onnx.json").read_text())["facts"]
    assert facts["series"] == "market"
    assert facts["scaler"]["mean"] == [values[LEARNT].mean()]
    assert "series" not in facts["scaler"]
    said = says("export", fitted.directory, "--to", "safetensors", "--series", "market", status=2)
    assert "`--series` must come with a whole forecaster as a program; got 'market'" in said
    says("export", fitted.directory, "--to", "safetensors", "--out", tmp_path / "weights.safetensors")


@pytest.mark.slow
def test_a_folder_of_files_and_one_file_of_it(tmp_path: Path, says: Prints) -> None:
    """A single file has no name: it is new, unless `--series` names it."""
    folder = tmp_path / "shops"
    folder.mkdir()
    for name, values in SHOPS.items():
        pd.DataFrame({"y": values}).to_csv(folder / f"{name}.csv", index=False)
    options = [f"--{name.replace('_', '-')}={value}" for name, value in SMALL.items()]
    run = tmp_path / "run"
    assert call("train", "--csv", folder, "--target", "y", *options, "--out", run) == 0
    assert call("forecast", run) == 0
    every = pd.read_csv(run / "forecast.csv")
    one = ("forecast", run, "--csv", folder / "kiosk.csv", "--out", tmp_path / "one.csv")
    assert "standardised by their own known rows: the data\n" in says(*one)
    (own,) = by_hand(open_run(run), SHOPS["kiosk"], SHOPS["kiosk"])
    np.testing.assert_allclose(pd.read_csv(tmp_path / "one.csv")["y"], own, rtol=1e-5)
    assert "known rows" not in says(*one, "--series", "kiosk")
    found = pd.read_csv(tmp_path / "one.csv")["y"]
    assert list(found) == list(every["y"][every["series"] == "kiosk"]) != list(own)
    said = says("forecast", run, "--series", "kiosk", status=2)
    assert "`--series` must be left out for data that names its series, kiosk, market, store; got 'kiosk'" in said


@pytest.mark.slow
def test_a_backtest_has_the_units_of_each_series(tmp_path: Path) -> None:
    """With the statistics of the rows before the first fold."""
    found = jl.Forecaster(target="y", group="shop", **SMALL | {"epochs": 1}).backtest(frame(SHOPS), folds=2).forecasts
    end = ROWS - 2 * HORIZON
    run = fit(tmp_path, {name: values[:end] for name, values in SHOPS.items()}, epochs=1).run
    for name, values in SHOPS.items():
        own, learnt = found[found["series"] == name], values[: round(0.7 * end)]
        np.testing.assert_array_equal(own["actual"], values[end:])
        expected = by_hand(run, learnt, values[:end], values[: end + HORIZON])
        np.testing.assert_allclose(own["forecast"], expected.ravel(), rtol=1e-5)


def test_a_series_without_a_known_value_is_not_forecast(fitted: jl.Forecaster) -> None:
    blank = np.full(ROWS, np.nan)
    with pytest.warns(UserWarning, match="left out, without a known y: blank$"):
        found = fitted.predict(frame(SHOPS | {"blank": blank}))
    assert list(found["shop"].unique()) == list(SHOPS)
    with pytest.raises(jl.InputError, match="the DataFrame: no value of y is known"):
        fitted.predict(frame({"blank": blank}))


def test_a_constant_series_is_forecast_near_its_level(fitted: jl.Forecaster) -> None:
    """A new one, and one of which few values are known, beside series that are much larger."""
    few = np.where(np.arange(50) < 47, np.nan, 500.0 + np.arange(50))
    with pytest.warns(UserWarning, match="not among the series of training"):
        found = fitted.predict(frame({"flat": np.full(50, 5.0), "few": few}))
    spread = float(np.mean([fitted.run.scaler.of(name).scale for name in SHOPS]))
    for name, level in (("flat", 5.0), ("few", 548.0)):
        assert np.abs(found["y"][found["shop"] == name] - level).max() < 0.1 * spread


@pytest.mark.slow
def test_a_panel_whose_first_series_has_one_row(tmp_path: Path, says: Prints) -> None:
    """That series is too short for statistics of its own, so by default they are shared."""
    options = [f"--{name.replace('_', '-')}={value}" for name, value in (SMALL | {"epochs": 1}).items()]
    data = ("--csv", CASES / "panel_one_row_first.csv", "--time", "time", "--group", "shop", "--target", "sales")
    for statistics, names in (("auto", None), ("series", ["OLD"])):
        run = tmp_path / statistics
        assert call("train", *data, *options, "--statistics", statistics, "--out", run) == 0
        assert (open_run(run).about["scaler"].get("series") and [*open_run(run).scaler.series]) == names
        assert "left out, too short for a window (12 rows): NEW (1 rows)" in says("forecast", run)
        assert {row["shop"] for row in rows_of((run / "forecast.csv").read_text())} == {"OLD"}
    said = says("forecast", tmp_path / "auto", "--series", "OLD", status=2)
    assert "`--series` must be left out for a run with shared statistics; got 'OLD'" in said
