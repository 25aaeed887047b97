"""Training steps: at the tutorial's size, `LSTMModel`, mean squared error, Adam; and of many models by one program."""

from collections.abc import Callable, Iterator, Mapping
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
from jax_lstm.compare.contenders import InJax, InTorch
from jax_lstm.data import DataConfig
from jax_lstm.models import LSTMModel
from jax_lstm.tasks import load_task
from jax_lstm.tolerances import TOLERANCES, difference
from jax_lstm.train import ModelConfig, OptimConfig, TrainConfig
from jax_lstm.train.ensemble import batches, make_runner, members
from jax_lstm.train.step import init_state, make_step
from jax_lstm.weights.state_dicts import state_dict

SIZES = (10, 20, 1, 2)  # I, H, O, L
BATCH, WINDOW, STEPS, RATE = 32, 5, 100, 1e-3


class Trainer(NamedTuple):
    """`run` makes all steps and blocks; `losses` makes them from the initial weights."""

    run: Call
    losses: Callable[[], np.ndarray]


def training(plan: Plan, backends: list[str]) -> list[Row]:
    """Time PyTorch's loop, steps scanned on the device, and a compiled step called from Python.

    By default Adam updates each parameter separately; in both frameworks an option updates all of them at once.
    """
    rng = np.random.default_rng(0)
    xs = rng.standard_normal((STEPS, BATCH, WINDOW, SIZES[0]), np.float32)
    ys = rng.standard_normal((STEPS, BATCH, SIZES[2]), np.float32)
    weights = state_dict(LSTMModel(*SIZES, rngs=nnx.Rngs(0)))
    makers: dict[str, Callable[[], Trainer]] = {
        BASELINE: lambda: _in_torch(weights, xs, ys, "float32"),
        f"{BASELINE}, fused Adam": lambda: _in_torch(weights, xs, ys, "float32", fused=True),
    }
    for backend in backends:
        makers[backend] = lambda backend=backend: _scanned(backend, xs, ys)
        makers[f"{backend}, flat Adam"] = lambda backend=backend: _scanned(backend, xs, ys, flat=True)
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


def _in_torch(
    weights: dict[str, np.ndarray], xs: np.ndarray, ys: np.ndarray, dtype: str, fused: bool = False
) -> Trainer:
    import torch

    from torch_ref.model import LSTMModel as TorchModel

    batches = [tuple(torch.from_numpy(part.astype(dtype)) for part in batch) for batch in zip(xs, ys, strict=True)]
    criterion = torch.nn.MSELoss()

    def fresh() -> tuple[Any, Any]:
        model = TorchModel(*SIZES).to(getattr(torch, dtype))
        model.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
        return model, torch.optim.Adam(model.parameters(), lr=RATE, fused=fused)

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


def _step(backend: str, flat: bool = False) -> tuple[Any, Any]:
    """A step that returns only the loss, since PyTorch's loop does not compute the gradient norm either."""
    model, adam = LSTMModel(*SIZES, backend=backend, rngs=nnx.Rngs(0)), optax.adam(RATE)
    optimizer = optax.flatten(adam) if flat else adam
    step = make_step(model, optimizer)

    def loss_only(state: Any, batch: Any) -> Any:
        state, metrics = step(state, batch)
        return state, metrics["loss"]

    return loss_only, init_state(model, optimizer)


def _scanned(backend: str, xs: np.ndarray, ys: np.ndarray, flat: bool = False) -> Trainer:
    step, start = _step(backend, flat)
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


# The part `ensemble`: many models trained by one program, compared with one after the other

MEMBER_STEPS = 20  # of every member in a turn, at most
ONE_BY_ONE, AT_ONCE = "one after the other", "at once"


class Setup(NamedTuple):
    """Models to train on the packaged weather data: how many, their sizes, and the windows in a batch."""

    size: int
    hidden_size: int
    num_layers: int = 1
    batch_size: int = 64


WEATHER = DataConfig(window=48, calendar="off")
ENSEMBLES = {
    "2 small": Setup(2, 32),
    "8 small": Setup(8, 32),
    "32 small": Setup(32, 32),
    "8 small, few rows": Setup(8, 32, batch_size=8),
    "8 medium": Setup(8, 128),
    "4 of two layers": Setup(4, 128, 2),
}


def ensembles(plan: Plan, names: tuple[str, ...] = ()) -> Iterator[list[Row]]:
    for name in names or ENSEMBLES:
        yield compared(name, ENSEMBLES[name], plan)


def compared(name: str, setup: Setup, plan: Plan, data: DataConfig = WEATHER) -> list[Row]:
    """Time the same steps of all members; contenders whose losses differ from PyTorch's are not timed."""
    config = TrainConfig(
        data=data,
        model=ModelConfig(setup.hidden_size, setup.num_layers, network="tutorial"),
        optim=OptimConfig(schedule="constant"),
        batch_size=setup.batch_size,
        chunk_steps=MEMBER_STEPS,
        seeds=f"0:{setup.size}",
    )
    task, runs = load_task(config), list(members(config).values())
    rows = np.stack([np.asarray(each) for each in next(iter(batches(task, runs, 0, 0)))])
    torch, ours = ([make(run, task) for run in runs] for make in (InTorch, InJax))
    state, run_steps, arrays, *_ = make_runner(task, runs, 1)

    def one_by_one(models: list[Any]) -> np.ndarray:
        return np.stack([model.train(own) for model, own in zip(models, rows, strict=True)])

    def at_once() -> np.ndarray:
        nonlocal state
        state, metrics = run_steps(state, arrays, rows)  # pyright: ignore[reportArgumentType]
        return np.asarray(jax.block_until_ready(metrics["loss"]))

    turns = {BASELINE: lambda: one_by_one(torch), ONE_BY_ONE: lambda: one_by_one(ours), AT_ONCE: at_once}
    losses = {who: turn() for who, turn in turns.items()}
    admitted = alike(turns, losses, losses[BASELINE])
    sizes = (setup.batch_size, data.window, task.dataset.input_size, setup.hidden_size)
    shape = f"{setup.size} x {','.join(map(str, sizes))}" + f", {setup.num_layers} layers" * (setup.num_layers > 1)
    return timed("ensemble", name, TRAINING, admitted, plan, BASELINE, {"shape": shape}, rows.shape[1])
