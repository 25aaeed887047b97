"""`python -m benchmarks accuracy`: the tasks are those that were published, and both frameworks learn them alike."""

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import record as records
from benchmarks.__main__ import main
from benchmarks.accuracy import forecasts, series, setting
from benchmarks.accuracy.goals import first_losses_part, judged, mean, spread
from benchmarks.accuracy.learners import Learning, Net, normal
from benchmarks.accuracy.memory import Memory, learn
from benchmarks.accuracy.published import MEMORY, guess
from benchmarks.accuracy.report import clearly
from benchmarks.accuracy.row import OURS, THEIRS, Row
from benchmarks.accuracy.tasks import TASKS
from jax_lstm.checks import InputError
from jax_lstm.tolerances import TOLERANCES
from jax_lstm.train.config import OptimConfig

OPTIM = OptimConfig("adam", 1e-2, schedule="cosine", clip_norm=1.0)
ADDING = Learning(16, 32, steps=300, input_scales=(1.0, 1.0), forget_scale=0.5, reach=1.0, optim=OPTIM)
SMALL = Memory({20: ADDING}, {20: 1})
# So few steps bring copy memory over the plateau of guessing, where an eighth of the symbols is right.
COPY = dataclasses.replace(
    ADDING, hidden_size=32, batch_size=16, input_scales=(4.0,) * 8 + (1.0,), reach=3.0,
    optim=dataclasses.replace(OPTIM, learning_rate=3e-2),
)  # fmt: skip


@pytest.mark.parametrize(
    ("task", "length", "memory", "below"),
    [("adding", 20, SMALL, 0.1), ("copy", 2, Memory({2: COPY}, {2: 1}, test_batches=4), 0.95)],
)
def test_a_task_is_learnt_by_both_alike(task: str, length: int, memory: Memory, below: float) -> None:
    rows = [learn(task, length, who, 0, memory) for who in (OURS, THEIRS)]
    for row in rows:
        assert row.figures["loss"] < below * guess(task, length)
        assert row.curve["loss"][0] > 0.5 * guess(task, length)
        assert len(row.curve["loss"]) == len(row.curve["step"]) == 15
        assert row.figures.get("accuracy", 1.0) > 0.2
    parted = first_losses_part(rows, task, length)
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
    assert guess("adding", 600) == pytest.approx(MEMORY["adding"][600], abs=5e-3)


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
    assert guess("copy", 1000) == pytest.approx(MEMORY["copy"][1000], abs=5e-5)


def test_chrono() -> None:
    net = Net(TASKS["adding"], 100, ADDING, seed=0)
    i, f, g, o = np.split(np.asarray(net.lstm.params["bias_ih_l0"] + net.lstm.params["bias_hh_l0"]), 4)
    assert np.exp(f) == pytest.approx(np.linspace(1, 99, 16), rel=1e-4)
    assert np.array_equal(i, -f)
    assert not g.any() | o.any()
    i, f, _, _ = np.split(np.asarray(net.lstm.params["weight_ih_l0"]), 4)
    assert f.std() / i.std() == pytest.approx(0.5, rel=0.5)
    recurrent = np.asarray(net.lstm.params["weight_hh_l0"])[:16]
    assert recurrent @ recurrent.T == pytest.approx(np.eye(16), abs=1e-5)
    blank, symbol = np.asarray(normal((0.0, 8.0))(jax.random.key(0), (2, 999), jnp.float32))
    assert not blank.any()
    assert symbol.std() == pytest.approx(8.0, rel=0.1)


def test_a_loss_that_is_not_finite_is_said() -> None:
    wild = dataclasses.replace(ADDING, steps=40, optim=OptimConfig("sgd", 1e30))
    with pytest.raises(ArithmeticError, match="adding, T=20, LSTM, seed 0"):
        learn("adding", 20, OURS, 0, Memory({20: wild}, {}))


PARTS = (600, 150, 150)


@pytest.fixture
def waves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[np.ndarray]:
    """A small ETTh1: seven sines on a drift, and a little noise; what its file says, (T, 7)."""
    at, noise = np.arange(sum(PARTS)), np.random.default_rng(0).normal(0, 0.02, (sum(PARTS), 7))
    values = np.sin(at[:, None] / np.arange(3, 10)) + at[:, None] / 500 + noise
    days = np.datetime64("2016-07-01T00") + at.astype("timedelta64[h]")
    lines = [f"{day},{','.join(map(str, row))}\n" for day, row in zip(days, values, strict=True)]
    (tmp_path / "waves.csv").write_text(f"date,{','.join(forecasts.COLUMNS)}\n{''.join(lines)}")
    monkeypatch.setenv("ETTH1_CSV", str(tmp_path / "waves.csv"))
    monkeypatch.setattr(forecasts, "SPLIT", ",".join(map(str, PARTS)))
    series.file_of.cache_clear()
    yield values
    series.file_of.cache_clear()


def test_etth1(waves: np.ndarray) -> None:
    """The rows of a table: persistence is that of NumPy, and the LSTM is no worse than ridge regression."""
    jobs = [job for job in forecasts.etth1_jobs(quick=True, seeds=1) if job.task == "univariate"]
    rows = {job.who: job.run() for job in jobs}
    assert rows.keys() == {*forecasts.BASELINES, OURS}
    assert {row.size for row in rows.values()} == {24}
    values = waves[:, -1]
    values = (values - values[: PARTS[0]].mean()) / values[: PARTS[0]].std()
    errors = [values[at + 1 : at + 25] - values[at] for at in range(PARTS[0] + PARTS[1] - 1, sum(PARTS) - 24)]
    assert rows["persistence"].figures["mse"] == pytest.approx(np.mean(np.square(errors)), rel=1e-4)
    assert rows["persistence"].published == {"mse": 0.114, "mae": 0.272}
    ours = rows[OURS]
    assert ours.figures["mse"] <= 1.01 * rows["ridge"].figures["mse"] < 0.5 * rows["persistence"].figures["mse"]
    assert ours.figures["epochs"] == len(ours.curve["epoch"]) == len(ours.curve["validation"])
    assert ours.seconds > 0
    assert all(job.made(Row(**json.loads(json.dumps(dataclasses.asdict(rows[job.who]))))) for job in jobs)


def test_series_have_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXCHANGE_RATE_CSV", str(tmp_path / "rates.csv"))
    (tmp_path / "rates.csv").write_text("1,2\n3,4\n")
    series.file_of.cache_clear()
    assert series.file_of("exchange_rate.csv").read_text() == "c0,c1\n1,2\n3,4\n"
    series.file_of.cache_clear()
    for name, one in forecasts.SERIES.items():
        assert one.options.keys() <= {"time", "target", "features", "horizon", "split"}, f"{name} tunes the model"


def test_where_etth1_is_sought(monkeypatch: pytest.MonkeyPatch) -> None:
    series.file_of.cache_clear()
    monkeypatch.setenv("ETTH1_CSV", "none.csv")
    with pytest.raises(InputError, match=r"ETDataset .*ETTH1_CSV=FILE"):
        series.file_of("ETTh1.csv")


def test_goals() -> None:
    figures = [{"mse": 0.1, "mae": 0.3}, {"mse": 0.12, "mae": 0.3}]
    rows = [Row("etth1", "univariate", 24, OURS, seed, each, 0.0) for seed, each in enumerate(figures)]
    rows += [Row("etth1", "univariate", 24, "ridge", None, {"mse": 0.11, "mae": 0.29}, 0.0)]
    goals = {goal["goal"]: goal for goal in judged(rows)}
    reached = goals["ETTh1 univariate, horizon 24, MSE relative to ridge regression"]
    assert reached["reached"] == pytest.approx(1)
    assert reached["met"] is True
    assert goals["ETTh1 univariate, horizon 24, MAE relative to ridge regression"]["met"] is False
    assert goals["ETTh1 univariate, horizon 48, MAE relative to ridge regression"]["met"] is None
    assert len([name for name in goals if name.startswith("ETTh1") and "relative" in name and "," in name[6:]]) == 20
    assert mean(rows[:2], "mse") == pytest.approx(0.11)
    assert spread(rows[:2], "mse") == pytest.approx(np.std([0.1, 0.12], ddof=1))
    assert [clearly(rows, "univariate", 24, figure) for figure in ("mse", "mae")] == [0, 1]


def test_a_series_counts_as_better_only_below_every_baseline() -> None:
    rows = []
    for name, one in forecasts.SERIES.items():
        for who, error in (
            ("persistence", 3.0),
            ("seasonal-naive", 0.9 if name == "CO2" else 2.0),
            ("ridge", 1.0),
            (OURS, 0.95),
        ):
            rows.append(Row("series", name, one.options["horizon"], who, None, {"mse": error}, 0.0))
    goal = next(goal for goal in judged(rows) if goal["goal"] == "series with a lower MSE than every baseline")
    assert (goal["reached"], goal["met"]) == (9.0, True)


def test_the_command_makes_a_record_and_goes_on_with_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the record holds is kept, what has another config is made again, and what is of no job stays."""
    quick = dataclasses.replace(setting.QUICK, adding=Memory({20: dataclasses.replace(ADDING, steps=20)}, {20: 1}))
    monkeypatch.setattr("benchmarks.accuracy.command.QUICK", quick)
    out, resumed = tmp_path / "record.json", tmp_path / "resumed.json"
    command = ["accuracy", "--quick", "--study", "adding", "--seeds", "1"]
    assert main([*command, "--out", str(out)]) == 0
    assert "T=20, LSTM" in capsys.readouterr().out
    values = json.loads(out.read_text())
    ours, theirs = values["rows"]
    assert (ours["who"], theirs["who"]) == (OURS, THEIRS)
    other, stale = ours | {"size": 21}, theirs | {"config": {"steps": 7}, "figures": {"loss": 9.0}}
    out.write_text(json.dumps(values | {"commit": "c0ffee", "rows": [ours, stale, other]}))
    assert main([*command, "--resume", str(out), "--out", str(resumed)]) == 0
    again = json.loads(resumed.read_text())
    assert again["commit"] == f"c0ffee, {values['commit']}"
    assert again["rows"][:2] == [other, ours]  # with the seconds that it took then
    assert len(again["rows"]) == 3
    assert again["rows"][2] | {"seconds": 0.0} == theirs | {"seconds": 0.0}
    assert main(["accuracy", "--study", "unknown"]) == 2
    assert "--study" in capsys.readouterr().err


def test_the_committed_record_is_that_of_the_full_setting() -> None:
    """Rows that the command would make now, in its order."""
    record = records.read(records.ROOT / "benchmarks" / "records" / "accuracy.json", "accuracy", Row)
    made = [job for study in setting.STUDIES.values() for job in study(setting.Setting(), 3)]
    there = [next((at for at, row in enumerate(record.rows) if job.made(row)), None) for job in made]
    assert there == list(range(len(record.rows)))
    assert record.goals == judged(record.rows)
    horizons = [row for row in record.rows if row.study == "etth1"]
    assert horizons
    assert all(row.figures["windows"] == 2880 - row.size + 1 for row in horizons)
