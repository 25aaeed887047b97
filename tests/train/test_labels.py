"""Classifiers: their data, held-out parts and scores, against what can be worked out by hand."""

import gzip
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from flax import nnx

from jax_lstm import InputError
from jax_lstm.data import SequencesConfig
from jax_lstm.data.labelled import read_sequences
from jax_lstm.data.sequences import load_sequences
from jax_lstm.tasks import load_task, open_run
from jax_lstm.tasks.evaluation import evaluate
from jax_lstm.train import ModelConfig, OptimConfig, TrainConfig, fit

CASES = Path(__file__).parents[1] / "cases"


def config_for(**options: Any) -> TrainConfig:
    common: dict[str, Any] = {"model": ModelConfig(8), "batch_size": 8, "epochs": 3, "chunk_steps": 5}
    return TrainConfig(**{**common, "optim": OptimConfig(learning_rate=0.02), **options})


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


def test_what_is_held_out_depends_on_the_data_alone(sequences: SequencesConfig) -> None:
    """So members of an ensemble hold out the same; a run resumes only with the same checksum."""
    config = config_for(task="labels", sequences=sequences, held_out=0.2)
    one, other, changed = load_task(config), load_task(replace(config, seed=1)), load_task(config)
    for part in one.sequences.parts:
        np.testing.assert_array_equal(one.sequences.parts[part].x, other.sequences.parts[part].x)
    assert one.about == other.about
    changed.sequences.parts["train"].y[0] ^= 1  # of the two classes the other
    assert one.about != changed.about


def labelled(path: Path, labels: str, shift: float = 0.0, columns: str = "a,b") -> SequencesConfig:
    """Two sequences of three steps for each letter, its class."""
    lines = [f"sequence,label,{columns}"]
    for number, label in enumerate(2 * labels):
        for step in range(3):
            values = (str(ord(label) + step + shift if name == "a" else number % 5) for name in columns.split(","))
            lines.append(f"s{number},{label},{','.join(values)}")
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
    with pytest.raises(InputError, match=r"a.csv: the label 'd' is not one of the training labels: a, b, c"):
        load_task(config, before.about)
    labelled(path, "aabbcc", columns="b,a,c")
    assert load_task(config, before.about).sequences.columns == ("a", "b"), "in the model's order"
    labelled(path, "aabbcc", columns="b,c")
    with pytest.raises(InputError, match=r"a.csv: no column 'a', which the model reads"):
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


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.ts", TS.replace("true one two", "false"), "line 5: expected values alone and a label of each sequence"),
        ("A.TS", TS + "1,2:3:one\n", "line 10: expected dimensions of one length"),
        ("a.ts", TS + "1,x:3,4:one\n", "line 10: expected a number; got 'x'"),
        ("a.csv", "id,label,a\n1,x,1\n", "no column 'sequence', see --sequence"),
        ("a.csv", "sequence,label,a\n1,x,1\n1,y,1\n", "line 3: the sequence '1' has two labels"),
        ("a.csv", "sequence,label,a\n1,x,1\n2,x,1\n", "all sequences have the label 'x'"),
        ("a.csv", "sequence,label,a\n", "no rows under the header"),
        ("a.csv", "sequence,label,a,a\n1,x,1,1\n", "line 1: column 'a' is named twice"),
        ("a.csv", "sequence,label\n1,x\n", "no column is left to read"),
        ("a.csv", "sequence,label,at,a\n1,x,noon,1\n", r"column 'at': expected a number; got 'noon' .*: --ignore at\)"),
        ("a.csv", "sequence,label,the day\n1,x,noon\n", r"\(to leave the column out: --ignore 'the day'\)"),
    ],
)
def test_faults_of_files(tmp_path: Path, name: str, text: str, message: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(InputError, match=rf"{name}.*{message}"):
        load_sequences(SequencesConfig(str(path)), 0.2, "float32")


def test_columns_can_be_left_out(tmp_path: Path) -> None:
    """The case has timestamps; an index without a name, as pandas writes it, is left out too."""
    case = CASES / "labelled_with_time.csv"
    plain = read_sequences(str(case), SequencesConfig(ignore=("time",)))
    assert (plain.columns, len(plain.labels), plain.names[:2], set(plain.labels)) == (
        ("v",), 20, ["0", "1"], {"down", "up"}
    )  # fmt: skip
    np.testing.assert_array_equal(plain.values[0], [[0.03], [-0.86], [-2.08]])
    (indexed := tmp_path / "indexed.csv").write_text(
        "\n".join(f"{at or ''},{line}" for at, line in enumerate(case.read_text().splitlines()))
    )
    for path, config in (
        (case, SequencesConfig(features=("v",))),
        (indexed, SequencesConfig(ignore=("time",))),
    ):
        found = read_sequences(str(path), config)
        assert (found.columns, found.labels) == (("v",), plain.labels)
    for config, message in (
        (SequencesConfig(ignore=("tim",)), "no column 'tim', see --ignore"),
        (SequencesConfig(features=("w",)), "no column 'w', see --features"),
        (SequencesConfig(features=("",)), "no column '', see --features"),
    ):
        with pytest.raises(InputError, match=message):
            read_sequences(str(case), config)


def test_sequences_without_labels(tmp_path: Path) -> None:
    """As they come to a trained model, whose columns are read and no others."""
    (csv := tmp_path / "a.csv").write_text("sequence,b,day,a\ns,1,Monday,2\ns,3,Monday,4\n")
    found = read_sequences(str(csv), SequencesConfig(), ("a", "b"), labelled=False)
    np.testing.assert_array_equal(found.values[0], [[2, 1], [4, 3]])
    (ts := tmp_path / "two.TS.GZ").write_bytes(gzip.compress(TS.encode()))
    with_labels = read_sequences(str(ts), SequencesConfig(), labelled=False)
    bare = TS.replace("true one two", "false")
    for label in ("one", "two"):
        bare = bare.replace(f":{label}\n", "\n")
    (other := tmp_path / "bare.ts").write_text(bare)
    without = read_sequences(str(other), SequencesConfig(), labelled=False)
    assert without.names == with_labels.names == ["0", "1", "2"]
    for one, two in zip(with_labels.values, without.values, strict=True):
        np.testing.assert_array_equal(one, two)
    with pytest.raises(InputError, match=r"`--features and --ignore` must be left out with .*TS.GZ.*; got a"):
        read_sequences(str(ts), SequencesConfig(ignore=("a",)))
    with pytest.raises(InputError, match=r"bare.ts: must have the columns a, b; got dimension 1, dimension 2"):
        read_sequences(str(other), SequencesConfig(), ("a", "b"), labelled=False)


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
