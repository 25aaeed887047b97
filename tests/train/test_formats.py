"""Run directories of every format still open: small ones, made by the version of their time, are in `saved/`."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from jax_lstm import InputError
from jax_lstm.cli import main
from jax_lstm.compare import CompareConfig
from jax_lstm.compare.config import upgraded as compare_upgraded
from jax_lstm.tasks import open_run
from jax_lstm.train import ModelConfig, OptimConfig, TrainConfig
from jax_lstm.train.config import from_dict, read_config, to_dict
from jax_lstm.train.formats import FORMAT, upgraded

SAVED = Path(__file__).parent / "saved"
RUNS = {"forecast-0": "forecast", "lm-0": "text", "classify-0": "labels", "forecast-1": "forecast"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of `saved/` as the working directory: the runs name their data by relative paths."""
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)  # no pictures, which take long
    monkeypatch.chdir(shutil.copytree(SAVED, tmp_path / "saved"))
    return Path()


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name == "forecast-0" else [pytest.mark.slow]) for name in RUNS]
)
def test_it_has_the_scores_of_its_time(folder: Path, name: str) -> None:
    run = open_run(folder / name)
    assert run.config.task == RUNS[name]
    assert main(["evaluate", name, "--out", "scores.json"]) == 0
    old, new = (json.loads(path.read_text())["scores"] for path in (folder / name / "scores.json", Path("scores.json")))
    for model in [name for name in old if name in ("LSTM", "all 2 together") or name.startswith("seed")]:
        assert new[model] == pytest.approx(old[model], rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_it_resumes_in_the_present_format(folder: Path, name: str) -> None:
    before = open_run(folder / name)
    assert main(["train", "--resume", name, "--epochs", "2"]) == 0
    run = open_run(folder / name)
    assert (run.position.epoch, run.step) == (2, 2 * before.step)
    config = json.loads((folder / name / "config.json").read_text())
    assert (config["format"], config["task"]) == (FORMAT, RUNS[name])
    about = folder / name / "checkpoints" / str(run.step) / "about" / "metadata"
    assert "config" not in json.loads(about.read_text())


@pytest.mark.slow
def test_other_commands_take_them(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["generate", "lm-0", "--length", "5"]) == 0
    assert len(capfd.readouterr().out) == 6
    for name in ("forecast-0", "forecast-1"):
        assert main(["forecast", name]) == 0
        assert (folder / name / "forecast.csv").exists()
    assert main(["export", "classify-0", "--to", "safetensors"]) == 0
    config = read_config(TrainConfig(), "classify-0/config.json")
    assert (config.task, config.held_out, config.model.hidden_size) == ("labels", 0.2, 2)


def test_a_run_of_a_newer_version_is_refused_in_one_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = "forecast-1/config.json"
    Path(config).write_text(json.dumps(json.loads(Path(config).read_text()) | {"format": 7, "new_option": 3}))
    for command in (["evaluate", "forecast-1"], ["train", "--resume", "forecast-1"], ["train", "--config", config]):
        assert main(command) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert "config.json: run format 7 was written by a newer jax-lstm" in line
        assert f"this version reads formats up to {FORMAT}" in line
    with pytest.raises(InputError, match="run format '1' was written by a newer jax-lstm"):
        upgraded({"format": "1"}, "here")


def test_options_that_format_0_ignored_are_dropped() -> None:
    old = {"task": "classify", "data": {"window": 7}, "model": {"hidden_size": 3, "tied": True}, "held_out": 0.3}
    expected = TrainConfig("labels", model=ModelConfig(3), held_out=0.3)
    assert from_dict(TrainConfig(), upgraded(old, "here"), "here") == expected
    forecast = {"held_out": 0.3, "text": {"steps": 9}, "model": {"embedding_size": 4}}
    assert from_dict(TrainConfig(), upgraded(forecast, "here"), "here") == TrainConfig()


def test_a_comparison_of_format_0() -> None:
    old: dict[str, Any] = {"task": "lm", "hidden_size": 6, "tied": True, "learning_rate": 0.01, "epochs": 2}
    old |= {"samples": 3, "data": {"window": 9}}
    optim = OptimConfig(learning_rate=0.01, schedule="constant")
    train = TrainConfig("text", model=ModelConfig(6, tied=True, output_dropout=0.0), optim=optim, epochs=2)
    expected = CompareConfig(train, samples=3)
    assert from_dict(CompareConfig(), compare_upgraded(old, "here"), "here") == expected
    saved = {"format": FORMAT, **to_dict(expected)}
    assert from_dict(CompareConfig(), compare_upgraded(saved, "here"), "here") == expected
    assert from_dict(TrainConfig(), upgraded(saved, "here"), "here") == train


@pytest.mark.parametrize("number", range(3))
def test_a_comparison_of_a_forecaster_before_there_were_networks(number: int) -> None:
    train = to_dict(TrainConfig(epochs=2))
    train["model"] = {"hidden_size": 6, "num_layers": 1, "bidirectional": False}
    train["optim"]["schedule"] = "constant"
    saved = {"format": number, "train": train, "samples": 3} if number else {"hidden_size": 6, "num_layers": 1}
    found = from_dict(CompareConfig(), compare_upgraded(saved, "here"), "here").train
    assert (found.model.network, found.model.hidden_size, found.optim.schedule) == ("tutorial", 6, "constant")


def test_before_there_was_a_choice_statistics_were_shared() -> None:
    saved = to_dict(TrainConfig(epochs=2))
    del saved["data"]["statistics"]
    assert from_dict(TrainConfig(), upgraded({"format": 4, **saved}, "here"), "here").data.statistics == "shared"
    assert from_dict(TrainConfig(), upgraded({"format": FORMAT, **saved}, "here"), "here").data.statistics == "auto"
    assert upgraded({"data": {"window": 9}}, "here") == {"data": {"window": 9}}, "not what a run wrote"


@pytest.mark.parametrize("task", ["text", "labels"])
@pytest.mark.parametrize("number", range(1, FORMAT))
def test_options_of_forecasts_are_not_added_to_other_tasks(task: Any, number: int) -> None:
    saved = to_dict(TrainConfig(task, epochs=2))
    for name in ("statistics", "calendar"):
        del saved["data"][name]
    assert from_dict(TrainConfig(), upgraded({"format": number, **saved}, "here"), "here") == TrainConfig(
        task, epochs=2
    )


def test_the_tutorial_network_had_an_option_for_its_normalisation() -> None:
    values = {"format": 3, "model": {"network": "tutorial", "normalise": "last", "hidden_size": 4}}
    assert upgraded(values, "")["model"] == {"network": "tutorial", "hidden_size": 4}
