"""`python -m benchmarks accuracy`: the tasks are those that were published, and both frameworks learn them alike."""

import csv
import dataclasses
import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rich.console import Console

torch = pytest.importorskip("torch")

from benchmarks import record as records  # noqa: E402
from benchmarks.__main__ import main  # noqa: E402
from benchmarks.accuracy import etth1, setting  # noqa: E402
from benchmarks.accuracy.command import carry_out  # noqa: E402
from benchmarks.accuracy.etth1 import Forecasting, csv_file  # noqa: E402
from benchmarks.accuracy.forecaster import Forecaster, best_linear, fit_linear, linear_forecasts  # noqa: E402
from benchmarks.accuracy.goals import first_losses_part, judged, mean, spread  # noqa: E402
from benchmarks.accuracy.learners import Learning, Net, normal  # noqa: E402
from benchmarks.accuracy.memory import Memory, jobs, learn  # noqa: E402
from benchmarks.accuracy.published import MEMORY, guess  # noqa: E402
from benchmarks.accuracy.report import figures  # noqa: E402
from benchmarks.accuracy.row import OURS, THEIRS, Row  # noqa: E402
from benchmarks.accuracy.tasks import TASKS  # noqa: E402
from jax_lstm.checks import InputError  # noqa: E402
from jax_lstm.data import DataConfig, Dataset, load_dataset  # noqa: E402
from jax_lstm.tolerances import TOLERANCES  # noqa: E402
from jax_lstm.train.config import OptimConfig  # noqa: E402

ROOT = Path(__file__).parents[2]
RECORD = ROOT / "benchmarks" / "records" / "accuracy.json"
PAGE = ROOT / "docs" / "accuracy.md"
OPTIM = OptimConfig("adam", 1e-2, schedule="cosine", clip_norm=1.0)
SMALL = Memory(
    {
        20: Learning(
            hidden_size=16, batch_size=32, steps=300, input_scales=(1.0, 1.0), forget_scale=0.5, reach=1.0, optim=OPTIM
        )
    },
    {20: 1},
)


@pytest.fixture(scope="module")
def learnt() -> dict[str, Row]:
    return {who: learn("adding", 20, who, 0, SMALL) for who in (OURS, THEIRS)}


def test_the_adding_problem_is_learnt_by_both_alike(learnt: dict[str, Row]) -> None:
    for row in learnt.values():
        assert row.figures["loss"] < 0.1 * guess("adding", 20)
        assert row.curve["loss"][0] > 0.5 * guess("adding", 20)
        assert len(row.curve["loss"]) == len(row.curve["step"]) == 15
    parted = first_losses_part(list(learnt.values()), "adding", 20)
    assert parted is not None
    assert parted <= TOLERANCES["losses"].float32


def test_copy_memory_is_learnt_by_both_alike() -> None:
    """So few steps bring it over the plateau of guessing, where an eighth of the symbols is right."""
    optim = OptimConfig("adam", 3e-2, schedule="cosine", clip_norm=1.0)
    learning = Learning(32, 16, steps=300, input_scales=(4.0,) * 8 + (1.0,), forget_scale=0.5, reach=3.0, optim=optim)
    memory = Memory({2: learning}, {2: 1}, test_batches=4)
    rows = [learn("copy", 2, who, 0, memory) for who in (OURS, THEIRS)]
    for row in rows:
        assert row.figures["loss"] < 0.95 * guess("copy", 2)
        assert row.figures["accuracy"] > 0.2
    parted = first_losses_part(rows, "copy", 2)
    assert parted is not None
    assert parted <= TOLERANCES["losses"].float32


def test_adding() -> None:
    x, y = TASKS["adding"].draw(np.random.default_rng(0), 11, 500)
    assert x.shape == (11, 500, 2)
    assert x.dtype == y.dtype == np.float32
    for values, marked, total in zip(x[..., 0].T, x[..., 1].T, y, strict=True):
        at = np.flatnonzero(marked)
        assert len(at) == 2
        assert total == pytest.approx(values[at].sum())
    assert (x[..., 1].mean(axis=1) > 0).all()  # anywhere
    assert np.var(y) == pytest.approx(guess("adding", 11), rel=0.15)


def test_copy() -> None:
    x, y = TASKS["copy"].draw(np.random.default_rng(0), 30, 8)
    assert x.shape == (50, 8, 9)
    assert y.shape == (50, 8)
    symbols = x[:10].argmax(axis=-1) + 1
    assert np.array_equal(symbols, y[-10:])
    assert set(np.unique(symbols)) == set(range(1, 9))
    assert not y[:-10].any()
    assert not x[10:39].any()
    assert np.array_equal(x[39:], np.broadcast_to(np.eye(9)[8], (11, 8, 9)))  # the marker


def test_what_guessing_gives_is_what_was_published_for_an_lstm() -> None:
    assert guess("copy", 1000) == pytest.approx(MEMORY["copy"][1000], abs=5e-5)
    assert guess("adding", 600) == pytest.approx(MEMORY["adding"][600], abs=5e-3)


def test_chrono() -> None:
    net = Net(TASKS["adding"], 100, SMALL.lengths[20], seed=0)
    i, f, g, o = np.split(np.asarray(net.lstm.params["bias_ih_l0"] + net.lstm.params["bias_hh_l0"]), 4)
    assert np.exp(f) == pytest.approx(np.linspace(1, 99, 16), rel=1e-4)
    assert np.array_equal(i, -f)
    assert not g.any()
    assert not o.any()
    i, f, _, _ = np.split(np.asarray(net.lstm.params["weight_ih_l0"]), 4)
    assert f.std() / i.std() == pytest.approx(0.5, rel=0.5)
    recurrent = np.asarray(net.lstm.params["weight_hh_l0"])[:16]
    assert recurrent @ recurrent.T == pytest.approx(np.eye(16), abs=1e-5)
    blank, symbol = np.asarray(normal((0.0, 8.0))(jax.random.key(0), (2, 999), jnp.float32))
    assert not blank.any()
    assert symbol.std() == pytest.approx(8.0, rel=0.1)


def test_a_loss_that_is_not_finite_is_said() -> None:
    wild = dataclasses.replace(SMALL.lengths[20], steps=40, optim=OptimConfig("sgd", 1e30))
    with pytest.raises(ArithmeticError, match="adding, T=20, LSTM, seed 0"):
        learn("adding", 20, OURS, 0, dataclasses.replace(SMALL, lengths={20: wild}))


# ETTh1


def test_where_etth1_is_sought(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ETTH1_CSV", str(tmp_path / "none.csv"))
    with pytest.raises(InputError, match=r"ETDataset .*ETTH1_CSV=FILE"):
        csv_file()
    (tmp_path / "none.csv").write_text("date,OT\n")
    assert csv_file() == tmp_path / "none.csv"


@pytest.fixture(scope="module")
def etth1_values() -> np.ndarray:
    try:
        path = csv_file()
    except InputError as error:
        pytest.skip(str(error))
    with path.open(encoding="utf-8") as file:
        return np.array([[float(cell) for cell in row[1:]] for row in list(csv.reader(file))[1:]])


@pytest.mark.parametrize("horizon", [24, 720])
@pytest.mark.parametrize("table", ["univariate", "multivariate"])
def test_protocol(table: str, horizon: int, etth1_values: np.ndarray) -> None:
    """The number of windows, and persistence, by NumPy alone."""
    values = etth1_values if table == "multivariate" else etth1_values[:, -1:]
    values = (values - values[:8640].mean(axis=0)) / values[:8640].std(axis=0)
    errors = []
    for first in range(8640 + 2880, 8640 + 2880 + 2880 - horizon + 1):
        errors.append(values[first : first + horizon] - values[first - 1])
    job = next(job for job in etth1.jobs(Forecasting((horizon,)), 1) if (job.task, job.who) == (table, "persistence"))
    row = job.run()
    assert job.made(row)
    assert row.figures["windows"] == len(errors) == 2880 - horizon + 1
    assert row.figures["mse"] == pytest.approx(np.mean(np.square(errors)), rel=1e-5)
    assert row.figures["mae"] == pytest.approx(np.mean(np.abs(errors)), rel=1e-5)


@pytest.fixture(scope="module")
def waves(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Two sines on a drift, and a little noise."""
    path, rows = tmp_path_factory.mktemp("waves") / "waves.csv", np.arange(900)
    noise = np.random.default_rng(0).normal(0, 0.02, (2, len(rows)))
    a, b = np.sin(rows / 4) + rows / 500 + noise[0], np.cos(rows / 6) + noise[1]
    path.write_text("a,b\n" + "".join(f"{x},{y}\n" for x, y in zip(a, b, strict=True)))
    return load_dataset(DataConfig(str(path), ("a", "b"), ("a", "b"), window=24, horizon=6, split="600,150,150"))


def _mse(dataset: Dataset, forecasts: np.ndarray, part: str = "test") -> float:
    return etth1._scores(dataset, part, forecasts)["mse"]


def test_the_forecaster_learns_and_keeps_its_best(waves: Dataset) -> None:
    model: Any = Forecaster(2, 6, hidden_size=16, dropout=0.0, seed=0)
    config = Forecasting(learning_rate=1e-2, batch_size=32, epochs=8, patience=2).train_config(0)
    best, curve = etth1.fit(model, waves, config)
    forecast = etth1.make_forecast(model, 24)
    inputs = jnp.asarray(waves.inputs)
    known = forecast(best, inputs, waves.starts["val"])
    assert _mse(waves, known, "val") == pytest.approx(min(curve["validation"]), rel=1e-5)
    persistence, _ = etth1.BASELINES["persistence"](waves, Forecasting())
    forecasts = forecast(best, inputs, waves.starts["test"])
    assert _mse(waves, forecasts) < 0.2 * _mse(waves, persistence)


def test_the_forecaster_sees_a_window_less_its_level(waves: Dataset) -> None:
    model = Forecaster(2, 6, hidden_size=4, dropout=0.5, seed=0)
    model.eval()
    x = jax.random.normal(jax.random.key(0), (3, 24, 2))
    shift = jnp.array([5.0, -7.0])
    assert np.asarray(model(x + shift)) == pytest.approx(np.asarray(model(x) + jnp.tile(shift, 6)), abs=1e-4)


def test_the_linear_model_is_least_squares(waves: Dataset) -> None:
    """Against NumPy's solver, on one column; the penalty is chosen by the validation part."""
    weights = fit_linear(waves, (0.01,))[0.01]
    rows = [waves.inputs[start : start + 30, 1].astype(np.float64) for start in waves.starts["train"]]
    x = np.array([np.append(row[:24] - row[23], 1.0) for row in rows])
    y = np.array([row[24:] - row[23] for row in rows])
    penalty = np.sqrt(0.01 * len(x)) * np.eye(25)
    expected, *_ = np.linalg.lstsq(np.concatenate([x, penalty]), np.concatenate([y, np.zeros((25, 6))]), rcond=None)
    assert x @ weights[1] == pytest.approx(x @ expected, abs=1e-8)
    start = waves.starts["test"][5]
    row = waves.inputs[start : start + 24, 1].astype(np.float64)
    forecast = linear_forecasts(waves, weights, waves.starts["test"])[5].reshape(6, 2)[:, 1]
    assert forecast == pytest.approx(np.append(row - row[-1], 1.0) @ weights[1] + row[-1], abs=1e-8)
    assert best_linear(waves, (1e-6, 1e6))[0] == 1e-6


# The command, its record and its page


def test_a_record_is_gone_on_with(tmp_path: Path, learnt: dict[str, Row]) -> None:
    """What it holds is kept, what has another config is made again, and what is of no job stays."""
    path, made, trained = tmp_path / "record.json", list(jobs("adding", SMALL, seeds=1)), []
    assert [(job.who, job.seed) for job in made] == [(OURS, 0), (THEIRS, 0)]
    stale = dataclasses.replace(learnt[THEIRS], config={"steps": 7})
    other = dataclasses.replace(learnt[OURS], size=21)
    record = dataclasses.replace(records.begin("accuracy", "a test", {}), rows=[learnt[OURS], stale, other])

    def instead(row: Row) -> Any:
        return lambda: trained.append(row.who) or row

    instead_of = [dataclasses.replace(job, run=instead(learnt[job.who])) for job in made]
    with (tmp_path / "said").open("w") as said:
        record = carry_out(instead_of, record, path, Console(file=said))
    assert trained == [THEIRS]
    assert records.read(path, "accuracy", Row).rows == record.rows == [other, learnt[OURS], learnt[THEIRS]]


def test_goals() -> None:
    def row(seed: int, mse: float) -> Row:
        return Row("etth1", "univariate", 24, OURS, seed, {"mse": mse, "mae": 0.3}, 0.0)

    rows = [row(0, 0.1), row(1, 0.12)]
    goals = {goal["goal"]: goal for goal in judged(rows)}
    assert goals["ETTh1 univariate, horizon 24, MSE"]["met"] is True
    assert goals["ETTh1 univariate, horizon 24, MAE"]["met"] is False
    assert goals["ETTh1 univariate, horizon 48, MAE"]["met"] is None
    assert len([name for name in goals if name.startswith("ETTh1")]) == 20
    assert mean(rows, "mse") == pytest.approx(0.11)
    assert spread(rows, "mse") == pytest.approx(np.std([0.1, 0.12], ddof=1))


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    quick = dataclasses.replace(setting.QUICK, adding=dataclasses.replace(SMALL, torch_seeds={}))
    monkeypatch.setattr("benchmarks.accuracy.command.QUICK", quick)
    out = tmp_path / "record.json"
    command = ["accuracy", "--quick", "--study", "adding", "--seeds", "1"]
    assert main([*command, "--out", str(out)]) == 0
    assert "T=20, LSTM" in capsys.readouterr().out
    values = json.loads(out.read_text())
    assert len(values["rows"]) == 1
    out.write_text(json.dumps(values | {"commit": "c0ffee"}))
    resumed = tmp_path / "resumed.json"
    assert main([*command, "--resume", str(out), "--out", str(resumed)]) == 0
    again = json.loads(resumed.read_text())
    assert again["rows"] == values["rows"]  # nothing is trained again
    assert again["commit"] == f"c0ffee, {values['commit']}"
    assert main(["accuracy", "--study", "unknown"]) == 2
    assert "--study" in capsys.readouterr().err


def test_the_record_is_that_of_the_full_setting() -> None:
    """Rows that the command would make now, in its order."""
    record = records.read(RECORD, "accuracy", Row)
    made = [job for study in setting.STUDIES.values() for job in study(setting.Setting(), 3)]
    there = [next((at for at, row in enumerate(record.rows) if job.made(row)), None) for job in made]
    assert there == list(range(len(record.rows)))
    assert record.goals == judged(record.rows)


def test_pictures(tmp_path: Path, learnt: dict[str, Row]) -> None:
    pytest.importorskip("matplotlib")
    record = dataclasses.replace(records.begin("accuracy", "a test", {}), rows=list(learnt.values()))
    figures(record, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["accuracy-adding.png"]
