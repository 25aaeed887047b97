"""`jax-lstm tutorial`: the tutorial's own job, with its own output lines."""

from dataclasses import dataclass
from typing import Any, Literal

import jax
import numpy as np
from flax import nnx
from rich.console import Console

from jax_lstm.checks import require_extra, require_size
from jax_lstm.models import LSTMModel
from jax_lstm.train.config import OptimConfig
from jax_lstm.train.optimizer import make_optimizer
from jax_lstm.train.step import init_state, make_step
from jax_lstm.weights.state_dicts import state_dict


@dataclass(frozen=True)
class Tutorial:
    """Fit one batch of random data, in JAX or in PyTorch, from the same weights."""

    framework: Literal["jax", "torch"] = "jax"
    """Framework to train in."""
    epochs: int = 100
    """Steps of Adam, all on the one batch."""
    print_every: int = 10
    """Epochs between lines of output; the last epoch has one too."""
    learning_rate: float = 1e-3
    """Learning rate of Adam."""
    batch_size: int = 32
    """Sequences in the batch."""
    steps: int = 5
    """Time steps of a sequence."""
    input_size: int = 10
    """Features of a time step."""
    hidden_size: int = 20
    """Hidden units of every layer."""
    output_size: int = 1
    """Size of the output."""
    num_layers: int = 2
    """LSTM layers."""
    seed: int = 0
    """Seed of the data and of the initial weights."""

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            if name not in ("framework", "learning_rate", "seed"):
                require_size("--" + name.replace("_", "-"), getattr(self, name))
        require_size("--seed", self.seed, least=0)
        OptimConfig(learning_rate=self.learning_rate)  # checks it

    def run(self, console: Console) -> int:
        sizes = (self.input_size, self.hidden_size, self.output_size, self.num_layers)
        model = LSTMModel(*sizes, rngs=nnx.Rngs(self.seed))
        rng = np.random.default_rng(self.seed)
        x = rng.standard_normal((self.batch_size, self.steps, self.input_size), np.float32)
        y = rng.standard_normal((self.batch_size, self.output_size), np.float32)
        train = self._in_jax if self.framework == "jax" else self._in_torch
        for epoch, loss in train(model, x, y):
            console.print(f"Epoch [{epoch}/{self.epochs}], Loss: {loss:.4f}", highlight=False, markup=False)
        return 0

    def _in_jax(self, model: LSTMModel, x: np.ndarray, y: np.ndarray) -> Any:
        optimizer = make_optimizer(OptimConfig(learning_rate=self.learning_rate), 1, nnx.state(model, nnx.Param))
        step, state = make_step(model, optimizer), init_state(model, optimizer)
        batch = (jax.numpy.asarray(x), jax.numpy.asarray(y))
        run = jax.jit(lambda state, n: jax.lax.scan(lambda s, _: step(s, batch), state, length=n), static_argnums=1)
        for epoch in range(0, self.epochs, self.print_every):
            steps = min(self.print_every, self.epochs - epoch)
            state, metrics = run(state, steps)
            yield epoch + steps, float(metrics["loss"][-1])

    def _in_torch(self, model: LSTMModel, x: np.ndarray, y: np.ndarray) -> Any:
        torch: Any = require_extra("torch", "torch", "--framework torch")
        torch_ref: Any = require_extra("torch_ref", "torch", "--framework torch")
        twin = torch_ref.LSTMModel(self.input_size, self.hidden_size, self.output_size, self.num_layers)
        twin.load_state_dict({name: torch.from_numpy(array) for name, array in state_dict(model).items()})
        criterion, optimizer = torch.nn.MSELoss(), torch.optim.Adam(twin.parameters(), lr=self.learning_rate)
        inputs, targets = torch.from_numpy(x), torch.from_numpy(y)
        for epoch in range(1, self.epochs + 1):
            optimizer.zero_grad()
            loss = criterion(twin(inputs), targets)
            loss.backward()
            optimizer.step()
            if epoch % self.print_every == 0 or epoch == self.epochs:
                yield epoch, loss.item()
