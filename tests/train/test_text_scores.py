"""Cold windows and dynamic evaluation of a language model, against what can be worked out by hand."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jax_lstm import InputError
from jax_lstm.data import TextConfig
from jax_lstm.models import LanguageModel
from jax_lstm.tasks import load_task, open_run
from jax_lstm.tasks.text_scores import Dynamics, cold, cold_score, cold_starts, dynamic, dynamic_score
from jax_lstm.train import ModelConfig, OptimConfig, TrainConfig, fit

ALPHABET = 5
CODES = np.random.default_rng(0).integers(0, ALPHABET, 61).astype(np.int32)
TRAIN = np.random.default_rng(1).integers(0, ALPHABET, 200).astype(np.int32)


@pytest.fixture(scope="module")
def model() -> LanguageModel:
    model = LanguageModel(ALPHABET, 6, dropout=0.5, rngs=nnx.Rngs(0))
    model.eval()
    return model


def params_of(model: LanguageModel) -> nnx.State:
    return nnx.state(model, nnx.Param)


def log_probabilities(model: LanguageModel, codes: Any, state: Any = None) -> Any:
    logits, state = model(jnp.asarray(codes[None, :-1]), state)
    return jax.nn.log_softmax(logits[0])[np.arange(len(codes) - 1), codes[1:]], state


def test_a_cold_window_is_read_from_the_zero_state(model: LanguageModel) -> None:
    starts = np.array([[0, 7], [40, 50]])
    found = np.asarray(cold(model, params_of(model), CODES, starts, 10))
    assert found.shape == (2, 2, 10)
    for at, start in np.ndenumerate(starts):
        expected, _ = log_probabilities(model, CODES[start : start + 11])
        np.testing.assert_allclose(found[at], expected, rtol=1e-5, atol=1e-5)


def test_dynamic_evaluation_scores_before_it_learns(model: LanguageModel) -> None:
    """Other characters from some place on change nothing that was scored before it, in the same segment or earlier."""
    dynamics, params = Dynamics(0.1, 0.1, 10), params_of(model)
    found = dynamic(model, params, TRAIN, CODES, dynamics)
    assert found.shape == (len(CODES) - 1,)
    for place in (33, 40):
        other = CODES.copy()
        other[place:] = (other[place:] + 1) % ALPHABET
        again = dynamic(model, params, TRAIN, other, dynamics)
        np.testing.assert_array_equal(again[: place - 1], found[: place - 1])
        assert (again[place - 1 :] != found[place - 1 :]).all()


def test_dynamic_evaluation_is_that_of_the_paper(model: LanguageModel) -> None:
    """Two segments by hand: RMS of the gradients of the training part, a step, and the decay, which acts on a second
    update only, since the first begins at the trained weights.
    """
    rate, decay, steps = 0.05, 0.3, 10
    graph, trained, rest = nnx.split(model, nnx.Param, ...)

    @jax.jit
    def gradient(params: nnx.State, codes: Any, state: Any) -> Any:
        def loss(params: nnx.State) -> Any:
            found, after = log_probabilities(nnx.merge(graph, params, rest), codes, state)
            return -jnp.mean(found), (found, after)

        return jax.grad(loss, has_aux=True)(params)

    # 199 characters after the first in 19 streams of 2 pieces; the last stream is padded with the last character.
    streams, squares = [np.append(TRAIN, [TRAIN[-1]] * 200)[20 * at : 20 * at + 21] for at in range(19)], []
    states: list[Any] = [None] * 19
    for first in (0, steps):
        pieces = [stream[first : first + steps + 1] for stream in streams]
        each = [gradient(trained, piece, state) for piece, state in zip(pieces, states, strict=True)]
        squares.append(jax.tree.map(lambda *grads: np.mean(np.stack(grads), 0) ** 2, *(grads for grads, _ in each)))
        states = [after for _, (_, after) in each]
    rms = jax.tree.map(lambda a, b: jnp.sqrt((a + b) / 2), *squares)
    flat = np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(rms)])
    mean = flat.mean()

    params, state, expected = trained, None, []
    for first in range(0, 30, steps):
        piece = CODES[first : first + steps + 1]
        grads, (found, state) = gradient(params, piece, state)
        expected.append(found)
        params = jax.tree.map(
            lambda now, then, size, grad: now
            - rate * grad / (size + 0.1 * mean)
            + jnp.minimum(decay * size / mean, 1) * (then - now),
            params, trained, rms, grads,
        )  # fmt: skip
    got = dynamic(model, trained, TRAIN, CODES[:31], Dynamics(rate, decay, steps))
    np.testing.assert_allclose(got, np.concatenate(expected), rtol=1e-4, atol=1e-5)


@pytest.fixture
def task(tmp_path: Path) -> Any:
    """Of two seeds, on a text whose test part has other rhymes than the rest."""
    path = tmp_path / "rhyme.txt"
    path.write_text("one two three four\n" * 40 + "five six seven eight\n" * 10)
    text, optim = TextConfig(str(path), steps=8, test=0.2), OptimConfig(learning_rate=0.02)
    model = ModelConfig(8, dropout=0.2)
    return load_task(TrainConfig("text", text=text, model=model, optim=optim, batch_size=4, epochs=2, seeds="0:2"))


def test_the_test_part_is_the_end_and_validation_the_beginning(task: Any) -> None:
    text, parts = Path(task.config.text.text).read_text(), (task.text.val, task.text.train, task.text.test)
    assert "".join(map(task.text.alphabet.decode, parts)) == text
    assert [len(part) for part in parts] == [round(0.1 * len(text)), round(0.7 * len(text)), round(0.2 * len(text))]
    assert task.size("test") == len(parts[2]) - 1
    for faulty, message in ((0.9, "`--held-out and --test` must leave something to learn; got 0.1 and 0.9"),
                            (0.005, "the test part must be longer than --steps, 8; it has 5"),):  # fmt: skip
        with pytest.raises(InputError, match=message):
            load_task(replace(task.config, text=replace(task.config.text, test=faulty)))
    with pytest.raises(InputError, match=r"`--test` must be at least 0 and below 1; got 1\.0"):
        TextConfig(test=1.0)


def mean_of(log_probabilities: list[np.ndarray]) -> float:
    """Nats per character of two members together."""
    return -float(np.mean(np.log((np.exp(log_probabilities[0]) + np.exp(log_probabilities[1])) / 2)))


@pytest.mark.slow
def test_scores_of_an_ensemble(task: Any, tmp_path: Path) -> None:
    """Probabilities are averaged over the members; what is on disk stays as it is, and so does the score."""
    directory = tmp_path / "run"
    fit(task, directory)
    run, before = open_run(directory), {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}
    once = dynamic_score(run, task, "test", Dynamics(0.01))
    assert {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()} == before
    model, members = run.model(), run.all_weights()
    each = [dynamic(model, params, task.text.train, task.text.test, Dynamics(0.01)) for params in members]
    assert once[task.metric] == pytest.approx(mean_of(each), rel=1e-5)
    still = dynamic_score(run, task, "test", Dynamics(1e-9))[task.metric]
    assert once[task.metric] < still, "the weights learn the rhymes of the test part"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("jax_lstm.tasks.text.MAX_STREAMS", 1)
        kept = task.score(task.combine([task.make_predict(model, "test")(params, None) for params in members]), "test")
    assert still == pytest.approx(kept[task.metric], rel=1e-5)
    starts = cold_starts(len(task.text.test), 10)
    each = [np.asarray(cold(model, params, task.text.test, starts, 10)) for params in members]
    assert cold_score(run, task, "test", 10)[task.metric] == pytest.approx(mean_of(each), rel=1e-5)
    cold_score(run, task, "test", len(task.text.test) - 1)  # the largest


def test_what_cannot_be_scored(task: Any) -> None:
    """Refused before a run is read."""
    run: Any = None
    for size in (0, len(task.text.test)):
        with pytest.raises(InputError, match=f"`--cold` must be from 1 to {len(task.text.test) - 1}, so that .* test"):
            cold_score(run, task, "test", size)
    for dynamics, message in (
        (Dynamics(0.0), "`--dynamic` must be positive and finite; got 0.0"),
        (Dynamics(float("nan")), "`--dynamic` must be positive and finite; got nan"),
        (Dynamics(0.1, 1.5), "`--decay` must be from 0 to 1; got 1.5"),
    ):
        with pytest.raises(InputError, match=message):
            dynamic_score(run, task, "test", dynamics)
