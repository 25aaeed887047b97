"""Columns beside the target are used: shuffled, they change the forecasts and make them worse."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import jax_lstm as jl
from jax_lstm.data import DataConfig, load_dataset
from jax_lstm.tasks import finish, load_task
from jax_lstm.tasks.ahead import as_frame, forecast_ahead
from jax_lstm.tasks.evaluation import evaluate
from jax_lstm.train import ModelConfig, OptimConfig, TrainConfig, fit

ROWS, HORIZON = 500, 3


def panel() -> pd.DataFrame:
    """`signal` tells the target three rows ahead, `plan` and `kind` in the same row, and `size` its amplitude."""
    rng, parts = np.random.default_rng(0), []
    for site, size in (("a", 1.0), ("b", 3.0)):
        signal, plan = rng.choice([-1.0, 1.0], ROWS + HORIZON), rng.choice([-1.0, 1.0], ROWS)
        row = np.arange(ROWS)
        y = size * (np.sin(row / 4) + signal[:ROWS] + plan) + 0.05 * rng.standard_normal(ROWS)
        kind = np.where(plan > 0, "open", "closed")
        columns = {"site": site, "y": y, "signal": signal[HORIZON:], "plan": plan, "size": size, "kind": kind}
        parts.append(pd.DataFrame(columns))
    return pd.concat(parts, ignore_index=True)


ROLES: dict[str, Any] = {
    "past": {"past": ("signal",)},
    "future": {"past": ("signal",), "future": ("plan",)},
    "static": {"past": ("signal",), "future": ("plan",), "static": ("size",)},
    "categories": {"past": ("signal",), "future": ("kind",), "categories": ("kind",)},
}


@pytest.mark.slow
@pytest.mark.parametrize("decode", ["segments", "linear"])
@pytest.mark.parametrize(("role", "column"), [("past", "signal"), ("future", "plan"), ("static", "size"),
                                              ("categories", "kind=open")])  # fmt: skip
def test_a_column_that_matters_is_used(role: str, column: str, decode: Any, tmp_path: Path) -> None:
    panel().to_csv(tmp_path / "panel.csv", index=False)
    data = DataConfig(str(tmp_path / "panel.csv"), ("y",), group="site", window=12, horizon=HORIZON, **ROLES[role])
    model = ModelConfig(24, segment=3, decode=decode, normalise="last", output_dropout=0.0, bypass="none")
    config = TrainConfig(data=data, model=model, optim=OptimConfig(learning_rate=5e-3), epochs=12)
    task: Any = load_task(config)
    fit(task, tmp_path / "run")
    run = finish(tmp_path / "run", task)
    before = evaluate(run, task, "test")
    at = task.dataset.features.index(column)
    if role == "static":
        task.dataset.inputs[:, at] *= -1  # the other site's
    else:
        task.dataset.inputs[:, at] = np.random.default_rng(1).permutation(task.dataset.inputs[:, at])
    after = evaluate(run, task, "test")
    assert not np.allclose(before.predictions, after.predictions)
    assert after.scores["LSTM"]["mse"] > 1.2 * before.scores["LSTM"]["mse"]


def test_static_columns_have_one_value_for_each_series(tmp_path: Path) -> None:
    panel().to_csv(tmp_path / "panel.csv", index=False)
    options: dict[str, Any] = {"group": "site", "window": 12, "static": ("plan",), "ignore": ("kind",)}
    data = DataConfig(str(tmp_path / "panel.csv"), ("y",), **options)
    with pytest.raises(jl.InputError, match="`--static` must name columns with one value for each series; got 'plan'"):
        load_dataset(data)


@pytest.mark.slow
def test_what_is_known_of_the_future(tmp_path: Path) -> None:
    """The forecast covers the rows that carry it, and follows it; without such rows it is refused."""
    whole = panel()[lambda table: table["site"] == "a"].drop(columns=["site", "kind", "size"])
    options: dict[str, Any] = {"target": "y", "future": "plan", "past": "signal", "window": 12, "horizon": HORIZON}
    model = jl.Forecaster(**options, hidden_size=8, epochs=1).fit(whole)
    forecasts = {}
    for name, plan in (("up", [1.0, 1.0]), ("down", [-1.0, -1.0])):
        ahead = pd.DataFrame({"y": np.nan, "signal": np.nan, "plan": plan})
        with pytest.warns(UserWarning, match="fewer rows of the future than the horizon, 3: only these are forecast"):
            forecasts[name] = model.predict(pd.concat([whole, ahead], ignore_index=True))["y"].to_numpy()
        assert len(forecasts[name]) == 2
    assert (forecasts["up"] > forecasts["down"] + 1).all()
    with pytest.raises(jl.InputError, match="no row follows the last known y; add the rows to forecast, with what is"):
        model.predict(whole)
    found = model.backtest(whole, folds=2).forecasts
    assert np.abs(found["forecast"] - found["actual"]).mean() < 1.5
    frame = as_frame(forecast_ahead(model.run, model.run.data_config(), pd.concat([whole, ahead], ignore_index=True)))
    assert len(frame) == 2
