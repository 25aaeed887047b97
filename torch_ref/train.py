"""Training and forecasting in PyTorch, on the very batches that the JAX side sees."""

import numpy as np
import torch
from torch import Tensor, nn

from torch_ref.model import LSTMModel


def input_windows(inputs: Tensor, starts: Tensor, window: int) -> Tensor:
    """What is read of each window: (N, F) and starts (B,) to (B, window, F)."""
    return inputs[starts[:, None] + torch.arange(window)]


def target_windows(targets: Tensor, starts: Tensor, window: int, horizon: int) -> Tensor:
    """What is forecast of each window: (N, C) and starts (B,) to (B, horizon * C), step by step."""
    return targets[starts[:, None] + torch.arange(window, window + horizon)].reshape(len(starts), -1)


def train_steps(
    model: LSTMModel,
    optimizer: torch.optim.Optimizer,
    inputs: Tensor,
    targets: Tensor,
    starts: np.ndarray,
    window: int,
    horizon: int,
) -> np.ndarray:
    """One step of MSE training for each row of `starts` (S, B); returns the S losses."""
    model.train()
    loss_fn = nn.MSELoss()
    losses = []
    for batch in torch.from_numpy(starts).long():
        optimizer.zero_grad()
        loss = loss_fn(model(input_windows(inputs, batch, window)), target_windows(targets, batch, window, horizon))
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    return torch.stack(losses).numpy()


def gradients(
    model: LSTMModel, inputs: Tensor, targets: Tensor, starts: np.ndarray, window: int, horizon: int
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Outputs (B, O) of one batch, starts (B,), and the gradient of its MSE by each parameter."""
    batch = torch.from_numpy(starts).long()
    outputs = model(input_windows(inputs, batch, window))
    loss = nn.functional.mse_loss(outputs, target_windows(targets, batch, window, horizon))
    names, params = zip(*model.named_parameters(), strict=True)
    grads = torch.autograd.grad(loss, params)
    return outputs.detach().numpy(), {name: grad.numpy() for name, grad in zip(names, grads, strict=True)}


@torch.inference_mode()
def forecast(model: LSTMModel, inputs: Tensor, starts: np.ndarray, window: int, batch_size: int = 512) -> np.ndarray:
    """Forecasts (n, O) from the windows at `starts` (n,)."""
    model.eval()
    batches = torch.from_numpy(starts).long().split(batch_size)
    return torch.cat([model(input_windows(inputs, batch, window)) for batch in batches]).numpy()
