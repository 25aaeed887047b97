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

from jax_lstm.cli import COMMANDS
from jax_lstm.cli.parser import parse
from jax_lstm.tasks import open_run
from jax_lstm.tasks.run import Run
from jax_lstm.train import trainer
from jax_lstm.train.position import after_call as position_after_call
from jax_lstm.weights.files import load_file

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
    asked, read, config = [], Run.member_weights, cast(Any, jax.config)

    def noted(run: Run) -> dict[str, Any]:
        asked.append(config.jax_default_matmul_precision)
        return read(run)

    monkeypatch.setattr(Run, "member_weights", noted)
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


@pytest.mark.slow
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
    assert header == "row,y,y seeds low,y seeds high"
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


SIZES = ("--sweep", "hidden_size=2,8", "--sweep", "learning_rate=1e-4,1e-2", "--seeds", "0:2", "--batch-size", 32)


@pytest.fixture(scope="module")
def sizes(tmp_path_factory: pytest.TempPathFactory, without_pictures: None) -> Path:
    """A sweep over sizes."""
    folder = tmp_path_factory.mktemp("sizes")
    path = write(folder / "wave.csv", noisy_sine(), time=False)
    options = ("--csv", path, "--target", "y", *SMALL, "--features", "y", "--network", "tutorial", *SIZES)
    assert call("train", *options, "--out", folder / "run") == 0
    return folder / "run"


@pytest.mark.slow
def test_a_sweep_over_sizes_is_used_as_its_best_configuration(sizes: Path, tmp_path: Path, says: Prints) -> None:
    record = json.loads((sizes / "scores.json").read_text())
    best = [f"seed {seed}, hidden_size 8, learning_rate 0.01" for seed in (0, 1)]
    each = [f"seed {seed}, hidden_size {size}, learning_rate {rate}"
            for size in (2, 8) for seed in (0, 1) for rate in ("0.0001", "0.01")]  # fmt: skip
    assert list(record["scores"])[:3] == ["all 2 together", *best]
    assert set(each) < record["scores"].keys()
    assert record["chosen"] == best
    assert [row["member"] for row in rows(sizes / "metrics.jsonl")[:4]] == each[:4]
    said = says("evaluate", sizes, "--out", tmp_path / "scores.json")
    assert json.loads((tmp_path / "scores.json").read_text()) == record
    assert re.findall(r"(?m)^ (seed .*) \* ", said) == best
    run = open_run(sizes)
    assert (run.names, run.config.model.hidden_size) == (best, 8)
    assert len(run.others) == 1
    losses = {row["member"]: row["val_loss"] for row in rows(sizes / "metrics.jsonl") if "val_loss" in row}
    assert np.mean([losses[name] for name in best]) < min(loss for name, loss in losses.items() if name not in best)

    says("forecast", sizes, "--out", tmp_path / "out.csv")
    first = float((tmp_path / "out.csv").read_text().splitlines()[1].split(",")[1])
    members = run.forecasts(np.asarray(run.scaler.standardise(noisy_sine()[-6:, :1]), np.float32), np.array([0]))
    np.testing.assert_allclose(first, run.scaler.restore(members.mean(axis=0)[:, :1])[0, 0], rtol=1e-5)
    assert best[run.position.best] in says("export", sizes, "--to", "safetensors", "--out", tmp_path / "a.safetensors")
    assert load_file(tmp_path / "a.safetensors")["lstm.weight_hh_l0"].shape == (32, 8)


@pytest.mark.slow
def test_a_resumed_sweep_is_one_that_was_never_stopped(sizes: Path, tmp_path: Path, says: Prints) -> None:
    """With the first size trained and the second not begun; and then with more epochs."""
    half = Path(shutil.copytree(sizes, tmp_path / "half"))
    shutil.rmtree(half / "members" / "hidden_size 8")
    (half / "metrics.jsonl").unlink()
    assert open_run(half).config.model.hidden_size == 2
    says("train", "--resume", half)
    for name in ("config.json", "scores.json"):
        assert (half / name).read_text() == (sizes / name).read_text()
    without_time = [[{**row, "seconds": 0} for row in rows(run / "metrics.jsonl")] for run in (half, sizes)]
    assert without_time[0] == without_time[1]
    each = (jax.tree.leaves(open_run(run).all_weights()) for run in (half, sizes))
    for got, expected in zip(*each, strict=True):
        np.testing.assert_array_equal(got, expected)
    says("train", "--resume", half, "--epochs", 3)
    assert [open_run(half).position.epoch, *(run.position.epoch for run in open_run(half).others)] == [3, 3]
    assert "must keep --sweep of the run" in says("train", "--resume", half, "--sweep", "hidden_size=2,3", status=2)


@pytest.mark.slow
def test_a_size_of_which_all_members_diverge(
    wave: Any, tmp_path: Path, says: Prints, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other sizes are trained; the run resumes as it is; it fails only if nothing is left."""
    lost = ["num_layers 1"]

    def after_call(position: Any, losses: np.ndarray, names: list[str], *rest: Any) -> Any:
        losses = losses * np.nan if any(one in names[0] for one in lost) else losses
        return position_after_call(position, losses, names, *rest)

    monkeypatch.setattr(trainer, "after_call", after_call)
    options, run = ("--epochs", 1, "--sweep", "num_layers=1,2"), tmp_path / "run"
    said = says(*wave, *options, "--out", run)
    for each in (said, says("train", "--resume", run, "--epochs", 2)):
        assert "the loss of every member with num_layers 1 became NaN or infinite" in each
    found = open_run(run)
    assert (found.names, found.diverged) == (["num_layers 2"], ["num_layers 1"])
    assert [one.position.epoch for one in found.others] == [1], "its weights are lost"
    assert found.position.epoch == 2
    assert json.loads((run / "scores.json").read_text())["scores"]["num_layers 1"]["mse"] is None
    lost.append("num_layers 2")
    said = says(*wave, *options, "--out", tmp_path / "lost", status=1)
    assert "the loss of every member became NaN or infinite; try a lower --learning-rate" in said
    assert "the loss of every member became NaN or infinite" in says("evaluate", tmp_path / "lost", status=2)


def test_the_sweep_of_a_command_is_all_of_its_options() -> None:
    arguments = ["train", "--sweep", "a=1", "b=2", "--epochs", "3", "--sweep=c=1,2", "--sweep", "d=1"]
    assert parse(COMMANDS, arguments, "").train.sweep == ("a=1", "b=2", "c=1,2", "d=1")


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
