"""`--task lm`: a language model of characters or bytes, trained by truncated back-propagation through time."""

import functools
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jax_lstm.data.text import FAMILIAR, Alphabet, Text, load_text
from jax_lstm.models import LanguageModel
from jax_lstm.params import LSTMState
from jax_lstm.tasks.run import Run
from jax_lstm.train.batches import in_calls
from jax_lstm.train.config import TrainConfig
from jax_lstm.train.step import entropies
from jax_lstm.train.task import Arrays, Predict, Scores, Task, checksum

STREAMS, LONG = 32, 16  # side by side in validation, at most; steps of training in each, at least
SMOOTHING = 5.0


@dataclass(frozen=True)
class LanguageModelling(Task):
    """The next character of a text. Each row of a batch is a stream; a step goes on in it where the last one ended."""

    config: TrainConfig
    text: Text

    @property
    def metric(self) -> str:
        return f"nats per {self.unit.removesuffix('s')}"

    @property
    def unit(self) -> str:
        return self.text.alphabet.units

    @property
    def per_row(self) -> int:
        return self.config.text.steps

    @property
    def arrays(self) -> Arrays:
        return self.text.train

    @property
    def about(self) -> dict[str, Any]:
        alphabet, parts = self.text.alphabet, (self.text.train, self.text.val)
        letters = {"units": alphabet.units, "characters": alphabet.characters}
        return {"alphabet": letters, "streams": self.shape[-1], "checksum": checksum(*parts)}

    @property
    def facts(self) -> list[tuple[str, str]]:
        text, config = self.text, self.text.config
        different = f", {text.alphabet.size:,} different ones" if config.units == "characters" else ""
        return [
            ("text", f"{config.text or FAMILIAR}: {len(text.train) + len(text.val):,} {config.units}{different}"),
            (
                "",
                f"training / validation: {len(text.train):,} / {len(text.val):,}; {config.steps} {config.units} a step",
            ),
        ]

    def build(self, config: TrainConfig) -> LanguageModel:
        return build(config, self.text.alphabet)

    def batches(self, config: TrainConfig, epoch: int, first: int = 0) -> np.ndarray:
        """Where each stream reads at each step. An epoch begins a little further on, so that cuts do not repeat."""
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
        """(B, T + 1): what is read, and one character more."""
        return arrays[rows[:, None] + jnp.arange(self.config.text.steps + 1)]

    def outputs(self, model: LanguageModel, batch: jax.Array, carry: LSTMState) -> tuple[jax.Array, LSTMState]:
        return model(batch[:, :-1], carry)

    def cost(self, outputs: jax.Array, batch: jax.Array) -> jax.Array:
        return jnp.mean(entropies(outputs, batch[:, 1:]))

    def size(self, part: str) -> int:
        return max(len(self._codes(part)) - 1, 0)

    def make_predict(self, model: LanguageModel, part: str) -> Predict:
        """The logarithm of the probability of every character of a part but the first, (N - 1,)."""
        model.eval()
        graph, _, rest = nnx.split(model, nnx.Param, ...)
        codes, steps = self._codes(part), self.config.text.steps
        # Each stream begins without knowing what came before; it should be long against what it takes to find out.
        streams = max(min(STREAMS, len(codes) // (LONG * steps)), 1)
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
        names = (self.metric, self.metric.replace("nats", "bits"))
        return {name: (name.replace(" per ", " per\n"), ".4f") for name in names}

    def baselines(self, part: str) -> dict[str, Scores]:
        """Counts of the training part: of characters, and of those that follow each one, two or three."""
        codes, size = self._codes(part), self.text.alphabet.size
        return {
            f"{order}-grams": self.score(n_grams(self.text.train, codes, size, order), part) for order in (1, 2, 3, 4)
        }

    def _codes(self, part: str) -> np.ndarray:
        return {"train": self.text.train, "val": self.text.val}.get(part, self.text.val[:0])


def n_grams(train: np.ndarray, codes: np.ndarray, size: int, order: int) -> np.ndarray:
    """The logarithm of the probability of every code but the first, from the `order - 1` before it, (N - 1,).

    Each order is smoothed by the one below it, as if every context had been seen `SMOOTHING` times more with its
    frequencies; the lowest by equal ones (Jelinek and Mercer's interpolation with Dirichlet counts).
    """
    below = np.full(len(codes) - 1, 1 / size)
    for context in range(order):
        seen, whole = _contexts(train, size, context), _contexts(codes, size, context)
        counts = Counter(zip(seen, train[context:].tolist(), strict=True)) if context < len(train) else Counter()
        totals = Counter(seen)
        at = range(1, len(codes))
        own = np.array([counts[whole[i - context], codes[i]] if i >= context else 0 for i in at], float)
        total = np.array([totals[whole[i - context]] if i >= context else 0 for i in at], float)
        below = (own + SMOOTHING * below) / (total + SMOOTHING)
    return np.log(below)


def _contexts(codes: np.ndarray, size: int, length: int) -> list[int]:
    """The `length` codes before each code that has them, as one number each."""
    numbers = np.zeros(max(len(codes) - length, 0), np.int64)
    for back in range(length):
        numbers = numbers * size + codes[back : len(codes) - length + back]
    return numbers.tolist()


def build(config: TrainConfig, alphabet: Alphabet) -> LanguageModel:
    model = config.model
    return LanguageModel(
        alphabet.size,
        model.hidden_size,
        model.num_layers,
        embedding_size=model.embedding_size,
        tied=model.tied,
        dropout=model.dropout,
        dtype=config.compute_dtype,
        param_dtype=config.dtype,
        rngs=nnx.Rngs(config.seed),
    )


def in_streams(codes: np.ndarray, streams: int, steps: int) -> np.ndarray:
    """A text in streams that follow each other, cut into pieces (n, streams, steps + 1); the last ones padded.

    The last code of a piece is the first of the next one in its stream. Each stream is read from the zero state.
    """
    length = len(codes) - 1
    pieces = -(-length // (streams * steps))
    at = np.arange(pieces)[:, None, None] * steps + np.arange(streams)[:, None] * pieces * steps + np.arange(steps + 1)
    return codes[at.clip(max=length)]


def write(model: LanguageModel, prompt: np.ndarray, length: int, temperature: float, seed: int) -> Iterator[int]:
    """Codes that go on from those of `prompt` (N,), drawn one after the other: one compiled step each."""
    model.eval()
    graph, params = nnx.split(model)
    sample = temperature > 0

    @jax.jit
    def read(params: Any, codes: jax.Array) -> tuple[jax.Array, LSTMState]:
        logits, state = nnx.merge(graph, params)(codes[None])
        return logits[0, -1], state

    @functools.partial(jax.jit, donate_argnums=(1, 2))
    def step(params: Any, logits: jax.Array, state: LSTMState, at: jax.Array) -> tuple[jax.Array, jax.Array, LSTMState]:
        if sample:
            key = jax.random.fold_in(jax.random.key(seed), at)
            # The draw adds noise of the logits' type, and 16 bits are too few for it: rare codes would become rarer.
            wide = logits.astype(jnp.promote_types(logits.dtype, jnp.float32))
            code = jax.random.categorical(key, wide / temperature).astype(jnp.int32)
        else:
            code = jnp.argmax(logits).astype(jnp.int32)
        logits, state = nnx.merge(graph, params)(code[None, None], state)
        return code, logits[0, -1], state

    logits, state = read(params, jnp.asarray(prompt, jnp.int32))
    for at in range(length):
        code, logits, state = step(params, logits, state, jnp.int32(at))
        yield int(code)


def load(config: TrainConfig, about: dict[str, Any] | None = None) -> LanguageModelling:
    alphabet = None if about is None else Alphabet(**about["alphabet"])
    return LanguageModelling(config, load_text(config.text, config.held_out, alphabet))


class LanguageRun(Run):
    """A run of `--task lm`."""

    @property
    def alphabet(self) -> Alphabet:
        return Alphabet(**self.about["alphabet"])

    @property
    def export_options(self) -> dict[str, Any]:
        return {"state": True}

    def build(self) -> LanguageModel:
        return build(self.config, self.alphabet)

    def carry(self, model: LanguageModel) -> LSTMState:
        return model.start(self.about["streams"])
