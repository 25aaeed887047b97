"""Text, labels and many models from the command line, end to end."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import jax
import numpy as np
import pytest
from small_run import SMALL, call, noisy_sine, write

from jax_lstm.tasks import open_run
from jax_lstm.tasks.run import Run

Prints = Callable[..., str]
pytestmark = pytest.mark.usefixtures("without_pictures")


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "rhyme.txt"
    path.write_text("one two three four\nfive six seven eight\n" * 60)
    return path


@pytest.fixture(scope="module")
def csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path, rng = tmp_path_factory.mktemp("sequences") / "two.csv", np.random.default_rng(0)
    lines = ["sequence,label,a"]
    for number in range(60):
        lines += [f"s{number},{number % 2},{rng.normal(number % 2):.4f}" for _ in range(rng.integers(3, 9))]
    path.write_text("\n".join(lines) + "\n")
    return path


TEXT = ("--hidden-size", 16, "--batch-size", 4, "--steps", 20, "--epochs", 2, "--learning-rate", 0.01, "--tied")
DROPOUT = (*TEXT, "--dropout", 0.1)
LABELS = ("--hidden-size", 8, "--batch-size", 8, "--epochs", 2, "--held-out", 0.2)


@pytest.fixture(scope="module")
def text_run(text: Path) -> Path:
    """Of two epochs."""
    out = text.parent / "run"
    assert call("train", "text", "--text", text, *DROPOUT, "--out", out) == 0
    return out


@pytest.fixture
def wave(tmp_path: Path) -> tuple[Any, ...]:
    """The options of a small forecaster."""
    path = write(tmp_path / "wave.csv", noisy_sine(), time=False)
    return ("train", "--csv", path, "--target", "y", *SMALL, "--features", "y")


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_language_model_from_text_to_text(text: Path, tmp_path: Path, says: Prints) -> None:
    run = tmp_path / "run"
    said = says("train", "text", "--text", text, *TEXT, "--out", run)
    assert re.search(r"characters, 16 distinct", said)
    scores = json.loads((run / "scores.json").read_text())
    assert scores["part"] == "val"
    assert list(scores["scores"]) == ["LSTM", "1-grams", "2-grams", "3-grams", "4-grams"]
    assert f"{scores['scores']['LSTM']['bits per character']:.4f}" in said
    last = [row["val_loss"] for row in rows(run / "metrics.jsonl") if "val_loss" in row][-1]
    assert scores["scores"]["LSTM"]["nats per character"] == pytest.approx(last, rel=1e-5)
    written = says("generate", run, "--prompt", "one ", "--length", 30, "--seed", 1)
    assert written.startswith("one ")
    assert len(written) == len("one ") + 30 + 1


@pytest.mark.slow
def test_the_same_seed_writes_the_same(text_run: Path, tmp_path: Path, says: Prints) -> None:
    says("evaluate", text_run, "--out", tmp_path / "scores.json")
    assert json.loads((tmp_path / "scores.json").read_text()) == json.loads((text_run / "scores.json").read_text())
    written = [says("generate", text_run, "--prompt", "one ", "--length", 30, "--seed", seed) for seed in (1, 1, 2)]
    assert written[0] == written[1] != written[2]
    assert len(says("generate", text_run, "--length", 5, "--temperature", 0)) == 6


@pytest.mark.slow
def test_a_run_of_bytes_takes_a_prompt_that_is_no_text(
    text: Path, tmp_path: Path, says: Prints, pictures: None
) -> None:
    said = says("train", "text", "--text", text, *TEXT, "--epochs", 1, "--units", "bytes", "--out", tmp_path / "run")
    assert (tmp_path / "run" / "losses.png").exists()
    assert "bits per" in said
    assert "character" not in said
    written = says("generate", tmp_path / "run", "--prompt", "a\udcff", "--length", 5)  # as argv has the byte 0xff
    assert written.startswith("a\ufffd")


@pytest.mark.slow
def test_every_command_multiplies_as_the_run_did(
    text: Path, wave: Any, tmp_path: Path, says: Prints, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, read, config = [], Run.all_weights, cast(Any, jax.config)

    def noted(run: Run) -> list[Any]:
        asked.append(config.jax_default_matmul_precision)
        return read(run)

    monkeypatch.setattr(Run, "all_weights", noted)
    precision = ("--epochs", 1, "--matmul-precision", "highest")
    says(*wave, *precision, "--out", tmp_path / "a")
    says("train", "text", "--text", text, *TEXT, *precision, "--out", tmp_path / "b")
    for command, run in (("evaluate", "a"), ("forecast", "a"), ("generate", "b")):
        says(command, tmp_path / run)
    assert asked == ["highest"] * 5


@pytest.mark.slow
def test_resumed_text_is_the_run_that_was_never_stopped(
    text: Path, text_run: Path, tmp_path: Path, says: Prints
) -> None:
    says("train", "text", "--text", text, *DROPOUT, "--epochs", 3, "--out", tmp_path / "whole")
    says("train", "--resume", shutil.copytree(text_run, tmp_path / "parts"), "--epochs", 3)
    assert (tmp_path / "parts" / "scores.json").read_text() == (tmp_path / "whole" / "scores.json").read_text()


def test_two_classifiers_at_once(csv: Path, tmp_path: Path, says: Prints) -> None:
    said = says("train", "labels", "--sequences", csv, *LABELS, "--seeds", "0:2", "--out", tmp_path / "run")
    assert re.search(r"60 sequences of 3 to 8 steps", said)
    assert "2 models at once" in said
    assert "confusion matrix" in said
    record = json.loads((tmp_path / "run" / "scores.json").read_text())
    names = ["all 2 together", "seed 0", "seed 1", "class frequencies", "nearest mean"]
    assert (record["part"], list(record["scores"])) == ("test", names)
    assert f"{record['scores']['all 2 together']['accuracy']:.4f}" in said
    assert open_run(tmp_path / "run").names == ["seed 0", "seed 1"]


@pytest.mark.slow
@pytest.mark.parametrize("task", ["text", "labels"])
def test_compare_holds_for_every_task(task: str, text: Path, csv: Path, tmp_path: Path, says: Prints) -> None:
    pytest.importorskip("torch")
    options = [*TEXT, "--text", text] if task == "text" else [*LABELS, "--sequences", csv]
    few = ("--samples", 2, "--agreement-steps", 5, "--epochs", 1, "--num-layers", 2)
    says("compare", task, *options, *few, "--out", tmp_path / "run")
    record = json.loads((tmp_path / "run" / "compare.json").read_text())
    assert record["agreed"]
    assert record["training"]["unit"] == {"text": "characters", "labels": "sequences"}[task]
    ours, torch = (record["scores"][name] for name in ("JAX", "PyTorch"))
    assert ours == pytest.approx(torch, rel=1e-3)
    losses = [record["epochs"][name][0]["train"] for name in ("JAX", "PyTorch")]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


@pytest.mark.slow
def test_an_ensemble_forecasts_with_an_interval(wave: Any, tmp_path: Path, says: Prints, pictures: None) -> None:
    says(*wave, "--seeds", "0:4", "--out", tmp_path / "run")
    says("forecast", tmp_path / "run")
    header, *lines = (tmp_path / "run" / "forecast.csv").read_text().splitlines()
    assert header == "row,y,y low,y high"
    for line in lines:
        _, y, low, high = map(float, line.split(","))
        assert low < y < high
    assert {path.name for path in (tmp_path / "run").glob("*.png")} == {"losses.png", "forecasts.png", "forecast.png"}


@pytest.mark.slow
def test_members_that_diverged_are_named(wave: Any, tmp_path: Path, says: Prints, pictures: None) -> None:
    run = tmp_path / "run"
    said = says(*wave, "--optimizer", "sgd", "--sweep", "learning_rate=1e30,0.1", "--out", run)
    line = "left out, since their loss became NaN or infinite: learning_rate 1e+30"
    assert all(line in each for each in (said, says("evaluate", run), says("forecast", run)))
    scores = json.loads((run / "scores.json").read_text())["scores"]
    assert list(scores)[:2] == ["learning_rate 0.1", "learning_rate 1e+30"]
    header, first, *_ = (run / "forecast.csv").read_text().splitlines()
    assert (header, first.count(",")) == ("row,y", 1)
    assert {path.name for path in run.glob("*.png")} == {"losses.png", "forecasts.png", "forecast.png"}


@pytest.mark.slow
def test_a_nan_is_traced_to_its_tensor(wave: Any, tmp_path: Path, says: Prints) -> None:
    options = ("--optimizer", "sgd", "--learning-rate", 1e30, "--debug-nans", "--out", tmp_path / "run")
    said = says(*wave, *options, status=1)
    assert re.search(r"the first number that is not finite: step 2, loss is inf, one of 1 in \(\)", said)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_lower_precision_learns(precision: str, text: Path, text_run: Path, tmp_path: Path, says: Prints) -> None:
    says("train", "text", "--text", text, *DROPOUT, "--precision", precision, "--out", tmp_path)
    losses = [
        [row["val_loss"] for row in rows(run / "metrics.jsonl") if "val_loss" in row] for run in (tmp_path, text_run)
    ]
    assert losses[0][-1] < losses[0][0]
    assert losses[0][-1] == pytest.approx(losses[1][-1], rel=0.05)
    assert losses[0] != losses[1]


@pytest.mark.slow
def test_a_trace_and_tensorboard(text: Path, tmp_path: Path, says: Prints) -> None:
    pytest.importorskip("tensorboardX")
    options = ("--chunk-steps", 3, "--profile", 3, "--tensorboard", "--out", tmp_path / "run")
    says("train", "text", "--text", text, *TEXT, *options)
    (events,) = (tmp_path / "run" / "tensorboard").glob("events*")
    tags = ("training_loss__steps", "training_loss__epoch", "gradient_norm", "validation_nats_per_character")
    assert all(tag.encode() in events.read_bytes() for tag in tags)
    assert list((tmp_path / "run" / "profile").rglob("*.xplane.pb"))
