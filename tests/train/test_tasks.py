"""Tasks: which options they take; language models against what can be worked out by hand."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jax_lstm import InputError, kernels
from jax_lstm.data import DataConfig, TextConfig
from jax_lstm.data.text import Alphabet, load_text
from jax_lstm.models import LanguageModel
from jax_lstm.tasks import load_task
from jax_lstm.tasks.generation import make_generate
from jax_lstm.tasks.models import backend
from jax_lstm.tasks.scores import truth_of
from jax_lstm.tasks.text import in_streams, n_grams
from jax_lstm.train import ModelConfig, OptimConfig, TrainConfig, fit


def config_for(**options: Any) -> TrainConfig:
    common: dict[str, Any] = {"model": ModelConfig(8), "batch_size": 8, "epochs": 3, "chunk_steps": 5}
    return TrainConfig(**{**common, "optim": OptimConfig(learning_rate=0.02), **options})


def test_streams_of_a_text_go_on_from_step_to_step(text: TextConfig) -> None:
    task = load_task(config_for(task="text", text=text))
    for epoch in range(3):
        rows = task.batches(task.config, epoch).reshape(-1, 8)
        assert (np.diff(rows, axis=0) == 7).all()
        covered = np.sort((rows[..., None] + np.arange(7)).ravel())
        assert len(np.unique(covered)) == covered.size
        assert covered[0] >= 0
        assert covered[-1] + 1 < len(task.text.train)


@pytest.mark.slow
def test_the_state_is_carried_from_batch_to_batch(text: TextConfig, tmp_path: Path) -> None:
    """The text repeats after six characters and a step has seven: what follows `ab` is known from before the step."""
    task = load_task(config_for(task="text", text=text, epochs=12))
    result = fit(task, tmp_path)
    assert result.position.best_loss is not None
    assert result.position.best_loss < 0.1
    assert result.position.best_loss < task.baselines("val")["2-grams"]["nats per character"]


def test_a_text_resumes_only_on_itself(text: TextConfig, tmp_path: Path) -> None:
    """By the checksum that a run keeps; another text of the same characters may be scored."""
    path, same = tmp_path / "text.txt", Path(text.text).read_text()
    config = config_for(task="text", text=replace(text, text=str(path)))
    path.write_text(same)
    before = load_task(config)
    path.write_text(same.replace("abc", "bac", 1))  # of the same characters, and as long
    assert load_task(config, before.about).about["checksum"] != before.about["checksum"]


def test_in_streams_has_every_character_once() -> None:
    codes = np.arange(100)
    pieces = in_streams(codes, 4, 6)
    assert pieces.shape == (5, 4, 7)
    np.testing.assert_array_equal(pieces[1:, :, 0], pieces[:-1, :, -1])
    targets = pieces[..., 1:].swapaxes(0, 1).ravel()[:99]
    np.testing.assert_array_equal(targets, np.arange(1, 100))


def test_predictions_are_the_models(text: TextConfig) -> None:
    """One stream, so that nothing is cut: the log-probabilities of the model on the whole text at once."""
    task = load_task(config_for(task="text", text=text))
    model = task.build(task.config)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("jax_lstm.tasks.text.MAX_STREAMS", 1)
        got = task.make_predict(model, "val")(nnx.state(model, nnx.Param), None)
    logits, _ = model(task.text.val[None, :-1])
    expected = np.asarray(jax.nn.log_softmax(logits[0]))[np.arange(len(task.text.val) - 1), task.text.val[1:]]
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)
    scores = task.score(got, "val")
    assert scores["bits per character"] == pytest.approx(-np.mean(expected) / math.log(2), rel=1e-5)


def test_n_grams_are_counts() -> None:
    train, codes = np.array([0, 1, 0, 1, 0, 2]), np.array([1, 0, 1])
    one = np.log((np.array([3, 2]) + 5 / 3) / (6 + 5))
    np.testing.assert_allclose(n_grams(train, codes, 3, 1), one)
    two = (np.array([2, 2]) + 5 * np.exp(one)) / (np.array([2, 3]) + 5)
    np.testing.assert_allclose(n_grams(train, codes, 3, 2), np.log(two))


def test_bytes_and_characters(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text("äbc\n" * 60, encoding="utf-8")
    characters = load_text(TextConfig(str(path), steps=5), 0.1)
    assert characters.alphabet.characters == "\nbcä"
    assert characters.alphabet.decode(characters.train[:4]) == "äbc\n"
    raw = load_text(TextConfig(str(path), "bytes", steps=5), 0.1)
    assert raw.alphabet.size == 256
    assert raw.alphabet.decode(raw.train[:5]) == "äbc\n".encode()
    task = load_task(config_for(task="text", text=raw.config))
    assert (task.unit, list(task.score(np.zeros(5), "val"))) == ("bytes", [task.metric, "bits per byte"])
    assert Alphabet("characters", "\nbcä").encode("ä\n", "here").tolist() == [3, 0]  # as a run has it in JSON
    with pytest.raises(InputError, match="the character 'x' at 1 is not in the text"):
        characters.alphabet.encode("bx", "here")
    with pytest.raises(InputError, match="must be longer than --steps, 500"):
        load_text(TextConfig(str(path), steps=500), 0.1)
    assert len(load_text(TextConfig(), 0.1).train) > 100_000, "without a file, one that comes with Python"


@pytest.mark.slow
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_what_is_written_is_drawn_from_the_model(text: TextConfig, temperature: float) -> None:
    task = load_task(config_for(task="text", text=text, model=ModelConfig(8, 2, tied=True, proj_size=4)))
    model = task.build(task.config)
    prompt = np.array([0, 1, 2])
    codes = list(make_generate(model)(prompt, 6, temperature, 3))
    read = prompt
    for at, code in enumerate(codes):
        logits, _ = model(read[None])
        if temperature:
            key = jax.random.fold_in(jax.random.key(3), at)
            assert code == int(jax.random.categorical(key, logits[0, -1]))
        else:
            assert code == int(np.argmax(logits[0, -1]))
        read = np.append(read, code)


@pytest.mark.slow
def test_rare_codes_are_drawn_as_often_in_16_bits() -> None:
    model = LanguageModel(12, 2, dtype="bfloat16", rngs=nnx.Rngs(0))
    model.fc.weight[...] = jnp.zeros_like(model.fc.weight[...])
    model.fc.bias[...] = jnp.log(jnp.array([0.485] * 2 + [0.003] * 10))
    codes = np.array(list(make_generate(model)(np.array([1]), 4000, 1.0, 0)))
    assert np.mean(codes > 1) == pytest.approx(0.03, abs=0.01)  # 3.7 standard deviations


def test_backend_args_make_a_kernel() -> None:
    model = ModelConfig(backend="scan", backend_args=("unroll=4", "remat=chunks"))
    assert backend(model) == kernels.Scan(unroll=4, remat="chunks")
    assert backend(ModelConfig(backend="reference")) == "reference"
    for args, message in (
        (("share=0.5",), "'scan' has the options unroll and remat; got share"),
        (("unroll=0",), "at least 1"),
    ):
        with pytest.raises(InputError, match=message):
            backend(ModelConfig(backend="scan", backend_args=args))


@pytest.mark.parametrize("loss", ["mse", "mae", "huber"])
def test_the_loss_of_a_forecast_is_its_score(loss: Any, data: DataConfig) -> None:
    task = load_task(TrainConfig(data=data, loss=loss))
    forecasts = np.random.default_rng(0).normal(0, 2, (task.size("val"), 2)).astype(np.float32)
    cost = float(task.cost(jnp.asarray(forecasts), (None, jnp.asarray(truth_of(task.dataset, "val")))))
    assert task.metric == loss
    assert task.score(forecasts, "val")[loss] == pytest.approx(cost, rel=1e-5)
