"""`jax-lstm tutorial`: the job of the tutorial, with the same output lines."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

import jax
import numpy as np
from flax import nnx
from rich.console import Console

from jax_lstm.checks import require_extra, require_size
from jax_lstm.models import LSTMModel
from jax_lstm.train.config import OptimConfig, option
from jax_lstm.train.optimizer import make_optimizer
from jax_lstm.train.step import init_state, make_run_steps, make_step
from jax_lstm.weights.state_dicts import state_dict

Batch = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Tutorial:
    """Train the tutorial's model on random data, a new batch every epoch, in JAX or in PyTorch.

    Both frameworks start from the same weights and see the same batches.
    """

    framework: Literal["jax", "torch"] = "jax"
    """Framework to train in."""
    one_batch: bool = False
    """Fit one batch instead, the same in every epoch."""
    epochs: int = 100
    """Epochs, each one Adam step."""
    print_every: int = 10
    """Epochs between lines of output; the last epoch is printed too."""
    learning_rate: float = 1e-3
    """Learning rate of Adam."""
    batch_size: int = 32
    """Sequences per batch."""
    steps: int = 5
    """Time steps per sequence."""
    input_size: int = 10
    """Features per time step."""
    hidden_size: int = 20
    """Hidden units per layer."""
    output_size: int = 1
    """Size of the output."""
    num_layers: int = 2
    """LSTM layers."""
    seed: int = 0
    """Seed of the data and of the initial weights."""

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            if name not in ("framework", "one_batch", "learning_rate", "seed"):
                require_size(option(name), getattr(self, name))
        require_size("--seed", self.seed, least=0)
        OptimConfig(learning_rate=self.learning_rate)  # checks it

    def run(self, console: Console) -> int:
        sizes = (self.input_size, self.hidden_size, self.output_size, self.num_layers)
        model = LSTMModel(*sizes, rngs=nnx.Rngs(self.seed))
        train = self._in_jax if self.framework == "jax" else self._in_torch
        for epoch, loss in train(model):
            console.print(f"Epoch [{epoch}/{self.epochs}], Loss: {loss:.4f}", highlight=False, markup=False)
        return 0

    def batches(self) -> Iterator[Batch]:
        """The batch of each epoch: x (B, T, I) and y (B, O), standard normal."""
        rng = np.random.default_rng(self.seed)

        def draw() -> Batch:
            x = rng.standard_normal((self.batch_size, self.steps, self.input_size), np.float32)
            return x, rng.standard_normal((self.batch_size, self.output_size), np.float32)

        first = draw()
        yield first
        for _ in range(1, self.epochs):
            yield first if self.one_batch else draw()

    def _in_jax(self, model: LSTMModel) -> Iterator[tuple[int, float]]:
        optimizer = make_optimizer(OptimConfig(learning_rate=self.learning_rate), 1, nnx.state(model, nnx.Param))
        step, state = make_step(model, optimizer), init_state(model, optimizer)
        run_steps = make_run_steps(step, lambda _, batch: batch)
        batches, epoch = self.batches(), 0
        while chunk := list(islice(batches, self.print_every)):
            state, metrics = run_steps(state, (), jax.tree.map(lambda *leaves: np.stack(leaves), *chunk))
            epoch += len(chunk)
            yield epoch, float(metrics["loss"][-1])

    def _in_torch(self, model: LSTMModel) -> Iterator[tuple[int, float]]:
        torch: Any = require_extra("torch", "torch", "--framework torch")
        torch_ref: Any = require_extra("torch_ref", "torch", "--framework torch")
        twin = torch_ref.LSTMModel(self.input_size, self.hidden_size, self.output_size, self.num_layers)
        twin.load_state_dict({name: torch.from_numpy(array) for name, array in state_dict(model).items()})
        criterion, optimizer = torch.nn.MSELoss(), torch.optim.Adam(twin.parameters(), lr=self.learning_rate)
        for epoch, batch in enumerate(self.batches(), 1):
            inputs, targets = map(torch.from_numpy, batch)
            optimizer.zero_grad()
            loss = criterion(twin(inputs), targets)
            loss.backward()
            optimizer.step()
            if epoch % self.print_every == 0 or epoch == self.epochs:
                yield epoch, loss.item()
