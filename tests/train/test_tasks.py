"""Language models and classifiers: their batches, their loop, their scores; against what can be worked out by hand."""

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
from jax_lstm.data import DataConfig, SequencesConfig, TextConfig
from jax_lstm.data.sequences import load_sequences, read_sequences
from jax_lstm.data.text import Alphabet, load_text
from jax_lstm.models import LanguageModel
from jax_lstm.tasks import load_task, open_run
from jax_lstm.tasks.evaluation import evaluate
from jax_lstm.tasks.models import backend
from jax_lstm.tasks.scores import truth_of
from jax_lstm.tasks.text import generate, in_streams, n_grams
from jax_lstm.train import ModelConfig, OptimConfig, TrainConfig, fit
from jax_lstm.train.ensemble import members


@pytest.fixture(scope="session")
def text(tmp_path_factory: pytest.TempPathFactory) -> TextConfig:
    path = tmp_path_factory.mktemp("text") / "abc.txt"
    path.write_text("abcabd" * 300)
    return TextConfig(str(path), steps=7)


@pytest.fixture(scope="session")
def sequences(tmp_path_factory: pytest.TempPathFactory) -> SequencesConfig:
    """Two classes: the mean of one is above zero; unequal lengths."""
    path, rng = tmp_path_factory.mktemp("sequences") / "two.csv", np.random.default_rng(0)
    lines = ["sequence,label,a,b"]
    for number in range(80):
        up = number % 2
        for _ in range(rng.integers(3, 9)):
            a, b = rng.normal(0.7 if up else -0.7), rng.normal()
            lines.append(f"s{number},{'up' if up else 'down'},{a:.4f},{b:.4f}")
    path.write_text("\n".join(lines) + "\n")
    return SequencesConfig(str(path))


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
    assert result.position.best_loss < n_gram_loss(task, 2)


@pytest.mark.slow
def test_a_text_resumes_only_on_itself(text: TextConfig, tmp_path: Path) -> None:
    config = config_for(task="text", text=replace(text, text=str(tmp_path / "text.txt")), epochs=1)
    path, longer, same = Path(config.text.text), replace(config, epochs=2), Path(text.text).read_text()
    path.write_text(same)
    fit(load_task(config), tmp_path / "run")
    path.write_text(same.replace("abc", "bac", 1))  # of the same characters, and as long
    with pytest.raises(InputError, match="the data is not what the run was trained on: its checksum differs"):
        fit(load_task(longer), tmp_path / "run", resume=True)
    run = open_run(tmp_path / "run")
    assert evaluate(run, load_task(config, run.about), "val").scores, "another text may be scored"
    path.write_text(same)
    fit(load_task(longer), tmp_path / "run", resume=True)


def n_gram_loss(task: Any, order: int) -> float:
    return task.baselines("val")[f"{order}-grams"]["nats per character"]


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
    with pytest.raises(InputError, match="the character 'x' at 1 is not in the text"):
        characters.alphabet.encode("bx", "here")
    with pytest.raises(InputError, match="must be longer than --steps, 500"):
        load_text(TextConfig(str(path), steps=500), 0.1)


def test_a_text_of_pythons_own() -> None:
    text = load_text(TextConfig(), 0.1)
    assert len(text.train) > 100_000


@pytest.mark.slow
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_what_is_written_is_drawn_from_the_model(text: TextConfig, temperature: float) -> None:
    task = load_task(config_for(task="text", text=text, model=ModelConfig(8, 2, tied=True)))
    model = task.build(task.config)
    prompt = np.array([0, 1, 2])
    codes = list(generate(model, prompt, 6, temperature, seed=3))
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
    codes = np.array(list(generate(model, np.array([1]), 4000, temperature=1.0, seed=0)))
    assert np.mean(codes > 1) == pytest.approx(0.03, abs=0.01)  # 3.7 standard deviations


@pytest.mark.slow
def test_a_classifier_learns(sequences: SequencesConfig, tmp_path: Path) -> None:
    task = load_task(config_for(task="labels", sequences=sequences, held_out=0.2, epochs=15))
    assert [len(part.y) for part in task.sequences.parts.values()] == [48, 16, 16]
    fit(task, tmp_path)
    found = evaluate(open_run(tmp_path), task, "test")
    assert found.scores["LSTM"]["accuracy"] > 0.85
    assert found.scores["class frequencies"]["cross-entropy"] == pytest.approx(math.log(2))
    table = np.array(task.table(found.predictions, "test").rows)[:, 1:-1].astype(int)
    assert np.trace(table) / 16 == found.scores["LSTM"]["accuracy"]


@pytest.mark.slow
def test_sequences_resume_only_on_themselves(sequences: SequencesConfig, tmp_path: Path) -> None:
    path = tmp_path / "other.csv"
    path.write_text(Path(sequences.sequences).read_text())
    config = config_for(task="labels", sequences=SequencesConfig(str(path)), held_out=0.2, epochs=1)
    fit(load_task(config), tmp_path / "run")
    task = load_task(replace(config, epochs=2))
    task.sequences.parts["train"].y[0] ^= 1  # of the two classes the other
    with pytest.raises(InputError, match="the data is not what the run was trained on: its checksum differs"):
        fit(task, tmp_path / "run", resume=True)
    assert fit(load_task(task.config), tmp_path / "run", resume=True).position.epoch == 2


@pytest.mark.slow
def test_members_of_a_classifier_hold_out_the_same_sequences(sequences: SequencesConfig, tmp_path: Path) -> None:
    config = config_for(task="labels", sequences=sequences, seeds="0:2", epochs=2)
    fit(load_task(config), tmp_path / "together")
    for at, (run, weights) in enumerate(
        zip(members(config).values(), open_run(tmp_path / "together").all_weights(), strict=True)
    ):
        alone = fit(load_task(run), tmp_path / str(at))
        for got, expected in zip(jax.tree.leaves(weights), jax.tree.leaves(alone.params), strict=True):
            np.testing.assert_allclose(got, expected, atol=1e-4 * np.abs(expected).max())


def labelled(path: Path, labels: str, shift: float = 0.0, columns: str = "a,b") -> SequencesConfig:
    """Two sequences of three steps for each letter, its class."""
    lines = [f"sequence,label,{columns}"]
    for number, label in enumerate(2 * labels):
        lines += [f"s{number},{label},{ord(label) + step + shift},{number % 5}" for step in range(3)]
    path.write_text("\n".join(lines) + "\n")
    return SequencesConfig(str(path))


def test_a_trained_classifier_brings_its_form(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    config = config_for(task="labels", sequences=labelled(path, "aabbcc"), held_out=0.25)
    before = load_task(config)
    labelled(path, "aabb", shift=5.0)
    after = load_task(config, before.about)
    assert {**after.about, "checksum": before.about["checksum"]} == before.about
    assert after.sequences.parts["test"].y.tolist() == [0, 1]
    assert np.isfinite([*after.baselines("test")["nearest mean"].values()]).all()
    far = after.sequences.parts["test"].x[:, 0] - before.sequences.parts["test"].x[:2, 0]
    np.testing.assert_allclose(far[:, 0], 5 / before.sequences.scale[0], rtol=1e-5)
    labelled(path, "aabbccd")
    with pytest.raises(InputError, match=r"a.csv: the label 'd' is none of those that were learnt: a, b, c"):
        load_task(config, before.about)
    labelled(path, "aabbcc", columns="b,a")
    with pytest.raises(InputError, match=r"a.csv: must have the columns a, b; got b, a"):
        load_task(config, before.about)


@pytest.mark.parametrize(
    ("labels", "held_out", "counts"),
    [("aaaabbbb", 0.1, [12, 2, 2]), ("aaaabb", 0.1, [8, 2, 2]), ("aab", 0.45, [4, 1, 1]), ("aabb", 0.0, [8, 0, 0])],
)
def test_few_sequences_are_held_out_too(tmp_path: Path, labels: str, held_out: float, counts: list[int]) -> None:
    task = load_task(config_for(task="labels", sequences=labelled(tmp_path / "a.csv", labels), held_out=held_out))
    parts = task.sequences.parts
    assert [len(part.y) for part in parts.values()] == counts
    assert set(parts["train"].y) == {0, 1}
    if counts[2]:
        assert np.isfinite([*task.baselines("test")["class frequencies"].values()]).all()


def test_sequences_that_cannot_be_held_out(tmp_path: Path) -> None:
    sequences = labelled(tmp_path / "a.csv", "ab")
    with pytest.raises(InputError, match=r"no sequence is left for the val part: a label needs 3 of them"):
        load_task(config_for(task="labels", sequences=sequences))
    with pytest.raises(InputError, match=r"`--held-out` must be below 0.5 without --test-sequences"):
        load_task(config_for(task="labels", sequences=sequences, held_out=0.5))


def test_backend_args_make_a_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "named", lambda name, **options: (name, options), raising=False)
    model = ModelConfig(backend="scan", backend_args=("unroll=4", "remat=chunks", "share=0.5"))
    assert backend(model) == ("scan", {"unroll": 4, "remat": "chunks", "share": 0.5})
    assert backend(ModelConfig(backend="reference")) == "reference"
    for text in ("unroll", "unroll=", "=4"):
        with pytest.raises(InputError, match="`--backend-args` must be NAME=VALUE"):
            ModelConfig(backend="scan", backend_args=(text,))


@pytest.mark.parametrize("loss", ["mse", "mae", "huber"])
def test_the_loss_of_a_forecast_is_its_score(loss: Any, data: DataConfig) -> None:
    task = load_task(TrainConfig(data=data, loss=loss))
    forecasts = np.random.default_rng(0).normal(0, 2, (task.size("val"), 2)).astype(np.float32)
    cost = float(task.cost(jnp.asarray(forecasts), (None, jnp.asarray(truth_of(task.dataset, "val")))))
    assert task.metric == loss
    assert task.score(forecasts, "val")[loss] == pytest.approx(cost, rel=1e-5)


def test_options_of_other_tasks_are_refused() -> None:
    with pytest.raises(InputError, match=r"`--test-sequences` must come with --sequences; got b.ts"):
        SequencesConfig(test_sequences="b.ts")
    faults: list[tuple[dict[str, Any], str]] = [
        ({"text": TextConfig("a.txt")}, "`--text` must come with the task text, not forecast; got a.txt"),
        (
            {"sequences": SequencesConfig("a.ts"), "task": "text"},
            "`--sequences` must come with the task labels, not text",
        ),
        ({"data": DataConfig("a.csv", ("y",)), "task": "text"}, "`--csv` must come with the task forecast, not text"),
        ({"model": ModelConfig(tied=True)}, "`--tied` must come with the task text, not forecast; got True"),
        (
            {"model": ModelConfig(bidirectional=True), "task": "text"},
            "since a language model must not see what follows",
        ),
        ({"loss": "mae", "task": "labels"}, "`--loss` must come with the task forecast, not labels; got mae"),
        (
            {"held_out": 0.2},
            "`--held-out` must come with the task text or labels, not forecast, since series have --split",
        ),
    ]
    for options, message in faults:
        with pytest.raises(InputError, match=message):
            TrainConfig(**options)


@pytest.mark.slow
def test_padding_does_not_count(sequences: SequencesConfig) -> None:
    task = load_task(config_for(task="labels", sequences=sequences))
    model, part = task.build(task.config), task.sequences.parts["test"]
    got = task.make_predict(model, "test")(nnx.state(model, nnx.Param), None)
    for row, length, one in zip(part.x, part.lengths, got, strict=True):
        np.testing.assert_allclose(one, jax.nn.log_softmax(model(row[None, :length])[0]), rtol=1e-4, atol=1e-5)


TS = """# a comment
@problemName two
@timeStamps false
@univariate false
@classLabel true one two
@data
1,2,3:4,5,6:one
1,?:2,3:two
7,8,NaN:7,8,NaN:two
"""


def test_the_archives_format(tmp_path: Path) -> None:
    path = tmp_path / "two.ts"
    path.write_text(TS)
    found = read_sequences(str(path), SequencesConfig())
    assert found.labels == ["one", "two", "two"]
    np.testing.assert_array_equal(found.values[0], [[1, 4], [2, 5], [3, 6]])
    np.testing.assert_array_equal(found.values[1], [[1, 2], [np.nan, 3]])
    np.testing.assert_array_equal(found.values[2], [[7, 7], [8, 8]])
    path.write_text(TS.replace("@classLabel true one two", "@classLabel false"))
    with pytest.raises(InputError, match=r"two.ts, line 5: expected values alone and a label of each sequence"):
        read_sequences(str(path), SequencesConfig())
    path.write_text(TS + "1,2:3:one\n")
    with pytest.raises(InputError, match=r"two.ts, line 10: expected dimensions of one length"):
        read_sequences(str(path), SequencesConfig())
    path.write_text(TS + "1,x:3,4:one\n")
    with pytest.raises(InputError, match=r"line 10: expected a number; got 'x'"):
        read_sequences(str(path), SequencesConfig())


def test_faults_of_a_csv_of_sequences(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    for text, message in (
        ("id,label,a\n1,x,1\n", "no column 'sequence', see --sequence"),
        ("sequence,label,a\n1,x,1\n1,y,1\n", "line 3: the sequence '1' has two labels"),
        ("sequence,label,a\n1,x,1\n2,x,1\n", "all sequences have the label 'x'"),
        ("sequence,label,a\n", "no sequences in the file"),
    ):
        path.write_text(text)
        with pytest.raises(InputError, match=message):
            load_sequences(SequencesConfig(str(path)), 0.2, "float32")


@pytest.mark.slow
def test_the_vowels_that_come_with_sktime() -> None:
    pytest.importorskip("sktime")
    data = load_sequences(SequencesConfig(), 0.1, "float32")
    assert data.classes == tuple(map(str, range(1, 10)))
    assert [len(data.parts[name].y) for name in ("train", "val", "test")] == [243, 27, 370]
    lengths = np.concatenate([part.lengths for part in data.parts.values()])
    assert (lengths.min(), lengths.max(), len(data.columns)) == (7, 29, 12)
    train = data.parts["train"]
    steps = np.concatenate([row[:length] for row, length in zip(train.x, train.lengths, strict=True)])
    np.testing.assert_allclose([steps.mean(axis=0), steps.std(axis=0)], [[0] * 12, [1] * 12], atol=1e-4)


def test_alphabet_goes_through_json() -> None:
    alphabet = Alphabet("characters", "\nabä")
    np.testing.assert_array_equal(alphabet.encode("ä\n", "here"), [3, 0])
