"""The part `iterations`: how many iterations the `parallel` kernel takes, before and after training."""

from collections.abc import Callable, Iterator
from importlib.resources import as_file
from importlib.resources import files as packaged
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from benchmarks.accuracy.series import text_file
from benchmarks.accuracy.tasks import adding
from benchmarks.core.record import FAILED, Row
from jax_lstm import LSTM, Init, LanguageModel, LSTMModel
from jax_lstm.kernels import iterations as counted_iterations

PART = "iterations"
COARSE = 2.0**-13  # the tolerance where products are rounded to TF32
FORGET, REACH = "forget gate's bias", 8.0


def initial() -> Iterator[list[Row]]:
    """Initial weights, by T, H and forget bias, and recurrent weights so large that the network is chaotic."""
    for steps, hidden_size, forget_bias in (
        (1024, 64, None), (4096, 64, None), (1024, 256, None), (1024, 64, 1.0), (1024, 64, 2.0), (1024, 64, 3.0)
    ):  # fmt: skip
        lstm = LSTM(16, hidden_size, init=Init(forget_bias=forget_bias), rngs=nnx.Rngs(0))
        name = "initial weights" if forget_bias is None else f"initial weights, {FORGET} {forget_bias:+.0f}"
        yield counted(name, lstm, noise(steps))
    lstm: Any = LSTM(16, 64, rngs=nnx.Rngs(0))
    lstm.weight_hh_l0[...] = REACH * lstm.weight_hh_l0[...]
    yield counted(f"initial weights, recurrent ones times {REACH:.0f}", lstm, noise(1024))


def of_adding() -> Iterator[list[Row]]:
    """The adding problem over 50 steps."""
    random = np.random.default_rng(0)
    model = LSTMModel(2, 64, 1, init=Init(forget_bias=1.0), rngs=nnx.Rngs(0))

    def loss(model: Any, x: jax.Array, y: jax.Array) -> jax.Array:
        return jnp.square(model(x)[:, 0] - y).mean()

    def batch() -> tuple[Any, Any]:
        x, y = adding(random, 50, 32)
        return np.swapaxes(x, 0, 1), y

    last = train(model, loss, batch, 1500, 1e-2)
    yield counted("adding problem, trained", model.lstm, jnp.asarray(batch()[0][:1]), last)


def of_text() -> Iterator[list[Row]]:
    """A character model of Shakespeare, as its training goes on."""
    text = np.frombuffer(text_file().read_bytes(), np.uint8)
    tokens = np.unique(text, return_inverse=True)[1].astype(np.int32)
    model = LanguageModel(int(tokens.max()) + 1, 128, embedding_size=64, rngs=nnx.Rngs(0))
    windows = windows_of(tokens, 65)

    def loss(model: Any, x: jax.Array, y: jax.Array) -> jax.Array:
        return optax.softmax_cross_entropy_with_integer_labels(model(x)[0], y).mean()

    def batch() -> tuple[Any, Any]:
        found = next(windows)
        return found[:, :-1], found[:, 1:]

    done = 0
    for until in (0, 300, 1200):
        last = train(model, loss, batch, until - done, 4e-3) if until else None
        done = until
        x = model.embedding(jnp.asarray(tokens[None, :2048]))
        yield counted(f"characters, after {until:,} steps", model.lstm, x, last)


def of_weather() -> Iterator[list[Row]]:
    """The next hour's weather at one airport; counted over twelve weeks as one sequence."""
    import pandas as pd

    with as_file(packaged("jax_lstm.data") / "weather.csv.gz") as path:
        table = pd.read_csv(path)
    hours = table[table["origin"] == "JFK"].select_dtypes("number").ffill().bfill().to_numpy(np.float32)
    hours = (hours - hours.mean(axis=0)) / hours.std(axis=0)
    width, windows = hours.shape[1], windows_of(hours, 97)
    model = LSTMModel(width, 64, width, init=Init(forget_bias=1.0), rngs=nnx.Rngs(0))

    def loss(model: Any, x: jax.Array, y: jax.Array) -> jax.Array:
        return jnp.square(model(x) - y).mean()

    def batch() -> tuple[Any, Any]:
        found = next(windows)
        return found[:, :-1], found[:, -1]

    last = train(model, loss, batch, 1000, 3e-3)
    yield counted("weather, trained, 2,048 hours as one sequence", model.lstm, jnp.asarray(hours[None, :2048]), last)


def windows_of(rows: np.ndarray, length: int) -> Iterator[np.ndarray]:
    """Batches of 32 windows (32, length, ...), at random."""
    random = np.random.default_rng(0)
    while True:
        starts = random.integers(0, len(rows) - length, 32)
        yield rows[starts[:, None] + np.arange(length)]


def noise(steps: int) -> jax.Array:
    return jnp.asarray(np.random.default_rng(0).standard_normal((steps, 1, 16)), jnp.float32)


def train(model: Any, loss: Callable[..., jax.Array], batch: Callable[[], Any], steps: int, rate: float) -> float:
    """Train with Adam, the rate falling along a cosine; returns the mean loss of the last 20 steps."""
    optimizer = nnx.Optimizer(
        model, optax.chain(optax.clip_by_global_norm(1.0), optax.adam(optax.cosine_decay_schedule(rate, steps, 0.01))),
        wrt=nnx.Param,
    )  # fmt: skip

    @nnx.jit
    def step(model: Any, optimizer: Any, x: jax.Array, y: jax.Array) -> jax.Array:
        value, gradients = nnx.value_and_grad(loss)(model, x, y)
        optimizer.update(model, gradients)
        return value

    losses = [step(model, optimizer, *map(jnp.asarray, batch())) for _ in range(steps)]
    return float(np.mean(losses[-20:]))


def counted(name: str, lstm: LSTM, x: jax.Array, loss: float | None = None) -> list[Row]:
    """Rows of one layer, forward and backward, at the tolerances of float32 and TF32, and the loss of training."""
    ((fine,),), ((coarse,),) = counted_iterations(lstm, x), counted_iterations(lstm, x, tol=COARSE)
    about = {"T": max(x.shape[:2]), "H": lstm.hidden_size}
    measures = ("forward", "backward", "forward, TF32", "backward, TF32")
    rows = [
        Row(PART, name, "parallel", measure, samples=[value], about=about)
        if value is not None
        else Row(PART, name, "parallel", measure, status=f"{FAILED}not converged", about=about)
        for measure, value in zip(measures, (*fine, *coarse), strict=True)
    ]
    return rows + ([] if loss is None else [Row(PART, name, "parallel", "loss", samples=[loss], about=about)])


def iterations() -> Iterator[list[Row]]:
    for part in (initial, of_adding, of_text, of_weather):
        yield from part()
