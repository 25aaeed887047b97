"""TextModel: characters and bytes, what it generates and its score."""

from itertools import islice
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

import jax_lstm as jl

SMALL: dict[str, Any] = {"hidden_size": 16, "steps": 10, "batch_size": 4, "learning_rate": 0.02}
RHYME = "one two three four\nfive six seven eight\n" * 30


@pytest.fixture(scope="module")
def fitted() -> jl.TextModel:
    return jl.TextModel(**SMALL, epochs=6, x64=True).fit(RHYME)


def test_what_it_generates(fitted: jl.TextModel) -> None:
    text = fitted.generate("one ", 30, temperature=3, seed=1)
    assert isinstance(text, str)
    assert len(text) == 30
    assert set(text) <= set(RHYME)
    assert fitted.generate("one ", 30, temperature=3, seed=1) == text != fitted.generate("one ", 30, 3, seed=2)
    pieces = fitted.stream("one ", 30, 3, 1)
    for piece, expected in zip(islice(pieces, 3), text, strict=False):
        assert piece == expected
        assert not jax.config.jax_enable_x64, "the run's arithmetic is its own affair"  # type: ignore[attr-defined]
    assert "".join(pieces) == text[3:]


@pytest.mark.slow
def test_its_score(fitted: jl.TextModel, tmp_path: Path) -> None:
    """Of a text short enough for one piece: the log-probabilities of the model on all of it."""
    text = "one two three"
    codes = fitted.run.alphabet.encode(text, "here")
    with jax.enable_x64(True):
        logits, _ = fitted.run.model()(codes[None, :-1])
        expected = -np.mean(np.asarray(jax.nn.log_softmax(logits[0]))[np.arange(len(codes) - 1), codes[1:]])
    assert fitted.score(text) == pytest.approx(expected, rel=1e-6)
    assert fitted.score(RHYME) < fitted.score(RHYME[::-1])
    (path := tmp_path / "text.txt").write_text(text)
    assert fitted.score(path) == fitted.score(text)


@pytest.mark.slow
def test_bytes(tmp_path: Path) -> None:
    """Of a file in no encoding; the same bytes from memory give the same model."""
    content = RHYME.encode("utf-16") + b"\xff"
    (path := tmp_path / "text.bin").write_bytes(content)
    models = [jl.TextModel(**SMALL, epochs=1, units="bytes").fit(given) for given in (path, content)]
    written = [model.generate(b"o\x00", 20) for model in models]
    assert isinstance(written[0], bytes)
    assert len(written[0]) == 20
    assert written[0] == written[1]
    assert models[0].run.config.text.text == str(path)


def test_what_cannot_be_used(fitted: jl.TextModel, tmp_path: Path) -> None:
    (path := tmp_path / "text.txt").write_bytes("é".encode("cp1252"))
    calls: list[tuple[Any, str]] = [
        (lambda: fitted.generate("Z"), "`prompt`: the character 'Z' at 0 is not in the text"),
        (lambda: fitted.stream("Z"), "`prompt`: the character 'Z' at 0 is not in the text"),
        (lambda: fitted.generate(b"one"), "`prompt`: bytes are for a model with units='bytes'"),
        (lambda: fitted.generate(length=-1), "`length` must be an integer of at least 0; got -1"),
        (lambda: fitted.generate(temperature=-1), "`temperature` must be between 0 and 100; got -1"),
        (lambda: fitted.score("e"), "the text: must have two characters at least; got 1"),
        (lambda: fitted.score(path), "not UTF-8 text, .*; try encoding='cp1252' or units='bytes'"),
        (lambda: jl.TextModel().fit("abc"), "the text given to fit: the training part must be longer than steps, 64"),
        (
            lambda: jl.TextModel().fit(str(path)),
            r"`text` must be pathlib.Path\('.*'\) for a file, since a str is a text",
        ),
        (lambda: jl.TextModel().fit(tmp_path / "none"), "none: no such file"),
        (lambda: jl.TextModel().fit(3), "`text` must be a str, bytes or a pathlib.Path; got int"),  # type: ignore[arg-type]
        (lambda: jl.TextModel().fit(RHYME, directory=tmp_path), "`directory` must be a new or an empty directory"),
    ]
    for call, message in calls:
        with pytest.raises(jl.InputError, match=message):
            call()
