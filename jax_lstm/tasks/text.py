"""Text: a language model of characters or bytes, trained by truncated back-propagation through time."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jax_lstm.checks import InputError, require, require_size
from jax_lstm.data.text import FAMILIAR, Alphabet, Text, load_text
from jax_lstm.models import LanguageModel
from jax_lstm.params import LSTMState
from jax_lstm.tasks.defaults import with_defaults
from jax_lstm.tasks.evaluation import combined, predict
from jax_lstm.tasks.generation import Generate, make_generate
from jax_lstm.tasks.models import language_model
from jax_lstm.tasks.run import Run
from jax_lstm.train.batches import in_calls
from jax_lstm.train.config import TrainConfig, arithmetic
from jax_lstm.train.step import entropies
from jax_lstm.train.task import Arrays, Predict, Scores, Task, checksum

MAX_STREAMS = 32  # read side by side in validation
MIN_STEPS = 16  # least length of each, in training steps
SMOOTHING = 5.0


@dataclass(frozen=True)
class LanguageModelling(Task):
    """Predict the next character. Each row of a batch is a stream; a step continues where the last one ended."""

    config: TrainConfig
    text: Text

    make_model = language_model

    def __post_init__(self) -> None:
        object.__setattr__(self, "config", with_defaults(self.config))

    @property
    def unit(self) -> str:
        return self.text.alphabet.units

    @property
    def per_row(self) -> int:
        return self.config.text.steps

    @property
    def arrays(self) -> Arrays:
        return self.text.train

    def describe(self) -> dict[str, Any]:
        alphabet, parts = self.text.alphabet, (self.text.train, self.text.val)
        letters = {"units": alphabet.units, "characters": alphabet.characters}
        return {"alphabet": letters, "streams": self.shape[-1], "checksum": checksum(*parts)}

    @property
    def facts(self) -> list[tuple[str, str]]:
        text, config = self.text, self.text.config
        parts = {"training": text.train, "validation": text.val} | ({"test": text.test} if len(text.test) else {})
        lengths = " / ".join(f"{len(part):,}" for part in parts.values())
        total = sum(map(len, parts.values()))
        distinct = f", {text.alphabet.size:,} distinct" if config.units == "characters" else ""
        return [
            ("text", f"{config.text or FAMILIAR}: {total:,} {config.units}{distinct}"),
            ("", f"{' / '.join(parts)}: {lengths}; {config.steps} {config.units} per step"),
        ]

    def batches(self, config: TrainConfig, epoch: int, first: int = 0) -> np.ndarray:
        """The start of each stream at each step. Epochs start at random offsets, so that the cuts differ."""
        length, steps = len(self.text.train) - 1, config.text.steps
        batch = min(config.batch_size, length // steps)
        count = length // (batch * steps)  # steps of the epoch
        spare = length - batch * count * steps
        offset = np.random.default_rng([config.seed, epoch]).integers(0, spare + 1)
        starts = offset + np.arange(count)[:, None] * steps + np.arange(batch) * (count * steps)
        return in_calls(starts.astype(np.int32), config)[first:]

    def carry(self, model: LanguageModel) -> LSTMState:
        return model.start(self.shape[-1])

    def gather(self, arrays: Arrays, rows: jax.Array) -> jax.Array:
        """(B, T + 1): the characters to read, and one more."""
        return arrays[rows[:, None] + jnp.arange(self.config.text.steps + 1)]

    def outputs(self, model: LanguageModel, batch: jax.Array, carry: LSTMState) -> tuple[jax.Array, LSTMState]:
        return model(batch[:, :-1], carry)

    def cost(self, outputs: jax.Array, batch: jax.Array) -> jax.Array:
        return jnp.mean(entropies(outputs, batch[:, 1:]))

    def size(self, part: str) -> int:
        return max(len(self.codes(part)) - 1, 0)

    def make_predict(self, model: LanguageModel, part: str) -> Predict:
        """Log-probabilities of all characters of a part but the first, (N - 1,)."""
        model.eval()
        graph, _, rest = nnx.split(model, nnx.Param, ...)
        codes, steps = self.codes(part), self.config.text.steps
        # Streams start from the zero state, so they should be long enough for that not to matter.
        streams = max(min(MAX_STREAMS, len(codes) // (MIN_STEPS * steps)), 1)
        pieces = jnp.asarray(in_streams(codes, streams, steps))

        @jax.jit
        def log_probabilities(params: nnx.State, pieces: jax.Array) -> jax.Array:
            model = nnx.merge(graph, params, rest)

            def piece(state: LSTMState, tokens: jax.Array) -> Any:
                logits, state = model(tokens[:, :-1], state)
                return state, -entropies(logits, tokens[:, 1:])

            return jax.lax.scan(piece, model.start(pieces.shape[1]), pieces)[1]

        def predict(params: nnx.State, arrays: Arrays) -> np.ndarray:
            found = np.asarray(log_probabilities(params, pieces), np.float64)
            return found.swapaxes(0, 1).ravel()[: self.size(part)]

        return predict

    def combine(self, predictions: Sequence[np.ndarray]) -> np.ndarray:
        return np.logaddexp.reduce(np.asarray(predictions)) - np.log(len(predictions))

    def score(self, predictions: np.ndarray, part: str) -> Scores:
        nats = -float(np.mean(predictions))
        return dict(zip(self.headings, (nats, nats / np.log(2)), strict=True))

    @property
    def headings(self) -> dict[str, tuple[str, str]]:
        names = [f"{measure} per {self.unit.removesuffix('s')}" for measure in ("nats", "bits")]
        return {name: (name.replace(" per ", " per\n"), ".4f") for name in names}

    def baselines(self, part: str) -> dict[str, Scores]:
        """N-gram models of the training part, N from 1 to 4."""
        codes, size = self.codes(part), self.text.alphabet.size
        return {
            f"{order}-grams": self.score(n_grams(self.text.train, codes, size, order), part) for order in (1, 2, 3, 4)
        }

    def codes(self, part: str) -> np.ndarray:
        return getattr(self.text, part)


def n_grams(train: np.ndarray, codes: np.ndarray, size: int, order: int) -> np.ndarray:
    """Log-probabilities of all codes but the first from the `order - 1` codes before each, (N - 1,).

    Each order is smoothed by the next lower one, with `SMOOTHING` pseudo-counts, and the lowest by a uniform
    distribution (Dirichlet smoothing).
    """
    below = np.full(len(codes) - 1, 1 / size)
    for context in range(order):
        seen, asked = _contexts(train, size, context), _contexts(codes, size, context)
        counts = Counter(zip(seen, train[context:].tolist(), strict=True)) if context < len(train) else Counter()
        totals = Counter(seen)
        at = range(1, len(codes))
        own = np.array([counts[asked[i - context], codes[i]] if i >= context else 0 for i in at], float)
        total = np.array([totals[asked[i - context]] if i >= context else 0 for i in at], float)
        below = (own + SMOOTHING * below) / (total + SMOOTHING)
    return np.log(below)


def _contexts(codes: np.ndarray, size: int, length: int) -> list[int]:
    """The `length` codes before each code, as one number; codes without enough before them are left out."""
    numbers = np.zeros(max(len(codes) - length, 0), np.int64)
    for back in range(length):
        numbers = numbers * size + codes[back : len(codes) - length + back]
    return numbers.tolist()


def in_streams(codes: np.ndarray, streams: int, steps: int) -> np.ndarray:
    """Split a text into consecutive streams, cut into pieces (n, streams, steps + 1); the last ones are padded.

    The last code of a piece is the first of the next piece of its stream.
    """
    length = len(codes) - 1
    pieces = -(-length // (streams * steps))
    at = np.arange(pieces)[:, None, None] * steps + np.arange(streams)[:, None] * pieces * steps + np.arange(steps + 1)
    return codes[at.clip(max=length)]


def load(config: TrainConfig, about: dict[str, Any] | None = None) -> LanguageModelling:
    alphabet = None if about is None else Alphabet(**about["alphabet"])
    return LanguageModelling(config, load_text(config.text, config.held_out, alphabet))


class TextRun(Run):
    """A run that models text."""

    make_model = language_model

    @property
    def alphabet(self) -> Alphabet:
        return Alphabet(**self.about["alphabet"])

    @cached_property
    def _generate(self) -> Generate:
        """Kept, so that the weights are read and the model is compiled once."""
        return make_generate(self.model())

    def generate(
        self, prompt: str | bytes, length: int, temperature: float, seed: int
    ) -> Iterator[str] | Iterator[bytes]:
        """Characters, or bytes, sampled after `prompt`; without one, after the start of a line.

        Raises:
            InputError: the prompt has another character than the text that was learnt, or a number cannot be used.
        """
        require_size("--length", length, least=0)
        require_size("--seed", seed, least=0)
        require(0 <= temperature <= 100, "--temperature", "be between 0 and 100", temperature)
        alphabet = self.alphabet
        first = "\n" if alphabet.units == "bytes" or "\n" in alphabet.characters else alphabet.characters[0]
        codes = alphabet.encode(prompt or first, "`--prompt`")

        def pieces() -> Iterator[Any]:
            drawn = None
            while True:
                with arithmetic(self.config):  # which must not last while the caller has the piece
                    drawn = drawn or self._generate(codes, length, temperature, seed)
                    code = next(drawn, None)
                if code is None:
                    return
                yield alphabet.decode(np.array([code]))

        return pieces()

    def nats(self, text: str | bytes, where: str) -> float:
        """The mean cross-entropy of all characters of a text but the first, in nats."""
        codes, unit = self.alphabet.encode(text, where), self.alphabet.units
        if len(codes) < 2:
            raise InputError(f"{where}: must have two {unit} at least; got {len(codes)}")
        task = LanguageModelling(self.config, Text(self.config.text, self.alphabet, codes, codes[:0], codes[:0]))
        with arithmetic(self.config):
            return -float(np.mean(combined(self, task, predict(self, task, "train"))))

    @property
    def export_options(self) -> dict[str, Any]:
        return {"state": True}

    def carry(self, model: LanguageModel) -> LSTMState:
        return model.start(self.about["streams"])
