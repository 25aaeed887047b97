"""What all estimators share: parameters and their errors, runs saved and loaded, copies."""

import copy
import inspect
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import jax_lstm as jl
from jax_lstm.estimators.names import command_line, in_python
from jax_lstm.train import InterruptedRunError

SAVED = Path(__file__).parents[1] / "train" / "saved"


def test_parameters_are_the_options_of_the_task() -> None:
    classifier = jl.SequenceClassifier(hidden_size=8, optimizer_args=["b1=0.8"], ignore=("time",))
    assert repr(classifier) == "SequenceClassifier(ignore=('time',), hidden_size=8, optimizer_args=['b1=0.8'])"
    params = classifier.get_params()
    assert params["hidden_size"] == classifier.hidden_size == 8  # type: ignore[attr-defined]
    assert {"epochs", "learning_rate", "bidirectional", "held_out", "sequence"} <= params.keys()
    assert not {"task", "sequences", "window", "tied", "loss", "text"} & params.keys()
    assert classifier.set_params(hidden_size=np.int64(16)) is classifier
    assert classifier.get_params() == params | {"hidden_size": 16}
    assert list(inspect.signature(jl.TextModel).parameters) == list(jl.TextModel().get_params())
    assert {"tied", "units", "encoding"} <= jl.TextModel().get_params().keys()


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"hiden_size": 3}, "SequenceClassifier has no parameter `hiden_size`; did you mean hidden_size?"),
        ({"window": 3}, "SequenceClassifier has no parameter `window`; the parameters are sequence, label"),
        ({"sequences": "a.ts"}, "SequenceClassifier has no parameter `sequences`"),
        ({"hidden_size": "3"}, "`hidden_size`: expected int; got '3'"),
        ({"hidden_size": 0}, "`hidden_size` must be an integer of at least 1; got 0"),
        ({"proj_size": 64}, "`proj_size` must be below hidden_size, 64; got 64"),
        ({"schedule": "zigzag"}, "`schedule`: expected one of 'auto', 'constant'"),
        ({"ignore": "time"}, "`ignore`: expected a list; got 'time'"),
        ({"features": ("a", "label")}, "`features` must name no column of ignore, sequence or label; got label"),
    ],
)
def test_faults_of_parameters_are_named_as_in_python(params: dict[str, Any], message: str) -> None:
    with pytest.raises(jl.InputError) as caught:
        jl.SequenceClassifier(**params)
    assert str(caught.value).startswith(message)
    classifier = jl.SequenceClassifier()
    before = classifier.get_params()
    with pytest.raises(jl.InputError):
        classifier.set_params(epochs=3, **params)
    assert classifier.get_params() == before, "nothing is changed"


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("`--hidden-size` must be at least 1", "`hidden_size` must be at least 1"),
        ("(to leave the column out: --ignore time)", "(to leave the column out: ignore=['time'])"),
        ("--ignore 'the day', or", "ignore=['the day'], or"),
        ("try --encoding cp1252 or --units bytes", "try encoding='cp1252' or units='bytes'"),
        ("a lower --learning-rate, or --clip-norm 1", "a lower learning_rate, or clip_norm=1"),
        ("longer than --steps, 64; it has 3", "longer than steps, 64; it has 3"),
        ("be 2, with --tied", "be 2, with tied"),
        ("as --split 0.6,0.2,0.2, or", "as split='0.6,0.2,0.2', or"),
    ],
)
def test_options_in_errors(message: str, expected: str) -> None:
    assert in_python(message) == expected


def test_commands_keep_the_names_of_options() -> None:
    with command_line(), pytest.raises(jl.InputError, match="`--hidden-size` must be"):
        jl.TextModel(hidden_size=0)
    with pytest.raises(jl.InputError, match="`hidden_size` must be"):
        jl.TextModel(hidden_size=0)


def test_before_fit() -> None:
    text, classifier = jl.TextModel(), jl.SequenceClassifier()
    for call in (
        text.generate,
        lambda: text.score("abc"),
        lambda: text.save("new"),
        lambda: classifier.predict([[1.0]]),
        lambda: classifier.classes_,
    ):
        with pytest.raises(jl.InputError, match=r"this \w+ is not fitted; call `fit` first, or open a run by \w+.load"):
            call()
    assert not hasattr(classifier, "classes_")


@pytest.mark.slow
def test_runs_of_the_command_line_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the parameters of their config; the run is copied by `save`, and by copies and pickles."""
    monkeypatch.chdir(SAVED)
    model = jl.TextModel.load("lm-0")
    monkeypatch.chdir(tmp_path)
    assert (model.get_params()["hidden_size"], model.get_params()["steps"]) == (3, 10)
    written = model.generate("one", 12, seed=1)
    model.save(tmp_path / "copy")
    for other in (jl.TextModel.load(tmp_path / "copy"), copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert other.get_params() == model.get_params()
        assert other.generate("one", 12, seed=1) == written
    with pytest.raises(jl.InputError, match=r"`directory` must be a new or an empty directory; got .*, which holds"):
        model.save(tmp_path / "copy")
    with pytest.raises(jl.InputError, match="TextModel needs a run of the task text; this is a run of labels"):
        jl.TextModel.load(SAVED / "classify-0")
    with pytest.raises(jl.InputError, match="none: no such run directory"):
        jl.TextModel.load(tmp_path / "none")


def test_clone_of_scikit_learn() -> None:
    base = pytest.importorskip("sklearn.base")
    model = jl.TextModel.load(SAVED / "lm-0")
    copied = base.clone(model)
    assert copied.get_params() == model.get_params()
    with pytest.raises(jl.InputError, match="is not fitted"):
        copied.generate()


def test_an_interrupt_is_one_in_python_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a search over parameters, which goes on after errors, stops; what was fitted before stays."""

    def interrupted(trainer: Any) -> None:
        raise InterruptedRunError("interrupted after step 3")

    model = jl.TextModel.load(SAVED / "lm-0")
    before = model.run
    monkeypatch.setattr("jax_lstm.train.trainer.Trainer.fit", interrupted)
    with pytest.raises(KeyboardInterrupt, match="after step 3"):
        model.fit("abc" * 100)
    assert model.run is before


SLOW = pytest.mark.slow


@pytest.mark.parametrize("task", ["labels", pytest.param("forecast", marks=SLOW), pytest.param("text", marks=SLOW)])
def test_verbose_prints_the_losses_of_each_epoch(task: str, capsys: pytest.CaptureFixture[str]) -> None:
    sizes: dict[str, Any] = {"hidden_size": 2, "epochs": 2}

    def fit(verbose: bool) -> str:
        if task == "text":
            jl.TextModel(steps=8, verbose=verbose, **sizes).fit("one two three four " * 20)
        elif task == "labels":
            data = np.random.default_rng(0).normal(size=(40, 6, 2))
            jl.SequenceClassifier(verbose=verbose, **sizes).fit(data, ["a", "b"] * 20)
        else:
            frame = pd.DataFrame({"y": np.random.default_rng(0).normal(size=100)})
            jl.Forecaster(target="y", window=8, horizon=2, verbose=verbose, **sizes).fit(frame)
        return capsys.readouterr().out

    first, second = fit(verbose=True).splitlines()
    assert re.fullmatch(r"epoch 1/2: training loss \d+\.\d{4}, validation loss \d+\.\d{4}(, accuracy \S+)?", first)
    assert second.startswith("epoch 2/2: training loss ")
    assert ("accuracy" in first) == (task == "labels")
    assert fit(verbose=False) == ""


def test_verbose_is_a_boolean() -> None:
    assert jl.TextModel(verbose=True).get_params()["verbose"] is True
    with pytest.raises(jl.InputError, match="`verbose` must be True or False; got 1"):
        jl.TextModel(verbose=1)


def test_exported_lazily() -> None:
    assert {"SequenceClassifier", "TextModel"} <= set(dir(jl))
    with pytest.raises(AttributeError, match="no attribute 'Nonsense'"):
        jl.Nonsense  # type: ignore[attr-defined]  # noqa: B018
