"""Two more scores of a language model: of windows that are read cold, and by dynamic evaluation."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jax_lstm.checks import require
from jax_lstm.models import LanguageModel
from jax_lstm.tasks.run import Run
from jax_lstm.tasks.text import LanguageModelling, in_streams
from jax_lstm.train.step import entropies
from jax_lstm.train.task import Scores, part_name

BATCHES, WINDOWS, SEED = 200, 64, 0  # the number, size and seed of the batches of cold windows
STREAMS, PIECES = 32, 500  # of the training part, for the statistics of gradients
EPSILON = 0.1  # added to the root mean squares of gradients, relative to their mean


class Dynamics(NamedTuple):
    """How weights follow the text: `rate` of a step, `decay` back to the trained weights, `steps` in a segment."""

    rate: float
    decay: float = 0.002
    steps: int = 20


def cold_score(run: Run, task: LanguageModelling, part: str, size: int) -> Scores:
    """The mean over random windows of a part, each from the zero state: `size` units are read, and after each of them
    the next one is predicted.

    That is how nanoGPT (https://github.com/karpathy/nanoGPT) estimates a loss: 200 batches of windows that may overlap.
    It is higher than a loss with the state carried, since little comes before the first units of a window.

    Raises:
        InputError: a window does not fit into the part.
    """
    codes = task.codes(part)
    expected = f"be from 1 to {len(codes) - 1}, so that a window fits into the {part_name(part)} part"
    require(0 < size < len(codes), "--cold", expected, size)
    starts = cold_starts(len(codes), size)
    return _score(run, task, part, lambda model, params: np.asarray(cold(model, params, codes, starts, size)))


def dynamic_score(run: Run, task: LanguageModelling, part: str, dynamics: Dynamics) -> Scores:
    """The score of a part by `dynamic`; each member of an ensemble follows the text for itself.

    Raises:
        InputError: the rate or the decay cannot be used.
    """
    require(0 < dynamics.rate < math.inf, "--dynamic", "be positive and finite", dynamics.rate)
    require(0 <= dynamics.decay <= 1, "--decay", "be from 0 to 1", dynamics.decay)
    train, codes = task.text.train, task.codes(part)
    return _score(run, task, part, lambda model, params: dynamic(model, params, train, codes, dynamics))


def _score(
    run: Run, task: LanguageModelling, part: str, predict: Callable[[LanguageModel, nnx.State], np.ndarray]
) -> Scores:
    """Of the members together."""
    model = run.build()
    model.eval()
    each = [predict(model, params).astype(np.float64) for params in run.all_weights()]
    return task.score(each[0] if len(each) == 1 else task.combine(each), part)


def cold_starts(length: int, size: int) -> np.ndarray:
    """Where the windows of each batch start, (BATCHES, WINDOWS)."""
    return np.random.default_rng(SEED).integers(0, length - size, (BATCHES, WINDOWS))


def cold(model: LanguageModel, params: nnx.State, codes: np.ndarray, starts: np.ndarray, size: int) -> jax.Array:
    """Log-probabilities of `size` units after each start (n, B), (n, B, size)."""
    graph, _, rest = nnx.split(model, nnx.Param, ...)

    @jax.jit
    def log_probabilities(params: nnx.State, codes: jax.Array, starts: jax.Array) -> jax.Array:
        def batch(at: jax.Array) -> jax.Array:
            tokens = codes[at[:, None] + jnp.arange(size + 1)]
            logits, _ = nnx.merge(graph, params, rest)(tokens[:, :-1])
            return -entropies(logits, tokens[:, 1:])

        return jax.lax.map(batch, starts)

    return log_probabilities(params, jnp.asarray(codes), jnp.asarray(starts, np.int32))


def dynamic(
    model: LanguageModel, params: nnx.State, train: np.ndarray, codes: np.ndarray, dynamics: Dynamics
) -> np.ndarray:
    """Log-probabilities of all codes but the first (N - 1,), with weights that follow the text.

    Dynamic evaluation of Krause et al. 2018 (https://arxiv.org/abs/1709.07432), with its update by RMS and decay: the
    text is one stream from the zero state. A segment of `steps` units is scored; then the weights take a step down the
    gradient of its loss, divided by the root mean square of gradients on the training part, and go back to the trained
    weights by a fraction that is larger for weights with large gradients. So no unit is seen before it is scored.
    Gradients are not propagated to earlier segments. `params` themselves stay as they are.
    """
    gradient = _gradient(model)

    @jax.jit
    def follow(trained: nnx.State, rms: nnx.State, pieces: jax.Array) -> jax.Array:
        leaves = jax.tree.leaves(rms)
        mean = sum(jnp.sum(leaf) for leaf in leaves) / sum(leaf.size for leaf in leaves)

        def update(now: jax.Array, trained: jax.Array, rms: jax.Array, grad: jax.Array) -> jax.Array:
            back = jnp.minimum(dynamics.decay * rms / mean, 1)
            return now - dynamics.rate * grad / (rms + EPSILON * mean) + back * (trained - now)

        def piece(carry: Any, tokens: jax.Array) -> Any:
            params, state = carry
            (_, (state, found)), grads = gradient(params, state, tokens)
            return (jax.tree.map(update, params, trained, rms, grads), state), found

        return jax.lax.scan(piece, (trained, model.start(1)), pieces)[1]

    pieces = jnp.asarray(in_streams(codes, 1, dynamics.steps))
    found = follow(params, gradient_rms(model, params, train, dynamics.steps), pieces)
    return np.asarray(found).ravel()[: len(codes) - 1]


def gradient_rms(model: LanguageModel, params: nnx.State, train: np.ndarray, steps: int) -> nnx.State:
    """The root mean square of each weight's gradient over segments of a text.

    The text is shared out among up to `STREAMS` streams that are read side by side, `PIECES` segments of each at most.
    """
    gradient = _gradient(model)
    streams = max(min(STREAMS, (len(train) - 1) // steps), 1)

    @jax.jit
    def statistics(params: nnx.State, pieces: jax.Array) -> nnx.State:
        def piece(carry: Any, tokens: jax.Array) -> Any:
            (_, (state, _)), grads = gradient(params, carry[0], tokens)
            return (state, jax.tree.map(lambda sum, grad: sum + grad**2, carry[1], grads)), None

        first = (model.start(pieces.shape[1]), jax.tree.map(jnp.zeros_like, params))
        return jax.tree.map(lambda sum: jnp.sqrt(sum / len(pieces)), jax.lax.scan(piece, first, pieces)[0][1])

    return statistics(params, jnp.asarray(in_streams(train, streams, steps)[:PIECES]))


def _gradient(model: LanguageModel) -> Callable[[nnx.State, Any, jax.Array], Any]:
    """`(params, state, tokens)` to ((the loss, (the next state, the log-probabilities)), the gradient)."""
    graph, _, rest = nnx.split(model, nnx.Param, ...)

    def loss(params: nnx.State, state: Any, tokens: jax.Array) -> Any:
        logits, state = nnx.merge(graph, params, rest)(tokens[:, :-1], state)
        losses = entropies(logits, tokens[:, 1:])
        return jnp.mean(losses), (state, -losses)

    return jax.value_and_grad(loss, has_aux=True)
