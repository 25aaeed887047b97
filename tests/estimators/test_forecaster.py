"""Forecaster: what it forecasts is what the commands do; backtests see nothing of the rows that they forecast."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_run import call

import jax_lstm as jl

pd = pytest.importorskip("pandas")
pytestmark = pytest.mark.usefixtures("without_pictures")
SMALL: dict[str, Any] = {"window": 12, "horizon": 4, "hidden_size": 4, "epochs": 2, "batch_size": 16}


def noisy_sine(rows: int = 160, seed: int = 0) -> Any:
    values = np.random.default_rng(seed).normal(0, 0.1, (rows, 2))
    values[:, 0] += np.sin(np.arange(rows) / 24 * 2 * np.pi)
    return pd.DataFrame(values, columns=["load", "temp"], index=pd.date_range("2024-01-01", periods=rows, freq="h"))


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> jl.Forecaster:
    directory = tmp_path_factory.mktemp("fitted") / "run"
    return jl.Forecaster(target="load", **SMALL).fit(noisy_sine(), directory=directory)


def test_it_forecasts_what_the_commands_do(fitted: jl.Forecaster, tmp_path: Path) -> None:
    data = noisy_sine()
    data.to_csv(tmp_path / "data.csv", index_label="time")
    options = [f"--{name.replace('_', '-')}={value}" for name, value in SMALL.items()]
    columns = ("--csv", tmp_path / "data.csv", "--target", "load", "--time", "time")
    assert call("train", *columns, *options, "--out", tmp_path / "run") == 0
    assert call("forecast", tmp_path / "run") == 0
    expected = pd.read_csv(tmp_path / "run" / "forecast.csv", parse_dates=["time"])
    found = fitted.predict()
    assert list(found.index) == list(expected["time"]) == list(pd.date_range(data.index[-1], periods=5, freq="h")[1:])
    np.testing.assert_allclose(found["load"], expected["load"], rtol=1e-5)
    np.testing.assert_allclose(jl.Forecaster.load(tmp_path / "run").predict(data)["load"], expected["load"], rtol=1e-5)


def test_a_saved_one_forecasts_the_same_wherever_it_is(fitted: jl.Forecaster, tmp_path: Path) -> None:
    """The rows given to fit go with it, for the commands too."""
    fitted.save(tmp_path / "saved")
    shutil.move(tmp_path / "saved", tmp_path / "moved")
    loaded = jl.Forecaster.load(tmp_path / "moved")
    pd.testing.assert_frame_equal(loaded.predict(), fitted.predict())
    assert call("forecast", tmp_path / "moved") == 0
    assert call("evaluate", tmp_path / "moved") == 0
    assert loaded.get_params()["horizon"] == 4


def test_frames_of_all_forms_give_the_same(fitted: jl.Forecaster) -> None:
    data, expected = noisy_sine(), fitted.predict(noisy_sine()).to_numpy()
    in_column = data.reset_index(names="index")

    class Other:
        """A DataFrame of another library."""

        columns = tuple(in_column.columns)

        def __getitem__(self, name: str) -> np.ndarray:
            return in_column[name].to_numpy()

    for form in (in_column, in_column[["temp", "load", "index"]], Other(), data.tz_localize("UTC").tz_localize(None)):
        np.testing.assert_array_equal(fitted.predict(form).iloc[:, -1:].to_numpy(), expected)


@pytest.mark.slow
def test_wide_and_long_frames() -> None:
    """All columns are targets if none is named; `group` names the column of the series."""
    data = noisy_sine()
    wide = jl.Forecaster(**SMALL).fit(data).predict()
    assert list(wide.columns) == ["load", "temp"]
    long = pd.concat([noisy_sine(seed=at)[["load"]].assign(shop=shop) for at, shop in enumerate("AB")])
    model = jl.Forecaster(target="load", time="when", group="shop", seeds="0:2", **SMALL)
    found = model.fit(long.reset_index(names="when")).predict()
    assert list(found.columns) == ["shop", "when", "load", "load seeds low", "load seeds high"]
    assert list(found["shop"]) == ["A"] * 4 + ["B"] * 4
    assert (found["load seeds low"] <= found["load"]).all()


@pytest.mark.parametrize("refit", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_backtest_sees_nothing_of_the_rows_it_forecasts(fitted: jl.Forecaster, refit: bool) -> None:
    data = noisy_sine(168)  # 160 rows to fit on, as those of `fitted`, and two folds
    found = jl.Forecaster(target="load", **SMALL).backtest(data, folds=2, refit=refit)
    for fold, origin in enumerate((160, 164), 1):
        own = found.forecasts[found.forecasts["fold"] == fold]
        np.testing.assert_array_equal(own["actual"], data["load"].iloc[origin : origin + 4])
        assert list(own["index"]) == list(data.index[origin : origin + 4])
    second = jl.Forecaster(target="load", **SMALL).fit(data.iloc[:164]) if refit else fitted
    expected = np.concatenate([fitted.predict()["load"], second.predict(data.iloc[:164])["load"]])
    np.testing.assert_allclose(found.forecasts["forecast"], expected, rtol=1e-6)
    errors = (found.forecasts["forecast"] - found.forecasts["actual"]).to_numpy()
    np.testing.assert_allclose(found.scores["mse"], errors**2)
    assert list(found.scores.columns) == ["fold", "step", "target", "mse", "mae"]


@pytest.mark.slow
def test_a_backtest_with_columns_known_in_advance() -> None:
    """Each fold is forecast with the `temp` of its own rows, also the last one, which ends with the data."""
    data, model = noisy_sine(), jl.Forecaster(target="load", future="temp", **SMALL)
    found = model.backtest(data, folds=2).forecasts
    model.fit(data.iloc[:152])
    for fold, end in enumerate((156, 160), 1):
        known = data.iloc[:end].copy()
        known.iloc[-4:, known.columns.get_loc("load")] = np.nan
        own = found[found["fold"] == fold]
        np.testing.assert_allclose(own["forecast"], model.predict(known)["load"], rtol=1e-6)
        np.testing.assert_array_equal(own["actual"], data["load"].iloc[end - 4 : end])


@pytest.mark.slow
def test_a_backtest_of_several_series_with_gaps() -> None:
    long = pd.concat([noisy_sine(seed=at)[["load"]].assign(shop=shop) for at, shop in enumerate("AB")])
    long = long.drop(long.index[158]).reset_index(names="when")
    found = jl.Forecaster(target="load", time="when", group="shop", **SMALL).backtest(long, folds=1).forecasts
    assert list(found["series"]) == ["A"] * 4 + ["B"] * 4
    assert np.isnan(found["actual"]).tolist() == [False, False, True, False] * 2


def test_input_that_cannot_be_used(fitted: jl.Forecaster) -> None:
    data = noisy_sine()
    for make, message in (
        (lambda: jl.Forecaster(horizn=3), "no parameter `horizn`; did you mean horizon"),
        (lambda: jl.Forecaster(target=3), "`target`: expected a list; got 3"),
        (lambda: jl.Forecaster().predict(), "not fitted; call `fit` first"),
        (lambda: jl.Forecaster(target="w", **SMALL).fit(data), "no column 'w'; the columns are index, load, temp"),
        (lambda: jl.Forecaster(**SMALL).fit([1, 2]), "`data` must be a DataFrame; got list"),
        (lambda: fitted.predict(data[["load"]]), "no column 'temp'"),
        (lambda: fitted.predict(data.iloc[:5]), "too few rows: the window needs 12; the longest series has 5"),
        (lambda: fitted.predict(data.iloc[::2]), "the step of the rows is 2 hours, .* training data 1 hour"),
        (lambda: jl.Forecaster(**SMALL).backtest(data, folds=60), "`folds` must leave rows to train on"),
        (lambda: jl.Forecaster(target="load", **SMALL).backtest(data, folds=0), "`folds` must be an integer"),
    ):
        with pytest.raises(jl.InputError, match=message):
            make()
    with pytest.warns(UserWarning, match="far outside|standard deviations from its mean"):
        fitted.predict(data.assign(temp=1e6))


def test_it_is_cloned_as_scikit_learn_does(fitted: jl.Forecaster) -> None:
    base = pytest.importorskip("sklearn.base")
    copy = base.clone(fitted)
    assert copy.get_params() == fitted.get_params()
    with pytest.raises(jl.InputError, match="not fitted"):
        copy.predict()
    assert copy.set_params(horizon=2).horizon == 2


@pytest.mark.slow
def test_a_sweep_over_sizes_forecasts_with_the_best(tmp_path: Path) -> None:
    model = jl.Forecaster(target="load", sweep=["hidden_size=2,4"], **SMALL | {"epochs": 1}).fit(noisy_sine())
    model.save(tmp_path / "sweep")
    pd.testing.assert_frame_equal(jl.Forecaster.load(tmp_path / "sweep").predict(), model.predict())
