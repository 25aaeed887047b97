"""Language models of characters or bytes."""

import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Self

from jax_lstm.checks import require
from jax_lstm.data.text import in_parts, read_text
from jax_lstm.estimators.base import Estimator, PathLike
from jax_lstm.estimators.names import python_names
from jax_lstm.tasks.text import LanguageModelling
from jax_lstm.train.config import TrainConfig
from jax_lstm.train.task import Task

GIVEN = "the text given to fit"  # instead of a file, which later commands would look for


class TextModel(Estimator):
    """Learn a text, continue a prompt, and score other texts, with an LSTM that predicts the next character.

    A `str` is a text, a `pathlib.Path` a file; with `units="bytes"` texts are `bytes`, or files of any encoding.

    Parameters are keywords, the options of `jax-lstm train text` with `_` for `-`, as
    `hidden_size=256, steps=64, epochs=20, dropout=0.2`. The signature lists all with their defaults, and
    `jax-lstm train text --help` explains them.

    Raises:
        InputError: there is no such parameter, or its value cannot be used.

    Example:
        >>> import jax_lstm as jl
        >>> model = jl.TextModel(hidden_size=4, steps=8, epochs=1).fit("one two three four " * 20)
        >>> len(model.generate("one ", length=20))
        20
        >>> [len(character) for character in model.stream("one ", length=3)]
        [1, 1, 1]
        >>> model.score("three two") > 0  # nats per character
        True
    """

    task = "text"
    left_out = ("text",)

    @python_names()
    def fit(self, text: str | bytes | PathLike, *, directory: PathLike | None = None) -> Self:
        """Train on a text; its end, the fraction `held_out`, is kept for validation, by which the weights are chosen.
        With `test`, that fraction at the end is kept for testing, and the validation part is the beginning.

        Args:
            text: a `str`, or `bytes` with `units="bytes"`; or a file as a `pathlib.Path`.
            directory: the run directory, new or empty; None for a temporary one.

        Returns:
            The estimator itself.

        Raises:
            InputError: the text is too short, or the file cannot be read.
        """
        in_file = isinstance(text, os.PathLike)
        source = os.path.abspath(text) if in_file else GIVEN

        def load(config: TrainConfig) -> Task:
            own = replace(config.text, text=source)
            return LanguageModelling(
                replace(config, text=own), in_parts(_text(text, config), source, own, config.held_out)
            )

        return self._fit(load, directory)

    def generate(
        self, prompt: str | bytes = "", length: int = 500, temperature: float = 1.0, seed: int = 0
    ) -> str | bytes:
        """What follows `prompt`, drawn from the model character by character.

        Args:
            prompt: the text to continue, not repeated in the result; `bytes` with `units="bytes"`.
            length: the number of characters, or of bytes.
            temperature: below 1 favours likely characters, above 1 unlikely ones; 0 always takes the likeliest.
            seed: the same seed gives the same text.

        Returns:
            `length` characters as a `str`; with `units="bytes"` as many `bytes`.

        Raises:
            InputError: the prompt has a character that the learnt text has not, or a number cannot be used.
        """
        empty: Any = b"" if self.run.alphabet.units == "bytes" else ""
        return empty.join(self.stream(prompt, length, temperature, seed))

    @python_names()
    def stream(
        self, prompt: str | bytes = "", length: int = 500, temperature: float = 1.0, seed: int = 0
    ) -> Iterator[Any]:
        """As `generate`, but an iterator over the characters or bytes, each computed when it is asked for."""
        return self.run.generate(prompt, length, temperature, seed)

    @python_names()
    def score(self, text: str | bytes | PathLike) -> float:
        """The cross-entropy of a text in nats per character, or per byte; lower is better.

        Every character but the first counts. A long text is read in up to 32 pieces side by side, as in validation.

        Args:
            text: as for `fit`, two characters at least.

        Raises:
            InputError: the text has a character that the learnt text has not, or the file cannot be read.
        """
        where = os.fspath(text) if isinstance(text, os.PathLike) else "the text"
        return self.run.nats(_text(text, self.run.config), str(where))


def _text(text: Any, config: TrainConfig) -> str | bytes:
    if isinstance(text, os.PathLike):
        return read_text(os.fspath(text), config.text)
    in_file = isinstance(text, str) and len(text) < 4096 and os.path.isfile(text)
    require(not in_file, "text", f"be pathlib.Path({text!r}) for a file, since a str is a text", "the path as a str")
    require(isinstance(text, str | bytes), "text", "be a str, bytes or a pathlib.Path", type(text).__name__)
    return text
