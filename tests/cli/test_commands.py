"""The commands from end to end, on small CSV files."""

import csv
import json
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import fields
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from flax import nnx
from small_run import COLUMNS, HIDDEN, HORIZON, SIZES, SMALL, WINDOW, call, noisy_sine, stamp, write

import jax_lstm as jl
from jax_lstm.cli import COMMANDS
from jax_lstm.cli.tutorial import Tutorial
from jax_lstm.data import DataConfig
from jax_lstm.models import ForecastModel
from jax_lstm.models.forecast_model import Layout
from jax_lstm.tasks import open_run
from jax_lstm.tolerances import TOLERANCES, Tolerance
from jax_lstm.train import ModelConfig, OptimConfig, TrainConfig
from jax_lstm.train.config import option, to_dict
from jax_lstm.train.formats import FORMAT
from jax_lstm.version import __version__

RUN_FILES = ["checkpoints", "config.json", "forecasts.png", "losses.png", "metrics.jsonl", "scores.json"]
POSITIONAL = ("run_directory", "in_file", "out_file")
Prints = Callable[..., str]


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def read_json(path: Path) -> Any:
    return json.loads(path.read_text())


def metrics(path: Path) -> list[dict[str, Any]]:
    """The rows of a log, without what depends on the clock."""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [{key: value for key, value in row.items() if key != "seconds"} for row in rows]


def is_png(path: Path) -> bool:
    return path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n" and path.stat().st_size > 5000


def by_hand(directory: Path, *histories: np.ndarray) -> np.ndarray:
    """What comes after each (N, F): the model on its last window, standardised and restored; (n, horizon, C)."""
    run = open_run(directory)
    at = tuple(run.features.index(name) for name in run.target)
    layout, lags = Layout(WINDOW, HORIZON, len(run.features), at), run.about["lags"]
    model = ForecastModel(layout, HIDDEN, segment=run.config.model.segment, lags=lags, rngs=nnx.Rngs(123))
    nnx.update(model, run.weights())
    windows = [(values[-WINDOW:] - run.scaler.mean) / run.scaler.scale for values in histories]
    ahead = np.asarray(model(jnp.asarray(windows, jnp.float32))).reshape(len(windows), HORIZON, -1)
    return ahead * run.scaler.scale[list(at)] + run.scaler.mean[list(at)]


def test_train_writes_a_whole_run(trained: Path, data: str) -> None:
    assert names(trained) == RUN_FILES
    assert names(trained / "checkpoints") == ["16"], "the first epoch took less than ten seconds"
    assert is_png(trained / "losses.png")
    assert is_png(trained / "forecasts.png")
    columns = DataConfig(data, ("y",), time="time", window=WINDOW, horizon=HORIZON, calendar="off", season=24,
                         statistics="shared")  # fmt: skip
    model = ModelConfig(HIDDEN, segment=1, normalise="last")
    optim = OptimConfig(schedule="constant")
    expected = TrainConfig(data=columns, model=model, optim=optim, batch_size=16, epochs=2)
    assert read_json(trained / "config.json") == {"format": FORMAT, **to_dict(expected)}
    rows = metrics(trained / "metrics.jsonl")
    assert {"loss", "grad_norm"} < rows[0].keys()
    epochs = [row for row in rows if "train_loss" in row]
    assert [(row["step"], row["epoch"]) for row in epochs] == [(8, 1), (16, 2)]
    assert epochs[0]["train_loss"] > epochs[1]["train_loss"] > 0


def test_scores_are_those_of_the_forecasts(trained: Path) -> None:
    record, scaler, values = read_json(trained / "scores.json"), open_run(trained).scaler, noisy_sine()
    np.testing.assert_allclose([scaler.mean, scaler.scale], [values[:140].mean(axis=0), values[:140].std(axis=0)])
    assert record["part"] == "test"
    assert list(record["scores"]) == ["LSTM", "persistence", "seasonal-naive", "ridge"]
    ends = range(160, 200 - HORIZON + 1)  # of the windows whose targets lie in the last fifth
    errors = by_hand(trained, *(values[:end] for end in ends)) - [values[end : end + HORIZON, :1] for end in ends]
    expected = {"mse y": np.mean(errors**2), "mae y": np.mean(np.abs(errors))}
    expected |= {"mse": expected["mse y"] / scaler.scale[0] ** 2, "mae": expected["mae y"] / scaler.scale[0]}
    assert record["scores"]["LSTM"] == pytest.approx(expected, rel=1e-4)


@pytest.mark.slow
def test_the_same_config_is_the_same_run_and_resuming_goes_on_to_it(
    trained: Path, tmp_path: Path, says: Prints, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    stopped, whole = Path(shutil.copytree(trained, tmp_path / "stopped")), tmp_path / "whole"
    says("train", "--config", trained / "config.json")
    (again,) = Path("runs").iterdir()
    assert re.fullmatch(r"train-\d{8}-\d{6}", again.name)
    says("train", "--resume", stopped, "--epochs", 3)
    says("train", "--config", trained / "config.json", "--epochs", 3, "--out", whole)
    assert read_json(whole / "config.json") == read_json(trained / "config.json") | {"epochs": 3}
    for one, other in ((again, trained), (stopped, whole)):
        for read, name in ((metrics, "metrics.jsonl"), (read_json, "config.json"), (read_json, "scores.json")):
            assert read(one / name) == read(other / name)


def test_evaluate_prints_the_scores_of_training(trained: Path, tmp_path: Path, says: Prints) -> None:
    printed = says("evaluate", trained, "--out", tmp_path / "scores.json")
    record = read_json(trained / "scores.json")
    assert read_json(tmp_path / "scores.json") == record
    for name, scores in record["scores"].items():
        numbers = [f"{scores['mse']:.4f}", f"{scores['mae']:.4f}", f"{scores['mse y']:.4g}", f"{scores['mae y']:.4g}"]
        assert [name, *numbers] in [line.split() for line in printed.splitlines()]


@pytest.mark.slow
def test_evaluate_scores_another_file_on_the_scale_of_training(trained: Path, tmp_path: Path, says: Prints) -> None:
    values, out = noisy_sine(100, seed=1) * 2 + 7, tmp_path / "scores.json"
    path = write(tmp_path / "other.csv", values)
    says("evaluate", trained, "--csv", path, "--split", "50,20,30", "--part", "val", "--out", out)
    record, scale = read_json(out), open_run(trained).scaler.scale[0]
    naive = [values[end : end + HORIZON, 0] - values[end - 1, 0] for end in range(50, 70 - HORIZON + 1)]
    assert record["part"] == "val"
    assert record["scores"]["persistence"]["mse y"] == pytest.approx(np.mean(np.square(naive)), rel=1e-4)
    assert record["scores"]["persistence"]["mse"] == pytest.approx(np.mean(np.square(naive)) / scale**2, rel=1e-4)


FORECASTS = {
    "time": (COLUMNS, ["time"], ["y"]),
    "rows": (("--target", "y"), ["row"], ["y"]),
    "groups": ((*COLUMNS, "--target", "x", "y", "--group", "site"), ["site", "time"], ["x", "y"]),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", FORECASTS)
def test_forecast_goes_on_where_each_series_ends(tmp_path: Path, says: Prints, case: str) -> None:
    options, labels, target = FORECASTS[case]
    series = [noisy_sine(80, seed=1), noisy_sine(60, seed=2)][: len(labels)]
    path, run = write(tmp_path / "data.csv", *series, time=case != "rows"), tmp_path / "run"
    says("train", "--csv", path, *options, *SMALL, "--out", run)
    assert "forecast.csv" in says("forecast", run)
    header, *rows = csv.reader((run / "forecast.csv").read_text().splitlines())
    assert header == [*labels, *target]
    ahead = [(site, len(values) + step) for site, values in enumerate(series) for step in range(HORIZON)]
    named = [{"site": f"s{site}", "time": stamp(hour), "row": str(hour + 1)} for site, hour in ahead]
    assert [row[: len(labels)] for row in rows] == [[row[name] for name in labels] for row in named]
    expected = np.concatenate(by_hand(run, *series))
    np.testing.assert_allclose([[float(v) for v in row[len(labels) :]] for row in rows], expected, rtol=1e-5, atol=1e-5)
    assert is_png(run / "forecast.png")


def test_forecast_of_another_file_by_the_names_of_its_columns(trained: Path, tmp_path: Path, says: Prints) -> None:
    path, out, values = tmp_path / "other.csv", tmp_path / "out.csv", noisy_sine(50, seed=2)
    rows = [f"{x},7,{stamp(hour)}Z,{y}" for hour, (y, x) in enumerate(values[:48])]
    rows.append(f",7,{stamp(49)}Z,{values[49, 0]}")  # hour 48 is absent, and of hour 49 x is missing
    path.write_text("\n".join(["x,extra,time,y", *rows]) + "\n")
    says("forecast", trained, "--csv", path, "--out", out)
    values[48], values[49, 1] = values[47], values[47, 1]
    header, *rows = csv.reader(out.read_text().splitlines())
    assert header == ["time", "y"]
    assert [row[0] for row in rows] == [f"{stamp(hour)}Z" for hour in (50, 51, 52)]
    np.testing.assert_allclose([[float(row[1])] for row in rows], by_hand(trained, values)[0], rtol=1e-5)
    assert is_png(tmp_path / "out.png")


@pytest.mark.slow
def test_forecast_beyond_the_year_9999_and_of_a_group_without_a_name(tmp_path: Path, says: Prints) -> None:
    path, run = tmp_path / "data.csv", tmp_path / "run"
    rows = [f"{site},9999-12-{day:02},{day % 5}" for site in ("", "b") for day in range(4, 32)]
    path.write_text("\n".join(["site,time,y", *rows]) + "\n")
    says("train", "--csv", path, *COLUMNS, "--group", "site", *SMALL, "--split", "14,7,7", "--out", run)
    says("forecast", run)
    header, *ahead = csv.reader((run / "forecast.csv").read_text().splitlines())
    assert header == ["site", "time", "y"]
    times = [f"10000-01-{day:02}" for day in (1, 2, 3)]
    assert [row[:2] for row in ahead] == [[site, time] for site in ("", "b") for time in times]


@pytest.mark.slow
@pytest.mark.parametrize("split", ["0.5,0,0.5", "0.8,0.2,0", "1.0,0,0"])
def test_parts_may_be_left_out(data: str, tmp_path: Path, says: Prints, split: str) -> None:
    options = ("--split", split, "--quantiles", ".1,.5,.9")
    says("train", "--csv", data, *COLUMNS, *SMALL, *options, "--out", tmp_path / "run")
    for name in ("scores.json", "forecasts.png"):
        assert (tmp_path / "run" / name).exists() == (split != "1.0,0,0")


VARIANT = ("--network", "tutorial", "--bidirectional", "--proj-size", 3, "--loss", "huber", "--backend", "scan")


@pytest.mark.parametrize(
    ("options", "parameters"),
    [(("--loss", "huber"), 12), pytest.param(VARIANT, 12, marks=pytest.mark.slow)],
    ids=["plain", "variant"],
)
def test_compare_records_agreement_speed_and_quality(
    data: str, tmp_path: Path, says: Prints, monkeypatch: pytest.MonkeyPatch, options: tuple[Any, ...], parameters: int
) -> None:
    pytest.importorskip("torch")
    if options != VARIANT:
        monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    run, few = tmp_path / "run", ("--epochs", 1, "--samples", 2, "--agreement-steps", 5)
    says("compare", "--csv", data, *COLUMNS, *SMALL[:-2], *few, *options, "--out", run)
    files = {*RUN_FILES, "compare.json", "metrics.torch.jsonl"} - {"scores.json"}
    assert set(names(run)) == {name for name in files if options == VARIANT or ".png" not in name}
    record = read_json(run / "compare.json")
    assert record["agreed"] is True
    assert all(check["passed"] and check["relative"] <= check["tolerance"] for check in record["agreement"])
    kinds = [re.sub(r"(embed|lstm|position|target|fc|bypass)\S*", "*", check["name"]) for check in record["agreement"]]
    gradients, weights = ["gradient of *"] * parameters, ["* after 5 steps"] * parameters
    assert kinds == ["outputs", *gradients, "losses of 5 Adam steps", *weights]
    for part in ("training", "inference"):
        assert {name: len(seconds) for name, seconds in record[part]["seconds"].items()} == {"JAX": 2, "PyTorch": 2}
    scores = record["scores"]
    assert scores.keys() == {"JAX", "PyTorch", "persistence", "seasonal-naive", "ridge"}
    assert scores["JAX"] == pytest.approx(scores["PyTorch"], rel=1e-3)
    ours, reference = (metrics(run / name)[-1] for name in ("metrics.jsonl", "metrics.torch.jsonl"))
    assert ours == pytest.approx(reference, rel=1e-3)
    says("evaluate", run, "--out", tmp_path / "scores.json")
    assert read_json(tmp_path / "scores.json")["scores"]["LSTM"] == pytest.approx(scores["JAX"])


@pytest.mark.slow
def test_compare_times_nothing_where_the_frameworks_disagree(
    data: str, tmp_path: Path, says: Prints, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch")
    monkeypatch.setitem(TOLERANCES, "outputs", Tolerance(-1.0, -1.0, "even equal outputs do not pass"))
    printed = says("compare", "--csv", data, *COLUMNS, *SIZES, "--out", tmp_path / "run", status=1)
    assert "the frameworks disagree" in printed
    assert names(tmp_path / "run") == ["compare.json", "config.json"]
    record = read_json(tmp_path / "run" / "compare.json")
    assert record["agreed"] is False
    assert [check["name"] for check in record["agreement"] if not check["passed"]] == ["outputs"]
    assert not {"training", "inference"} & record.keys()
    assert record["epochs"] == record["scores"] == {}


def tutorial_losses(printed: str) -> list[float]:
    found = [re.fullmatch(r"Epoch \[(\d+)/100\], Loss: (\d+\.\d{4})", line) for line in printed.splitlines()]
    assert [match and int(match[1]) for match in found] == list(range(10, 101, 10))
    return [float(match[2]) for match in found if match]


@pytest.mark.parametrize("one_batch", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_tutorial_prints_its_lines_and_the_same_in_torch(says: Prints, one_batch: bool) -> None:
    options = ["--one-batch"] if one_batch else []
    losses = tutorial_losses(says("tutorial", *options))
    if one_batch:
        assert losses[-1] < losses[0] / 5, "one batch is learnt by heart"
    else:
        assert min(losses) > 0.3, "new random numbers cannot be learnt"
    pytest.importorskip("torch")
    reference = tutorial_losses(says("tutorial", "--framework", "torch", *options))
    assert losses == pytest.approx(reference, abs=1.01e-4)  # the last digit may round the other way
    last = says("tutorial", "--framework", "torch", "--epochs", 15)
    assert re.findall(r"Epoch \[(\d+)/15\]", last) == ["10", "15"]


def test_tutorial_draws_a_batch_for_each_epoch() -> None:
    new, one = (list(Tutorial(one_batch=one, epochs=3).batches()) for one in (False, True))
    assert [(x.shape, y.shape) for x, y in new] == [((32, 5, 10), (32, 1))] * 3
    assert len({x.tobytes() for x, _ in new}) == len({y.tobytes() for _, y in new}) == 3
    assert len({x.tobytes() for x, _ in one}) == 1


def test_info_names_versions(says: Prints) -> None:
    lines = [line.split() for line in says("info").splitlines()]
    assert ["jax_lstm", __version__] in lines
    assert all([package, version(package)] in lines for package in ("jax", "flax", "optax", "numpy"))
    assert {"torch", "interop", "plot"} <= {line[1] for line in lines if line[:1] == ["extra"]}


def test_help_lists_every_command_and_its_options(capsys: pytest.CaptureFixture[str]) -> None:
    for command in COMMANDS.keys() - {"train", "compare"}:
        names = {each.name for each in fields(COMMANDS[command])} - set(POSITIONAL)
        assert help_of(capsys, command) >= {option(name) for name in names}
    with pytest.raises(SystemExit):
        call("--help")
    assert set(re.findall(r"\w+", capsys.readouterr().out)) >= set(COMMANDS)


@pytest.mark.parametrize(
    ("command", "text"),
    [
        ("train", "second half of the validation part and, as time passes, of the test part"),
        ("forecast", "weights stay those of the training part: the file is read only as the window"),
    ],
)
def test_help_says_what_data_is_used_for(capsys: pytest.CaptureFixture[str], command: str, text: str) -> None:
    with pytest.raises(SystemExit):
        call(command, "--help")
    assert text in " ".join(re.sub("[│╭╰─]", " ", capsys.readouterr().out).split())


EVERYWHERE = {"--out", "--config", "--epochs", "--hidden-size", "--proj-size", "--backend", "--backend-args", "--x64"}
OPTIONS = {
    "forecast": {"--csv", "--target", "--window", "--horizon", "--split", "--loss", "--bidirectional"},
    "text": {"--text", "--units", "--steps", "--embedding-size", "--tied", "--held-out", "--test"},
    "labels": {"--sequences", "--test-sequences", "--label", "--bidirectional", "--held-out"},
}
OF_TRAIN = {"--resume", "--dropout", "--optimizer", "--schedule", "--seeds", "--mesh", "--precision", "--patience"}


@pytest.mark.parametrize("task", ["", *OPTIONS])
@pytest.mark.parametrize("command", ["train", "compare"])
def test_help_lists_the_options_of_its_task_alone(capsys: pytest.CaptureFixture[str], command: str, task: str) -> None:
    found = help_of(capsys, command, *([task] if task else []))
    own = OPTIONS[task or "forecast"]
    assert found >= own | EVERYWHERE
    assert not found & (set.union(*OPTIONS.values()) - own | {"--task"})
    assert found & OF_TRAIN == (OF_TRAIN if command == "train" else set())


def help_of(capsys: pytest.CaptureFixture[str], *command: str) -> set[str]:
    """The options that a help text lists, each at the start of a line."""
    with pytest.raises(SystemExit) as stopped:
        call(*command, "--help")
    assert stopped.value.code == 0
    return set(re.findall(r"(?m)^[^\w\n-]*(--[-\w]+)", capsys.readouterr().out))


def fitted_in_python(task: str, directory: Path) -> None:
    """On data that is in no file."""
    sizes: dict[str, Any] = {"hidden_size": HIDDEN, "epochs": 1}
    if task == "text":
        jl.TextModel(steps=8, **sizes).fit("one two three four " * 20, directory=directory)
    elif task == "labels":
        data = np.random.default_rng(0).normal(size=(40, 6, 2))
        jl.SequenceClassifier(**sizes).fit(data, ["a", "b"] * 20, directory=directory)
    else:
        sizes |= {"window": WINDOW, "horizon": HORIZON, "batch_size": 16, "schedule": "constant"}
        jl.Forecaster(target="y", **sizes).fit(pd.DataFrame(noisy_sine(), columns=["y", "x"]), directory=directory)


@pytest.mark.parametrize(
    ("task", "instead"),
    [
        ("text", "has no file; in Python, use the `score` of TextModel.load('{}')"),
        pytest.param(
            "labels",
            "has no file; in Python, use the `score` of SequenceClassifier.load('{}')",
            marks=pytest.mark.slow,
        ),
        ("forecast", ""),
    ],
)
def test_a_run_of_python_has_no_file(task: str, instead: str, tmp_path: Path, says: Prints) -> None:
    """But that of a forecaster keeps its rows."""
    run = tmp_path / "run"
    fitted_in_python(task, run)
    said = says("train", "--resume", run, "--epochs", 2, status=2)
    assert f"{run}: the run was trained from Python and has no file; only a run on a file can be resumed" in said
    assert "; call `fit` again, with more epochs\n" in said
    assert instead.format(run) in says("evaluate", run, status=2 if instead else 0)


def test_a_longer_run_follows_another_schedule(
    trained: Path, data: str, tmp_path: Path, says: Prints, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    said = "the cosine schedule is now that of 2 epochs, not 1: the learning rate jumps"
    run, sizes = tmp_path / "run", (*SIZES[:-1], 1, "--network", "tutorial", "--schedule", "cosine")
    says("train", "--csv", data, *COLUMNS, *sizes, "--out", run)
    assert "schedule" not in says("train", "--resume", run)
    assert said in says("train", "--resume", run, "--epochs", 2)
    constant = Path(shutil.copytree(trained, tmp_path / "constant"))
    assert "schedule" not in says("train", "--resume", constant, "--epochs", 3)
