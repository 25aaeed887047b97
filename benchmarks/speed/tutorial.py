"""Training steps at the tutorial's size: `LSTMModel`, mean squared error, Adam."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from benchmarks.core.contenders import BASELINE
from benchmarks.core.contenders.base import TRAINING, Work
from benchmarks.core.gate import Admitted
from benchmarks.core.measure import timed
from benchmarks.core.record import Row
from benchmarks.core.sampling import Call, Plan
from jax_lstm.models import LSTMModel
from jax_lstm.tolerances import TOLERANCES, difference
from jax_lstm.train.step import init_state, make_step
from jax_lstm.weights.state_dicts import state_dict

SIZES = (10, 20, 1, 2)  # I, H, O, L
BATCH, WINDOW, STEPS, RATE = 32, 5, 100, 1e-3


class Trainer(NamedTuple):
    """`run` makes all steps and blocks; `losses` makes them from the initial weights."""

    run: Call
    losses: Callable[[], np.ndarray]


def training(plan: Plan, backends: list[str]) -> list[Row]:
    """Time PyTorch's loop, steps scanned on the device, and a compiled step called from Python."""
    rng = np.random.default_rng(0)
    xs = rng.standard_normal((STEPS, BATCH, WINDOW, SIZES[0]), np.float32)
    ys = rng.standard_normal((STEPS, BATCH, SIZES[2]), np.float32)
    weights = state_dict(LSTMModel(*SIZES, rngs=nnx.Rngs(0)))
    makers: dict[str, Callable[[], Trainer]] = {BASELINE: lambda: _in_torch(weights, xs, ys, "float32")}
    for backend in backends:
        makers[backend] = lambda backend=backend: _scanned(backend, xs, ys)
        makers[f"{backend}, a call a step"] = lambda backend=backend: _called(backend, xs, ys)
    expected = _in_torch(weights, xs, ys, "float64").losses()
    trainers = {name: make() for name, make in makers.items()}
    shape = f"{BATCH},{WINDOW},{SIZES[0]},{SIZES[1]}"
    losses = {name: trainer.losses() for name, trainer in trainers.items()}
    admitted = alike({name: trainer.run for name, trainer in trainers.items()}, losses, expected)
    return timed("training", "tutorial", TRAINING, admitted, plan, BASELINE, {"shape": shape}, STEPS)


def alike(turns: Mapping[str, Call], losses: Mapping[str, np.ndarray], expected: np.ndarray) -> Admitted:
    """Those whose losses are as expected, and by how much the others differ."""
    apart = {name: difference(found, expected).relative for name, found in losses.items()}
    limit = TOLERANCES["losses"].float32
    failed = {name: f"losses: off by {by:.1e}, more than {limit:.0e}" for name, by in apart.items() if by > limit}
    return Admitted({name: Work(turn, dict) for name, turn in turns.items() if name not in failed}, failed, {})


def _in_torch(weights: dict[str, np.ndarray], xs: np.ndarray, ys: np.ndarray, dtype: str) -> Trainer:
    import torch

    from torch_ref.model import LSTMModel as TorchModel

    batches = [tuple(torch.from_numpy(part.astype(dtype)) for part in batch) for batch in zip(xs, ys, strict=True)]
    criterion = torch.nn.MSELoss()

    def fresh() -> tuple[Any, Any]:
        model = TorchModel(*SIZES).to(getattr(torch, dtype))
        model.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
        return model, torch.optim.Adam(model.parameters(), lr=RATE)

    def train(model: Any, optimizer: Any) -> list[Any]:
        losses = []
        for x, y in batches:
            optimizer.zero_grad()
            loss = criterion(model(x), y)
            loss.backward()
            optimizer.step()
            losses.append(loss.detach())
        return losses

    model, optimizer = fresh()
    return Trainer(lambda: train(model, optimizer), lambda: torch.stack(train(*fresh())).numpy())


def _step(backend: str) -> tuple[Any, Any]:
    """A step that returns only the loss, since PyTorch's loop does not compute the gradient norm either."""
    model, optimizer = LSTMModel(*SIZES, backend=backend, rngs=nnx.Rngs(0)), optax.adam(RATE)
    step = make_step(model, optimizer)

    def loss_only(state: Any, batch: Any) -> Any:
        state, metrics = step(state, batch)
        return state, metrics["loss"]

    return loss_only, init_state(model, optimizer)


def _scanned(backend: str, xs: np.ndarray, ys: np.ndarray) -> Trainer:
    step, start = _step(backend)
    batches = (jnp.asarray(xs), jnp.asarray(ys))
    run = jax.jit(lambda state, batches: jax.lax.scan(step, state, batches))
    return Trainer(lambda: jax.block_until_ready(run(start, batches)), lambda: np.asarray(run(start, batches)[1]))


def _called(backend: str, xs: np.ndarray, ys: np.ndarray) -> Trainer:
    step, start = _step(backend)
    compiled = jax.jit(step)
    batches = [(jnp.asarray(x), jnp.asarray(y)) for x, y in zip(xs, ys, strict=True)]

    def losses() -> list[Any]:
        state, found = start, []
        for batch in batches:
            state, loss = compiled(state, batch)
            found.append(loss)
        return jax.block_until_ready(found)

    return Trainer(losses, lambda: np.asarray(losses()))
