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
from jax_lstm.tasks.run import Run
from jax_lstm.train import ModelConfig, OptimConfig, Progress, TrainConfig, Trainer, fit
from jax_lstm.train.ensemble import groups, members, seeds
from jax_lstm.train.optimizer import make_optimizer
from jax_lstm.train.position import MemberStatus, Position, after_call, after_epoch, position_of

TOLERANCE = 1e-4  # of weights after some dozen steps of Adam: sums in another order


def config_for(data: DataConfig, **options: Any) -> TrainConfig:
    common: dict[str, Any] = {"model": ModelConfig(4, network="tutorial"), "batch_size": 16, "epochs": 3}
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
        {"seeds": "1,4", "model": ModelConfig(4, 2, dropout=0.3, network="tutorial")},
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
    each = open_run(tmp_path / "together").member_weights().values()
    for at, (run, weights) in enumerate(zip(runs, each, strict=True)):
        alone = fit(load_task(run), tmp_path / str(at))
        assert together.position.members[at].best_loss == pytest.approx(alone.position.best_loss, rel=1e-4)
        assert_same(weights, alone.params)


@pytest.mark.slow
def test_rows_of_the_log_bear_the_members_names(data: DataConfig, tmp_path: Path) -> None:
    fit(Forecasting(config_for(data, seeds="3,5", sweep=("learning_rate=0.01,0.02",)), load_dataset(data)), tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    expected = [f"seed {seed}, learning_rate {rate}" for seed in (3, 5) for rate in (0.01, 0.02)]
    assert [row["member"] for row in rows[:4]] == list(open_run(tmp_path).members) == expected


@pytest.mark.slow
def test_nothing_is_predicted_with_a_member_that_diverged(data: DataConfig, tmp_path: Path) -> None:
    config = config_for(data, optim=OptimConfig(optimizer="sgd"), sweep=("learning_rate=1e30,0.01,0.2",))
    task = Forecasting(config, load_dataset(data))
    result = fit(task, tmp_path / "run")
    run = open_run(tmp_path / "run")
    worse, good = [f"learning_rate {rate}" for rate in (0.01, 0.2)]
    assert (run.names, run.diverged) == ([good], ["learning_rate 1e+30"])
    assert [member.diverged for member in result.position.members] == [True, False, False]
    assert (run.position.members, run.position.best) == (result.position.members[2:], 0)
    found = evaluate(run, task, "test")
    assert list(found.scores)[:3] == [good, worse, "learning_rate 1e+30"]
    np.testing.assert_array_equal(run.forecasts(task.dataset.inputs, task.dataset.starts["test"]), found.members)
    record = json.loads(json.dumps(as_json(task, found, "test"), allow_nan=False))
    assert set(record["scores"]["learning_rate 1e+30"].values()) == {None}
    assert record["scores"][good]["mse"] == task.score(found.members[0], "test")["mse"]
    assert record["chosen"] == [good]
    assert_same(run.weights(), fit(load_task(members(config)[good]), tmp_path / "alone").params)


def run_of(statuses: dict[str, MemberStatus], **options: Any) -> Run:
    config = TrainConfig(**options)
    assert list(members(config)) == list(statuses)
    return Run(Path(), 0, config, {}, Position(members=tuple(statuses.values())))


def test_a_sweep_chooses_by_the_mean_over_seeds() -> None:
    """Of the validation loss, each member's best; a configuration that is stable goes before one that is not."""
    losses = {"seed 0, learning_rate 0.1": 1.0, "seed 0, learning_rate 0.2": 2.5,
              "seed 1, learning_rate 0.1": 5.0, "seed 1, learning_rate 0.2": 2.6}  # fmt: skip
    statuses = {name: MemberStatus(best_loss=loss) for name, loss in losses.items()}
    many: dict[str, Any] = {"seeds": "0:2", "sweep": ("learning_rate=0.1,0.2",)}
    run = run_of(statuses, **many)
    assert run.names == ["seed 0, learning_rate 0.2", "seed 1, learning_rate 0.2"]
    assert run.position.best_loss == 2.5
    statuses["seed 1, learning_rate 0.2"] = MemberStatus(best_loss=0.1, diverged=True, stopped=True)
    run = run_of(statuses, **many)
    assert run.names == ["seed 0, learning_rate 0.1", "seed 1, learning_rate 0.1"]
    assert run.diverged == ["seed 1, learning_rate 0.2"]


def test_seeds_alone_are_one_configuration() -> None:
    """Without a validation part too, or before the first epoch has ended."""
    run = run_of(
        {"seed 0": MemberStatus(), "seed 1": MemberStatus(), "seed 2": MemberStatus(diverged=True)}, seeds="0:3"
    )
    assert run.names == ["seed 0", "seed 1"]


def test_sizes_are_groups_of_one_shape_with_the_members_names() -> None:
    sweep = ("learning_rate=1e-3,1e-2", "hidden-size=4,8", "dropout=0,0.5", "num_layers=2")
    config = TrainConfig(seeds="0:2", sweep=sweep)
    found = groups(config)
    assert list(found) == [
        f"hidden_size {size}, dropout {rate}, num_layers 2" for size in (4, 8) for rate in ("0", "0.5")
    ]
    first = found["hidden_size 4, dropout 0.5, num_layers 2"]
    assert (first.model.hidden_size, first.model.dropout, first.model.num_layers) == (4, 0.5, 2)
    assert first.sweep == ("learning_rate=1e-3,1e-2", "hidden_size=4", "dropout=0.5", "num_layers=2")
    assert groups(first) == {"": first}, "it stays as it is when it is resumed"
    each = {name: run for one in found.values() for name, run in members(one).items()}
    assert each == members(config)
    assert groups(TrainConfig(seeds="0:2", sweep=sweep[:1])).keys() == {""}


def test_a_trainer_has_one_shape(data: DataConfig, tmp_path: Path) -> None:
    task = Forecasting(config_for(data, sweep=("hidden_size=4,8",)), load_dataset(data))
    with pytest.raises(InputError, match=r"`sweep` must leave sizes to jax_lstm\.train\.Sweep; got hidden_size=4,8"):
        Trainer(task, tmp_path)


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

    before = open_run(both).member_weights()["learning_rate 0.5"]
    longer = Forecasting(replace(config, epochs=13, patience=50), dataset)
    assert fit(longer, both, resume=True).position.members[0] == stopped, "its weights have gone on"
    after = open_run(both).member_weights()["learning_rate 0.5"]
    for got, expected in zip(*map(jax.tree.leaves, (after, before)), strict=True):
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
        (
            {"sweep": ("bidirectional=0,1",)},
            "must name one of learning_rate, final_rate, clip_norm, hidden_size, num_l",
        ),
        ({"sweep": ("hidden_size=4,8.5",)}, "`--hidden-size` must be an integer of at least 1; got 8.5"),
        ({"sweep": ("hidden_size=4,b",)}, "must be OPTION=NUMBER"),
        ({"sweep": ("dropout=0,0.5",)}, "`--dropout` must be 0 for a single layer"),
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
