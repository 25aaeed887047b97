"""`python -m benchmarks accuracy`: the tasks are those that were published, and both frameworks learn them alike."""

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rich.console import Console

from benchmarks.__main__ import main
from benchmarks.accuracy import commands, forecasts, memory, peers, series, transformer
from benchmarks.accuracy.command import STUDIES, UNASKED, installed
from benchmarks.accuracy.goals import first_losses_part, goals, goals_of_larger, lower, mean, of, of_the_best, spread
from benchmarks.accuracy.learners import Learning, Net, normal
from benchmarks.accuracy.memory import Memory, jobs, learn
from benchmarks.accuracy.published import MEMORY, guess
from benchmarks.accuracy.row import OURS, THEIRS, Row, from_record, to_rows
from benchmarks.accuracy.tables import clearly, notes, tables, tiles
from benchmarks.accuracy.tasks import TASKS
from benchmarks.core.record import RECORDS, Record, Recorder, begin, read, write
from benchmarks.core.tables import markdown
from jax_lstm.checks import InputError
from jax_lstm.tasks import load_task, text_scores
from jax_lstm.tolerances import TOLERANCES
from jax_lstm.train import TrainConfig
from jax_lstm.train.config import OptimConfig, with_options

OPTIM = OptimConfig("adam", 1e-2, schedule="cosine", clip_norm=1.0)
ADDING = Learning(16, 32, steps=300, input_scales=(1.0, 1.0), forget_scale=0.5, reach=1.0, optim=OPTIM)
SMALL = Memory({20: ADDING}, {20: 1})
# So few steps bring copy memory over the plateau of guessing, where an eighth of the symbols is right.
COPY = dataclasses.replace(
    ADDING, hidden_size=32, batch_size=16, input_scales=(4.0,) * 8 + (1.0,), reach=3.0,
    optim=dataclasses.replace(OPTIM, learning_rate=3e-2),
)  # fmt: skip


@pytest.mark.parametrize(
    ("task", "length", "setting", "below"),
    [("adding", 20, SMALL, 0.1), ("copy", 2, Memory({2: COPY}, {2: 1}, test_batches=4), 0.95)],
)
def test_a_task_is_learnt_by_both_alike(
    task: str, length: int, setting: Memory, below: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(memory.QUICK, task, setting)
    rows = [job.run() for job in jobs(task, quick=True, seeds=1)]
    assert [row.who for row in rows] == [OURS, THEIRS]
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
OT: dict[str, Any] = {"time": "date", "target": ["OT"], "features": ["OT"], "horizon": 24, "window": 48}
OT |= {"split": ",".join(map(str, PARTS))}


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


def test_etth1(waves: np.ndarray, tmp_path: Path) -> None:
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
    record = begin("accuracy", "")
    record.rows.extend(each for row in rows.values() for each in to_rows(row))
    write(record, tmp_path / "record.json")
    kept = {row.who: row for row in from_record(read(tmp_path / "record.json"))}
    assert kept == rows
    assert all(job.made(kept[job.who]) for job in jobs)


def test_segrnn(waves: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    """It learns, from the past alone; its figures are means over all windows; columns are apart."""
    torch = pytest.importorskip("torch")
    from benchmarks.accuracy import segrnn

    (job,) = forecasts.segrnn_jobs(quick=True, seeds=1)
    row = job.run()
    assert job.made(row)
    (again,) = from_record(dataclasses.replace(begin("accuracy", ""), rows=to_rows(row)))
    assert again == row
    assert "SegRNN, trained here, in PyTorch" in markdown(*tables(dataclasses.replace(begin("accuracy", ""), rows=[
        *to_rows(row), *to_rows(Row("etth1", "multivariate", 24, OURS, 0, {"mse": 1.0, "mae": 1.0}, 0.0)),
    ])))  # fmt: skip
    values = (waves - waves[: PARTS[0]].mean(axis=0)) / waves[: PARTS[0]].std(axis=0)
    starts = range(PARTS[0] + PARTS[1] - 1, sum(PARTS) - 24)
    persistence = np.mean([np.square(values[at + 1 : at + 25] - values[at]) for at in starts])
    assert row.figures["mse"] < 0.5 * persistence
    recipe = forecasts.Recipe(window=48, hidden=8)
    model = segrnn.SegRNN(7, 24, recipe).eval()
    x = torch.randn(3, 48, 7)
    with torch.inference_mode():
        y, shifted = model(x), model(x + torch.arange(7.0))
        assert shifted == pytest.approx((y + torch.arange(7.0)).numpy(), abs=1e-5)
        x[1, 5, 2] += 1
        changed = (model(x) != y).nonzero()
    assert {tuple(at) for at in changed[:, [0, 2]].tolist()} == {(1, 2)}


def test_peers_forecast_the_same_windows(waves: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    """A forecaster that knows the future has no error, one that is late by a row has."""
    data = load_task(with_options(TrainConfig(), {"csv": str(series.file_of("ETTh1.csv")), **OT}, "forecast")).dataset
    assert len(data.starts["test"]) == PARTS[2] - 24 + 1

    def clairvoyant(late: int) -> Any:
        ahead = np.arange(24) + 1 - late
        return lambda kind, data, seed, present: data.targets[present[:, None] + ahead]

    monkeypatch.setattr(peers, "_darts", clairvoyant(0))
    monkeypatch.setattr(peers, "_neuralforecast", clairvoyant(1))
    assert peers.errors("Darts BlockRNN", data, 0) == {"mse": 0.0, "mae": 0.0}
    assert peers.errors("neuralforecast LSTM", data, 0)["mse"] > 0


@pytest.mark.parametrize("who", forecasts.PEERS)
def test_peers_learn(who: str, waves: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip(forecasts.PEERS[who])
    data = load_task(with_options(TrainConfig(), {"csv": str(series.file_of("ETTh1.csv")), **OT}, "forecast")).dataset
    monkeypatch.setattr(peers, "STEPS", 100)
    monkeypatch.setattr(peers, "EPOCHS", 60)
    late = data.targets[data.starts["test"] + data.config.window - 1]
    ahead = data.starts["test"][:, None] + data.config.window + np.arange(24)
    persistence = np.square(data.targets[ahead] - late[:, None]).mean()
    assert peers.errors(who, data, 0)["mse"] < persistence


def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    jobs = list(forecasts.peer_jobs(quick=True, seeds=1))
    assert [job.who for job in jobs] == [OURS, *forecasts.PEERS]
    monkeypatch.setattr("benchmarks.accuracy.command.find_spec", lambda name: None if name == "darts" else object())
    kept = installed(jobs, Console())
    assert [job.who for job in kept] == [OURS, *(who for who in forecasts.PEERS if not who.startswith("Darts"))]
    assert capsys.readouterr().out.count("darts is not installed and is left out: pip install") == 1


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
    found = {goal.text: goal for goal in goals(rows)}
    reached = found["ETTh1 univariate, horizon 24, MSE relative to ridge regression"]
    assert reached.reached == pytest.approx(1)
    assert reached.met is True
    assert found["ETTh1 univariate, horizon 24, MAE relative to ridge regression"].met is False
    assert found["ETTh1 univariate, horizon 48, MAE relative to ridge regression"].met is None
    assert len([name for name in found if re.match(r"ETTh1 .*, horizon \d+, M.. relative", name)]) == 20
    assert len([name for name in found if re.match(r"ETTh1 multivariate, .*, averaged: MSE", name)]) == 4
    assert mean(rows[:2], "mse") == pytest.approx(0.11)
    assert spread(rows[:2], "mse") == pytest.approx(np.std([0.1, 0.12], ddof=1))
    assert [clearly(rows, "univariate", 24, figure) for figure in ("mse", "mae")] == [0, 1]


def test_a_series_counts_as_better_only_below_every_baseline() -> None:
    """Intervals have the same tasks, and do not count."""
    rows = []
    for name, one in forecasts.SERIES.items():
        errors = {"persistence": 3.0, "seasonal-naive": 0.9 if name == "CO2" else 2.0, "ridge": 1.0, OURS: 0.95}
        for who in (*one.baselines, OURS):
            rows.append(Row("series", name, one.options["horizon"], who, None, {"mse": errors[who]}, 0.0))
        rows.append(Row("intervals", name, one.options["horizon"], OURS, 0, {"share": 0.9}, 0.0))
    assert lower([0.5, 0.98, 0.995, 1 - 1e-7, 1.0, 1.2]) == 3, "a difference that is rounding does not count"
    assert lower([0.5, 0.98, 0.995], 0.01) == 2
    goal = next(goal for goal in goals(rows) if goal.text == "series with a lower MSE than every baseline")
    assert (goal.reached, goal.met) == (9.0, True)


def test_series_are_chosen_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["accuracy", "--quick", "--study", "adding", "--out", str(tmp_path / "a.json")]
    assert main([*command, "--series", "airlines"]) == 2
    assert "`--series` must be one of 'adding'; got 'airlines'" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("study", ["peers", "larger"])
def test_the_committed_record_has_all_of_each_series(study: str) -> None:
    rows = from_record(read(RECORDS / f"{study}.json", "accuracy"))
    jobs = [job for job in STUDIES[study](False, 3) if job.task in {row.task for row in rows}]
    assert len(jobs) == len(rows)
    assert all(any(job.made(row) for row in rows) for job in jobs)
    if study == "larger":
        assert {row.task for row in rows} == set(forecasts.LARGER)


def test_a_larger_network_differs_by_its_units_alone() -> None:
    ridge, ours, larger = forecasts.larger_jobs(quick=True, seeds=1)
    assert (ridge.who, ours.who, larger.who) == ("ridge", OURS, forecasts.LARGER_LSTM)
    assert larger.config == ours.config | {"hidden_size": 256}
    known = forecasts.LARGER["bicycles and weather"].options
    assert known["target"] == ["users"]
    assert set(known["future"]) == set(known["features"]) - {"users"}


def test_goals_of_a_larger_network() -> None:
    rows = [Row("larger", "taxi", 48, forecasts.LARGER_LSTM, seed, {"mse": 0.2 + seed / 10}, 1.0) for seed in (0, 1)]
    found = {goal.text.partition(",")[0]: goal.met for goal in goals_of_larger(rows)}
    assert found == {"taxi": False, "bicycles": None, "bicycles and weather": None}
    assert next(iter(goals_of_larger(rows[:1]))).met is True


def test_the_command_makes_a_record_and_goes_on_with_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the record holds is kept, what has another config is made again, and what is of no job stays."""
    monkeypatch.setitem(memory.QUICK, "adding", Memory({20: dataclasses.replace(ADDING, steps=20)}, {20: 1}))
    out, resumed = tmp_path / "record.json", tmp_path / "resumed.json"
    command = ["accuracy", "--quick", "--study", "adding", "--study", "copy", "--series", "adding", "--seeds", "1"]
    assert main([*command, "--out", str(out)]) == 0
    assert "T=20, LSTM" in capsys.readouterr().out
    record = read(out, "accuracy")
    ours, theirs = from_record(record)
    assert (ours.who, theirs.who) == (OURS, THEIRS)
    assert [row for each in (ours, theirs) for row in to_rows(each)] == record.rows
    other = dataclasses.replace(ours, size=21)
    stale = dataclasses.replace(theirs, config={"steps": 7}, figures={"loss": 9.0})
    rows = [row for each in (ours, stale, other) for row in to_rows(each)]
    Recorder(dataclasses.replace(record, commit="c0ffee", rows=rows), out).add([])
    assert main([*command, "--resume", str(out), "--out", str(resumed)]) == 0
    again = read(resumed, "accuracy")
    assert again.commit == f"c0ffee, {record.commit}"
    kept = from_record(again)
    assert kept[:2] == [other, ours]  # with the seconds that it took then
    assert dataclasses.replace(kept[2], seconds=0.0) == dataclasses.replace(theirs, seconds=0.0)
    assert len(kept) == 3


def test_the_committed_record_is_that_of_the_full_setting() -> None:
    """Rows that the command would make now, in its order; what heads the report does not hide ties and defeats.

    ETTh1 with all columns takes hours and may be missing as a whole.
    """
    record = read(RECORDS / "accuracy.json", "accuracy")
    rows = from_record(record)
    made = [job for name in (*UNASKED, "segrnn") for job in STUDIES[name](False, 3)]
    made = [job for job in made if job.task != "multivariate" or of(rows, "etth1", job.task, job.size, OURS)]
    assert [next((at for at, row in enumerate(rows) if job.made(row)), None) for job in made] == list(range(len(rows)))
    known = of_the_best(rows)
    assert len(known) == 10
    assert tiles(record)[0][0] == f"{lower(known)} of 10"
    assert f"more than 1 % {lower(known, 0.01)}" in tiles(record)[0][1]
    assert f"never above {max(known):.3f}" in notes(record)
    assert len(tables(record)) == (7 if any(row.task == "multivariate" for row in rows) else 6)


# Through the commands of a user

TINY = "--network tutorial --hidden-size 4 --window 48"
SETTINGS = {
    commands.SHAKESPEARE: f"text --text {commands.TEXT} --test 0.2 --hidden-size 8 --steps 10 --batch-size 4 "
    "--epochs 2",
    "weather, float32": f"{TINY} --epochs 1 --seeds 0:2 --batch-size 512 --precision float32",
    "weather, bfloat16": f"{TINY} --epochs 1 --seeds 0:2 --batch-size 512 --precision bfloat16",
}


def test_commands_are_run_and_not_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "text.txt").write_text("one two three four\nfive six seven eight\n" * 60)
    monkeypatch.setenv("TINYSHAKESPEARE", str(tmp_path / "text.txt"))
    monkeypatch.setattr(commands, "SETTINGS", SETTINGS)
    monkeypatch.setattr(commands, "EVALUATE", {commands.SHAKESPEARE: "--cold 256 --dynamic 1e-2"})
    monkeypatch.setattr(commands, "SIZE", {"layers": 1, "width": 8, "heads": 2, "block": 16, "batch": 4})
    monkeypatch.setattr(text_scores, "BATCHES", 2)
    train, given = transformer.train, list[float]()  # for less time than the LSTM
    monkeypatch.setattr(transformer, "train", lambda text, size, time: given.append(time) or train(text, size, 0.5))
    out, command = tmp_path / "a.json", ["accuracy", "--study", "commands"]
    assert main([*command, "--out", str(out)]) == 0
    record = read(out, "accuracy")
    curves = {row.case: row for row in record.of(commands.PART, "", commands.CURVE)}
    assert list(curves) == list(SETTINGS)
    assert [len(row.samples) for row in curves.values()] == [2, 1, 1]
    text, curve = markdown(*tables(record)), curves[commands.SHAKESPEARE]
    assert (curve.about["part"], given) == ("test", [curve.about["processor_seconds"]])
    assert f"lowest validation loss {min(curve.samples):.4f}, mean over the seeds, after epoch 2; the test part" in text
    nats = {row.contender: row.value for row in record.of(commands.PART, commands.SHAKESPEARE, commands.MEASURE)}
    assert f"windows of 256: {nats['LSTM, windows of 256']:.4f}; aimed at: below 1.4697, what" in text
    assert f"dynamic: {nats['LSTM, dynamic']:.4f}; aimed at: at most 1.4000, set beforehand: missed" in text
    assert 2 < nats["Transformer, windows of 16"] < 4, "65 or so characters, hardly learnt"
    reached = replaced(
        record, commands.SHAKESPEARE, commands.MEASURE, {"LSTM, dynamic": 1.40, "LSTM, windows of 256": 1.4697}
    )
    judged = markdown(*commands.scores(reached, commands.SHAKESPEARE))
    assert judged.count("reached") == judged.count("missed") == 1, "at most, and below"
    mse = {name: commands._members(record, name, "mse") for name in SETTINGS if name.startswith("weather")}
    apart = mse["weather, bfloat16"] / mse["weather, float32"] - 1
    assert f"{apart.min():+.2%} to {apart.max():+.2%}" in text

    ran: list[str] = []
    monkeypatch.setattr(commands, "run", lambda name, options: ran.append(name) or [])
    assert main([*command, "--resume", str(out), "--out", str(tmp_path / "b.json")]) == 0
    assert (read(tmp_path / "b.json").rows, ran) == (record.rows, [])
    monkeypatch.setattr(commands, "SETTINGS", {"weather, float32": "--other"})
    assert main([*command, "--resume", str(out), "--out", str(tmp_path / "c.json")]) == 0
    assert ran == ["weather, float32"]


def replaced(record: Record, case: str, measure: str, values: dict[str, float]) -> Record:
    """The record with other samples for some contenders."""
    return dataclasses.replace(
        record,
        rows=[
            dataclasses.replace(row, samples=[values[row.contender]])
            if (row.case, row.measure) == (case, measure) and row.contender in values
            else row
            for row in record.rows
        ],
    )


def test_a_command_that_fails_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="jax-lstm train --epochs -1: ended with exit status 2"):
        commands.run("weather, float32", "--epochs -1")
    monkeypatch.setenv("TINYSHAKESPEARE", "/no/such/file")
    with pytest.raises(InputError, match=r"tinyshakespeare.txt: not found at .*; get it from .*TINYSHAKESPEARE=FILE"):
        commands.run(commands.SHAKESPEARE, commands.SETTINGS[commands.SHAKESPEARE])


def test_the_committed_records_are_of_these_commands() -> None:
    records = [read(RECORDS / f"{name}.json", "accuracy") for name in ("text", "tasks")]
    curves = {row.case: row for record in records for row in record.of(commands.PART, "", commands.CURVE)}
    assert {name: row.about["options"] for name, row in curves.items()} == commands.SETTINGS
    evaluated = {name: row.about["evaluate"]["options"] for name, row in curves.items() if "evaluate" in row.about}
    assert evaluated == commands.EVALUATE
