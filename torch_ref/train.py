"""Training and inference in PyTorch, on the same batches as the JAX side."""

from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn


class Task(Protocol):
    """A task: its batches, outputs and loss."""

    def gather(self, arrays: Any, rows: Tensor) -> Any:
        """The batch at `rows` (B,)."""
        ...

    def outputs(self, model: nn.Module, batch: Any, carry: Any) -> tuple[Tensor, Any]:
        """The model's outputs, and the carry for the next step."""
        ...

    def cost(self, outputs: Tensor, batch: Any) -> Tensor: ...


def train_steps(
    task: Task, model: nn.Module, optimizer: torch.optim.Optimizer, arrays: Any, rows: np.ndarray, carry: Any
) -> tuple[np.ndarray, Any]:
    """One training step for each of `rows` (S, B); returns the S losses and the carry."""
    model.train()
    losses = []
    for row in torch.from_numpy(rows).long():
        batch = task.gather(arrays, row)
        optimizer.zero_grad()
        outputs, carry = task.outputs(model, batch, carry)
        loss = task.cost(outputs, batch)
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    return torch.stack(losses).numpy(), carry


def gradients(
    task: Task, model: nn.Module, arrays: Any, rows: np.ndarray, carry: Any
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Outputs of one batch, rows (B,), and the gradient of its loss for each parameter: zeros if it is not trained."""
    batch = task.gather(arrays, torch.from_numpy(rows).long())
    outputs, _ = task.outputs(model, batch, carry)
    names, params = zip(*model.named_parameters(), strict=True)
    grads = torch.autograd.grad(task.cost(outputs, batch), params, materialize_grads=True)
    return outputs.detach().numpy(), {name: grad.numpy() for name, grad in zip(names, grads, strict=True)}


@torch.inference_mode()
def infer(task: Task, model: nn.Module, arrays: Any, rows: np.ndarray, carry: Any) -> np.ndarray:
    """Outputs for each of `rows` (S, B), each from the given `carry`: (S * B, ...)."""
    model.eval()
    batches = (task.gather(arrays, row) for row in torch.from_numpy(rows).long())
    return torch.cat([task.outputs(model, batch, carry)[0] for batch in batches]).numpy()
