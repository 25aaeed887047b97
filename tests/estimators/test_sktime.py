"""SktimeForecaster: sktime's own checks pass, and it forecasts what Forecaster does."""

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import jax_lstm as jl

pd = pytest.importorskip("pandas")
base, checks = pytest.importorskip("sktime.forecasting.base"), pytest.importorskip("sktime.utils.estimator_checks")
SktimeForecaster = pytest.importorskip("jax_lstm.estimators.sktime_adapter").SktimeForecaster

FAST = {"optimizer": "sgd", "schedule": "constant", "output_dropout": 0.0}
SMALL: dict[str, Any] = {"window": 12, "hidden_size": 2, "epochs": 1, "decode": "linear", **FAST}
TUTORIAL = SMALL | {"network": "tutorial", "decode": "segments"}
HOURS = pd.date_range("2024-01-01", periods=244, freq="h")
PAST, AHEAD = slice(0, 240), slice(240, 244)


def data(seed: int = 0) -> tuple[Any, Any]:
    """A load that follows the price of the same hour, and both columns of X: the price, and noise."""
    X = pd.DataFrame(np.random.default_rng(seed).normal(0, 1, (244, 2)), HOURS, columns=["price", "noise"])
    return (10 - 3 * X["price"] + 0.1 * X["noise"]).rename("load"), X


def of_forecaster(frame: Any, **params: Any) -> jl.Forecaster:
    split = "0.9,0.1,0.0"  # which is the default of the adapter, as long as a tenth of the rows is a horizon
    return jl.Forecaster(horizon=4, split=split, **SMALL, **params).fit(frame)


CHECK = """
from sktime.utils.estimator_checks import check_estimator
from jax_lstm.estimators.sktime_adapter import SktimeForecaster

model = SktimeForecaster(**SktimeForecaster.get_test_params()[0])
found = check_estimator(model, raise_exceptions=True, verbose=False)
assert set(found.values()) == {"PASSED"}
print(len(found), "checks passed")
"""


@pytest.mark.slow
def test_the_checks_of_sktime() -> None:
    """All of them. They train hundreds of models of few shapes."""
    command = [sys.executable, "-W", "ignore", "-c", CHECK]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[-3]) > 300


def test_it_forecasts_what_forecaster_does() -> None:
    """Also steps with gaps between them, by what is known of X in the hours ahead."""
    y, X = data()
    model = SktimeForecaster(**SMALL).fit(y[PAST], X[PAST], fh=[1, 3, 4])
    found = model.predict(X=X[AHEAD])
    frame = X.assign(load=y)[["load", "price", "noise"]]
    frame.loc[HOURS[AHEAD], "load"] = np.nan
    own = of_forecaster(frame[PAST], target="load", future=["price", "noise"]).predict(frame)["load"]
    pd.testing.assert_series_equal(found, own.iloc[[0, 2, 3]], check_freq=False, check_names=False)
    assert found.name == "load"
    assert np.abs(found - y[found.index]).max() < 1
    changed = model.predict(X=X[AHEAD].assign(price=lambda rows: rows["price"] + 1))
    np.testing.assert_allclose(changed - found, -3, atol=0.5)


@pytest.mark.slow
def test_absolute_steps_and_all_kinds_of_index() -> None:
    y, _ = data()
    expected = SktimeForecaster(calendar="off", **SMALL).fit(y[PAST], fh=[2, 4]).predict().to_numpy()
    for index in (HOURS, HOURS.to_period(), pd.RangeIndex(7, 251), pd.Index(np.arange(244))):
        series = y.set_axis(index)
        fh = base.ForecastingHorizon(index[[241, 243]], is_relative=False)
        found = SktimeForecaster(calendar="off", season=24, **SMALL).fit(series[PAST], fh=fh).predict()
        assert found.index.equals(index[[241, 243]])
        np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("rows", "steps", "split"), [(60, 2, "0.9,0.1,0.0"), (20, 5, "0.75,0.25,0.0"), (14, 5, "1.0,0.0,0.0")]
)
def test_no_row_is_for_testing(rows: int, steps: int, split: str) -> None:
    y, _ = data()
    model = SktimeForecaster(**TUTORIAL | {"window": 3}).fit(y.iloc[:rows], fh=steps)
    assert model.forecaster_.get_params()["split"] == split
    assert model.get_params()["split"] == ""


def test_update_without_training_forecasts_after_the_new_rows() -> None:
    y, X = data()
    model = SktimeForecaster(**SMALL).fit(y.iloc[:200], X.iloc[:200], fh=[1, 4])
    first = model.forecaster_
    found = model.update(y.iloc[200:240], X.iloc[200:240], update_params=False).predict(X=X[AHEAD])
    assert model.forecaster_ is first
    frame = X.add_prefix("X.").assign(**{"y.load": y.where(y.index < HOURS[240])})
    np.testing.assert_array_equal(found, first.predict(frame.rename_axis("time"))["y.load"].iloc[[0, 3]])
    assert list(found.index) == list(HOURS[[240, 243]])


@pytest.mark.slow
def test_update_trains_on_all_rows() -> None:
    y, _ = data()
    model = SktimeForecaster(**SMALL).fit(y.iloc[:200], fh=[1, 4])
    found = model.update(y.iloc[200:240]).predict()
    np.testing.assert_array_equal(found, SktimeForecaster(**SMALL).fit(y[PAST], fh=[1, 4]).predict())


@pytest.mark.slow
def test_a_panel_trains_one_model() -> None:
    y, X = (pd.concat(dict(zip("BA", parts, strict=True))) for parts in zip(data(0), data(1), strict=True))
    past = y.index.get_level_values(-1) < HOURS[240]
    model = SktimeForecaster(**SMALL).fit(y[past].to_frame(), X[past], fh=[1, 4])
    found = model.predict(X=X[~past])
    frame = X.assign(load=y.where(past), shop=y.index.get_level_values(0)).droplevel(0)
    frame = frame[["load", "price", "noise", "shop"]].sort_values("shop", kind="stable")
    own = of_forecaster(frame.dropna(), target="load", future=["price", "noise"], group="shop")
    np.testing.assert_allclose(found["load"], own.predict(frame)["load"].iloc[[0, 3, 4, 7]], rtol=1e-6)
    assert list(found.index) == [(shop, HOURS[at]) for shop in "AB" for at in (240, 243)]
    assert np.abs(found["load"] - y[found.index]).max() < 1


@pytest.mark.slow
def test_steps_are_counted_from_the_last_row_even_if_its_target_is_missing() -> None:
    y, _ = data()
    y.iloc[[40, 238, 239]] = np.nan
    model = SktimeForecaster(**SMALL).fit(y[PAST], fh=[1, 2])
    found = model.predict()
    assert list(found.index) == list(HOURS[240:242])
    y.iloc[239] = y.iloc[237]  # the last value seen
    own = model.forecaster_.predict(y[PAST].to_frame("y.load").rename_axis("time"))
    np.testing.assert_array_equal(found, own["y.load"])


@pytest.mark.slow
def test_columns_that_are_no_numbers_hold_classes() -> None:
    _, X = data()
    X = X.assign(day=np.where(X["price"] > 0, "open", "closed"))[["day"]]
    y = 5.0 * (X["day"] == "open")
    found = SktimeForecaster(**SMALL).fit(y[PAST], X[PAST], fh=[1, 2, 3, 4]).predict(X=X[AHEAD])
    np.testing.assert_allclose(found, y[AHEAD], atol=1)


@pytest.mark.slow
def test_sktime_searches_over_parameters() -> None:
    tuning, split = pytest.importorskip("sktime.forecasting.model_selection"), pytest.importorskip("sktime.split")
    y, _ = data()
    cv = split.ExpandingWindowSplitter(fh=[1, 2], initial_window=200, step_length=40)
    search = tuning.ForecastingGridSearchCV(SktimeForecaster(**TUTORIAL), cv, {"window": [6, 12]}, backend="None")
    assert search.fit(y[PAST], fh=[1, 2]).best_params_["window"] in (6, 12)
    assert len(search.predict()) == 2


def test_input_that_cannot_be_used() -> None:
    y, X = data()
    fitted = SktimeForecaster(**TUTORIAL).fit(y[PAST], X[PAST], fh=2)
    ends = pd.concat({"A": y[PAST], "B": y.iloc[:100]}).to_frame()
    with pytest.raises(TypeError, match="unexpected keyword argument 'horizon'"):
        SktimeForecaster(horizon=3)
    for make, message in (
        (lambda: SktimeForecaster(hidden_size=0), "`hidden_size` must be an integer of at least 1; got 0"),
        (lambda: fitted.predict(), "`X` must be given to `predict`, as it was to `fit`; got None"),
        (lambda: fitted.predict(X=X.iloc[240:241]), "values of `X` in the row of the last step, 2"),
        (lambda: SktimeForecaster().fit(ends, fh=1), "`y` must have series that end at the same time; got ends from"),
        (
            lambda: SktimeForecaster().fit(y.set_axis(np.arange(244) * 2), fh=1),
            "`y` must have times or consecutive integers as index; got rows 2.0 apart",
        ),
    ):
        with pytest.raises(jl.InputError, match=message):
            make()
    with pytest.raises(NotImplementedError, match="in-sample"):
        SktimeForecaster(**SMALL).fit(y, fh=[-1, 1])
