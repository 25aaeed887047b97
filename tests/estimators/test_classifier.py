"""SequenceClassifier: what it learns, what it takes, and that a file gives what the command line gives."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flax import nnx
from small_run import call

import jax_lstm as jl

SAVED = Path(__file__).parents[1] / "train" / "saved"
CASE = Path(__file__).parents[1] / "cases" / "labelled_with_time.csv"
SMALL: dict[str, Any] = {"hidden_size": 8, "batch_size": 8, "learning_rate": 0.02}


def drawn(count: int, seed: int) -> tuple[list[np.ndarray], np.ndarray]:
    """Sequences (T, 2) of 3 to 8 steps whose label, 3 or 7, shows in the sign of one feature; some values missing."""
    rng = np.random.default_rng(seed)
    labels = np.where(np.arange(count) % 2, 7, 3)
    sequences = []
    for label in labels:
        values = rng.normal([0.8 if label == 7 else -0.8, 0], 1, (rng.integers(3, 9), 2))
        values[rng.random(values.shape) < 0.05] = np.nan
        sequences.append(values)
    return sequences, labels


@pytest.fixture(scope="module")
def fitted() -> jl.SequenceClassifier:
    return jl.SequenceClassifier(**SMALL, epochs=12, seeds="0:2").fit(*drawn(80, seed=0))


def test_it_learns_labels_of_their_own_type(fitted: jl.SequenceClassifier, tmp_path: Path) -> None:
    sequences, labels = drawn(60, seed=1)
    assert fitted.score(sequences, labels) > 0.85
    probabilities = fitted.predict_proba(sequences)
    assert probabilities.shape == (60, 2)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_array_equal(fitted.classes_, [3, 7])
    np.testing.assert_array_equal(fitted.predict(sequences), np.array([3, 7])[probabilities.argmax(axis=1)])
    fitted.save(tmp_path / "run")
    opened = jl.SequenceClassifier.load(tmp_path / "run")
    np.testing.assert_array_equal(opened.predict_proba(sequences), probabilities)
    assert opened.predict(sequences).dtype.kind == "i"
    assert call("evaluate", tmp_path / "run") == 2, "there is no file to score it on"


@pytest.mark.slow
def test_seeds_are_averaged(fitted: jl.SequenceClassifier) -> None:
    """And each sequence has the probabilities that it has alone, with values on their own scale."""
    sequences, _ = drawn(3, seed=2)
    run, model = fitted.run, fitted.run.build()
    for sequence, found in zip(sequences, fitted.predict_proba(sequences), strict=True):
        each = []
        for weights in run.all_weights():
            nnx.update(model, weights)
            x = np.nan_to_num((sequence - run.form.mean) / run.form.scale).astype(np.float32)
            logits = np.asarray(model(x[None])[0], np.float64)
            each.append(np.exp(logits) / np.exp(logits).sum())
        np.testing.assert_allclose(found, np.mean(each, axis=0), rtol=1e-4)


def test_one_array_or_one_feature(fitted: jl.SequenceClassifier) -> None:
    x = np.random.default_rng(0).normal(size=(5, 4, 2))
    np.testing.assert_array_equal(fitted.predict_proba(x), fitted.predict_proba(list(x)))
    with pytest.raises(jl.InputError, match="`sequences` must have 2 features, as in training; got 1"):
        fitted.predict(x[..., 0])


@pytest.mark.parametrize(
    ("sequences", "labels", "message"),
    [
        ([], [], "`sequences` must have a sequence at least; got none"),
        ([[1.0], ["a"]], [0, 1], r"`sequences\[1\]` must be an array of numbers"),
        ([[1.0], []], [0, 1], r"`sequences\[1\]` must have shape \(T, F\) or \(T,\), with a step at least"),
        ([[[1.0]], [[1.0, 2.0]]], [0, 1], r"`sequences\[1\]` must have 1 features, as those before; got 2"),
        ([[1.0], [math.inf]], [0, 1], r"`sequences\[1\]` must have finite numbers, or NaN where missing"),
        ([[1.0], [2.0]], None, "`labels` must be given with arrays; got none"),
        ([[1.0], [2.0]], [0], r"`labels` must be one for each of the 2 sequences; got \(1,\)"),
        ([[1.0], [2.0]], [0.5, 1], "`labels` must be strings, integers or booleans; got float64"),
        ([[1.0], [2.0]], [0, 0], "the sequences given to fit: all sequences have the label 0"),
        ([[1.0], [2.0]], [0, 1], "a label needs 2 of them at least; `held_out` is 0.1"),
        (CASE, [0, 1], "`labels` must be left out with a file"),
        (CASE, None, r"column 'time': expected a number.* \(to leave the column out: ignore=\['time'\]\)"),
        ("none.csv", None, "none.csv: no such file"),
    ],
)
def test_data_that_cannot_be_used(sequences: Any, labels: Any, message: str) -> None:
    with pytest.raises(jl.InputError, match=message):
        jl.SequenceClassifier(epochs=1).fit(sequences, labels)


@pytest.mark.slow
def test_a_file_gives_what_the_command_line_gives(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = {"hidden_size": 4, "epochs": 2, "seed": 3}
    given = [text for name, value in options.items() for text in (f"--{name.replace('_', '-')}", value)]
    command = tmp_path / "command"
    assert call("train", "labels", "--sequences", CASE, "--ignore", "time", *given, "--out", command) == 0
    there = jl.SequenceClassifier.load(command)
    here = jl.SequenceClassifier(**options, ignore=["time"]).fit(CASE, directory=tmp_path / "python")
    np.testing.assert_array_equal(here.predict_proba(CASE), there.predict_proba(CASE))
    chosen = {"batch_size": 64, "schedule": "constant"}  # what the defaults were
    assert there.get_params() == here.get_params() | {"ignore": ("time",)} | chosen
    right = here.predict(CASE) == here.read(CASE, labelled=True).labels
    assert here.score(CASE) == np.mean(right)
    capsys.readouterr()
    assert call("label", tmp_path / "python", "--sequences", CASE) == 0
    rows = [line.split(",") for line in capsys.readouterr().out.splitlines()]
    assert rows[0] == ["sequence", "label", "p down", "p up"]
    assert [row[1] for row in rows[1:]] == here.predict(CASE).tolist()
    np.testing.assert_allclose(np.array([row[2:] for row in rows[1:]], float), here.predict_proba(CASE), rtol=1e-5)


@pytest.mark.slow
def test_tools_of_scikit_learn() -> None:
    selection = pytest.importorskip("sklearn.model_selection")
    scores = selection.cross_val_score(jl.SequenceClassifier(**SMALL, epochs=8), *drawn(60, seed=0), cv=2)
    assert scores.min() > 0.6
