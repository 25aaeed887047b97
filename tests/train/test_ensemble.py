"""Many models at once: each is what it would be alone."""

import json
import math
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_lstm import InputError
from jax_lstm.data import DataConfig, load_dataset
from jax_lstm.tasks import load_task, open_run
from jax_lstm.tasks.evaluation import as_json, evaluate
from jax_lstm.tasks.forecast import Forecasting
from jax_lstm.train import ModelConfig, OptimConfig, Progress, TrainConfig, fit
from jax_lstm.train.ensemble import members, seeds
from jax_lstm.train.optimizer import make_optimizer
from jax_lstm.train.position import MemberStatus, Position, after_call, after_epoch, position_of

TOLERANCE = 1e-4  # of weights after some dozen steps of Adam: sums in another order


def config_for(data: DataConfig, **options: Any) -> TrainConfig:
    common: dict[str, Any] = {"model": ModelConfig(hidden_size=4), "batch_size": 16, "epochs": 3}
    return TrainConfig(data=data, **{**common, "optim": OptimConfig(learning_rate=0.02), **options})


def assert_same(weights: Any, alone: Any) -> None:
    for got, expected in zip(jax.tree.leaves(weights), jax.tree.leaves(alone), strict=True):
        np.testing.assert_allclose(got, expected, atol=TOLERANCE * np.abs(expected).max())


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {"sweep": ("learning_rate=0.01,0.03",)},
        {"seeds": "0:3"},
        {"seeds": "1,4", "model": ModelConfig(4, 2, dropout=0.3)},
        {"sweep": ("final_rate=0.01,0.5",), "optim": OptimConfig(learning_rate=0.02, schedule="exponential")},
        {
            "seeds": "0:2",
            "sweep": ("b1=0.8,0.95",),
            "optim": OptimConfig(optimizer_args=("b1=0.9",), schedule="cosine", warmup_steps=3, clip_norm=0.5),
        },
    ],
)
def test_each_member_is_what_it_would_be_alone(data: DataConfig, tmp_path: Path, options: dict[str, Any]) -> None:
    config = config_for(data, **options)
    together = fit(load_task(config), tmp_path / "together")
    runs = list(members(config).values())
    assert len(runs) == len(together.position.members) > 1
    for at, (run, weights) in enumerate(zip(runs, open_run(tmp_path / "together").all_weights(), strict=True)):
        alone = fit(load_task(run), tmp_path / str(at))
        assert together.position.members[at].best_loss == pytest.approx(alone.position.best_loss, rel=1e-4)
        assert_same(weights, alone.params)


@pytest.mark.slow
def test_rows_of_the_log_bear_the_members_names(data: DataConfig, tmp_path: Path) -> None:
    fit(Forecasting(config_for(data, seeds="3,5", sweep=("learning_rate=0.01,0.02",)), load_dataset(data)), tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    expected = [f"seed {seed}, learning_rate {rate}" for seed in (3, 5) for rate in (0.01, 0.02)]
    assert [row["member"] for row in rows[:4]] == open_run(tmp_path).names == expected


@pytest.mark.slow
@pytest.mark.parametrize("split", ["0.7,0.1,0.2", "0.8,0,0.2"])
def test_nothing_is_predicted_with_a_member_that_diverged(data: DataConfig, tmp_path: Path, split: str) -> None:
    data = replace(data, split=split)
    config = config_for(data, optim=OptimConfig(optimizer="sgd"), sweep=("learning_rate=1e30,0.1,0.2",))
    task = Forecasting(config, load_dataset(data))
    result = fit(task, tmp_path / "run")
    run = open_run(tmp_path / "run")
    good, better = [f"learning_rate {rate}" for rate in (0.1, 0.2)]
    assert (run.names, run.diverged) == ([good, better], ["learning_rate 1e+30"])
    assert [member.diverged for member in result.position.members] == [True, False, False]
    assert result.position.best == run.position.best + 1 > 0
    found = evaluate(run, task, "test")
    assert list(found.scores)[:4] == ["all 2 together", good, better, "learning_rate 1e+30"]
    np.testing.assert_allclose(found.predictions, found.members.mean(axis=0), rtol=1e-6)
    np.testing.assert_array_equal(run.forecasts(task.dataset.inputs, task.dataset.starts["test"]), found.members)
    written = json.loads(json.dumps(as_json(task, found, "test"), allow_nan=False))["scores"]
    assert set(written["learning_rate 1e+30"].values()) == {None}
    assert written[better]["mse"] == task.score(found.members[1], "test")["mse"]
    assert_same(run.all_weights()[0], fit(load_task(members(config)[good]), tmp_path / "alone").params)


@pytest.mark.slow
def test_patience_is_each_members_own(data: DataConfig, tmp_path: Path) -> None:
    """A member that stops early keeps its best weights while the others go on; its later rows are empty."""
    dataset, reports, both = load_dataset(data), list[Progress](), tmp_path / "both"
    config = config_for(data, sweep=("learning_rate=0.5,0.01",), epochs=12, patience=2)
    result = fit(Forecasting(config, dataset), both, report=reports.append)
    stopped, going = result.position.members
    assert (stopped.stopped, going.stopped) == (True, False), "the test needs one that stops"
    for at, run in enumerate(members(config).values()):
        alone = fit(Forecasting(run, dataset), tmp_path / str(at))
        assert result.position.members[at].best_loss == pytest.approx(alone.position.best_loss, rel=1e-3)
        assert result.position.members[at].stopped == alone.stopped_early
    rows = [json.loads(line) for line in (both / "metrics.jsonl").read_text().splitlines()]
    told = {row["epoch"]: None not in row.values() for row in rows if row["member"] == "learning_rate 0.5"}
    last = max(epoch for epoch, known in told.items() if known)
    assert 2 < last < 12
    assert told == {epoch: epoch <= last for epoch in range(1, 13)}
    assert all(None not in row.values() for row in rows if row["member"] == "learning_rate 0.01")
    assert (reports[-1].train_loss, reports[-1].val_loss) == (reports[-1].train_losses[1], reports[-1].val_losses[1])

    before = open_run(both).all_weights()[0]
    longer = Forecasting(replace(config, epochs=13, patience=50), dataset)
    assert fit(longer, both, resume=True).position.members[0] == stopped, "its weights have gone on"
    for got, expected in zip(*map(jax.tree.leaves, (open_run(both).all_weights()[0], before)), strict=True):
        np.testing.assert_array_equal(got, expected)


def test_a_member_that_has_stopped_does_not_diverge_any_more() -> None:
    """Out of patience, it has its weights; that of the other then become NaN does not undo the run."""
    names, nan, config = ["a", "b"], np.full((2, 3), np.nan), TrainConfig(patience=1)
    done = MemberStatus(best_loss=1.0, stale_epochs=1, stopped=True)
    position = after_call(Position(members=(done, MemberStatus())), nan, names, [1.0, 1.0], "")
    assert (position.members[0], position.members[1].diverged, position.stopped) == (done, True, True)
    position, better = after_epoch(position, [np.nan, np.nan], config, names, [1.0, 1.0], "")
    assert (position.members[0], better) == (done, [False, False])
    assert position_of(asdict(position), config) == position
    assert math.isnan(Progress(position, 3, 3, (np.nan, np.nan)).train_loss)


def test_forecasts_in_16_bits_have_their_mean_in_full(data: DataConfig) -> None:
    task = Forecasting(config_for(data, precision="bfloat16"), load_dataset(data))
    each = [jnp.full((2, 2), value, "bfloat16") for value in (1.0, 1.0078125)]  # between the two there is none
    np.testing.assert_array_equal(task.combine([np.asarray(one) for one in each]), np.full((2, 2), 1.00390625))


def test_names_and_combinations() -> None:
    config = TrainConfig(seeds="2:4", sweep=("learning-rate=1e-3,1e-2",))
    runs = members(config)
    assert [(run.seed, run.optim.learning_rate) for run in runs.values()] == [
        (2, 1e-3), (2, 1e-2), (3, 1e-3), (3, 1e-2),
    ]  # fmt: skip
    assert list(runs)[1] == "seed 2, learning_rate 0.01"
    close = TrainConfig(sweep=("learning_rate=0.0123456,0.01234561", "clip_norm=1,1e30"))
    assert list(members(close)) == [
        f"learning_rate {rate}, clip_norm {norm}" for rate in ("0.0123456", "0.01234561") for norm in ("1", "1e+30")
    ]
    assert seeds("7") == [7]
    assert members(TrainConfig(seed=3)) == {"": TrainConfig(seed=3)}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seeds": "4:4"}, "`--seeds` must be FIRST:END or numbers"),
        ({"seeds": "1,1"}, "each once; got '1,1'"),
        ({"sweep": ("hidden_size=4,8",)}, "must name a number of the optimiser: learning_rate"),
        ({"sweep": ("learning_rate=a",)}, "must be OPTION=NUMBER"),
        ({"sweep": ("learning_rate=1", "learning_rate=2")}, "name each option once"),
        ({"sweep": ("clip_norm=0,1",)}, "clip_norm must be above 0 in every run"),
        ({"sweep": ("learning_rate=-1,1",)}, "`--learning-rate` must be positive"),
        ({"sweep": ("seed=1,2",)}, "`--sweep` must leave the seed to --seeds; got seed=1,2"),
        ({"sweep": ("learning_rate=0.1,1e-1",)}, "`--sweep` must give each value once; got learning_rate=0.1,1e-1"),
        (
            {"sweep": ("b2=0.9,0.99",), "optim": OptimConfig(optimizer_args=("b2=0.9", "b1=x"))},
            "`--optimizer-args` must be NAME=NUMBER, as b1=0.95; got 'b1=x'",
        ),
    ],
)
def test_what_cannot_be_swept_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        members(TrainConfig(**options))


def test_numbers_of_a_member_go_before_the_configs() -> None:
    params = {"w": np.ones(3, np.float32)}
    config = OptimConfig(learning_rate=0.1, optimizer_args=("b1=0.9",))
    own = make_optimizer(config, 10, params, {"learning_rate": 0.2, "b1": 0.5})
    other = make_optimizer(OptimConfig(learning_rate=0.2, optimizer_args=("b1=0.5",)), 10, params)
    first, second = (jax.tree.leaves(each.update(params, each.init(params), params)[0]) for each in (own, other))
    np.testing.assert_array_equal(first, second)
