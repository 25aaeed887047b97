"""SegRNN's recipe in PyTorch on our windows of ETTh1, so that its published figures can be judged.

Lin et al. 2023, https://arxiv.org/abs/2308.11200; the options are those of scripts/SegRNN/etth1.sh in
https://github.com/lss-1138/SegRNN. A GRU reads the window, less its last values, in segments. From its last state one
step each, in parallel, forecasts the segments of the horizon. Columns are apart and share the weights.
"""

import contextlib
import copy
import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from benchmarks.accuracy.forecasts import Recipe
from jax_lstm.data.dataset import Dataset


class SegRNN(nn.Module):
    """Windows (B, `window`, C) to forecasts (B, horizon, C)."""

    def __init__(self, columns: int, horizon: int, recipe: Recipe):
        super().__init__()
        self.columns, self.segment = columns, recipe.segment
        self.read = nn.Linear(recipe.segment, recipe.hidden)
        self.gru = nn.GRU(recipe.hidden, recipe.hidden, batch_first=True)
        self.places = nn.Parameter(torch.randn(horizon // recipe.segment, recipe.hidden // 2))
        self.channels = nn.Parameter(torch.randn(columns, recipe.hidden // 2))
        self.drop = nn.Dropout(recipe.dropout)
        self.write = nn.Linear(recipe.hidden, recipe.segment)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        last, count = x[:, -1:], len(self.places)
        segments = (x - last).transpose(1, 2).reshape(-1, x.shape[1] // self.segment, self.segment)
        _, state = self.gru(functional.relu(self.read(segments)))  # (1, B * C, hidden)
        channels = self.channels[:, None].expand(-1, count, -1)
        ahead = torch.cat([self.places.expand(self.columns, -1, -1), channels], dim=-1).flatten(0, 1)
        ahead = ahead.repeat(len(x), 1)[:, None]  # (B * C * count, 1, hidden)
        _, states = self.gru(ahead, state.repeat_interleave(count, dim=1))
        return self.write(self.drop(states[0])).reshape(len(x), self.columns, -1).transpose(1, 2) + last


@contextlib.contextmanager
def _bfloat16_products() -> Iterator[None]:
    """Matrix products in bfloat16, with float32 sums: twice as fast on CPUs that have them."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


@_bfloat16_products()
def train(data: Dataset, recipe: Recipe, seed: int) -> tuple[SegRNN, dict[str, list[float]]]:
    """The weights with the least validation error, and the losses by epoch."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    model = SegRNN(data.targets.shape[1], data.config.horizon, recipe)
    optimizer = torch.optim.Adam(model.parameters(), lr=recipe.learning_rate)
    curve: dict[str, list[float]] = {"epoch": [], "train": [], "validation": []}
    best, patience = model.state_dict(), recipe.patience
    for epoch in range(1, recipe.epochs + 1):
        for group in optimizer.param_groups:
            group["lr"] = recipe.learning_rate * recipe.decay ** max(epoch - recipe.steady, 0)
        model.train()
        order, losses = rng.permutation(data.starts["train"]), list[float]()
        for at in range(0, len(order) - recipe.batch + 1, recipe.batch):
            x, y = _windows(data, order[at : at + recipe.batch])
            loss = functional.mse_loss(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        validation = errors(model, data, "val")["mse"]
        patience -= 1
        if validation < min(curve["validation"], default=math.inf):
            best, patience = copy.deepcopy(model.state_dict()), recipe.patience
        for column, value in zip(curve.values(), (epoch, float(np.mean(losses)), validation), strict=True):
            column.append(value)
        if not patience:
            break
    model.load_state_dict(best)
    return model, curve


def errors(model: SegRNN, data: Dataset, part: str) -> dict[str, float]:
    """MSE and MAE of all windows of a part, standardised; none is left out."""
    model.eval()
    squares, sizes, starts = [], [], data.starts[part]
    with torch.inference_mode():
        for at in range(0, len(starts), 256):
            x, y = _windows(data, starts[at : at + 256])
            error = (model(x) - y).double()
            squares.append(error.square().sum().item())
            sizes.append(error.abs().sum().item())
    count = len(starts) * data.config.horizon * data.targets.shape[1]
    return {"mse": sum(squares) / count, "mae": sum(sizes) / count}


def _windows(data: Dataset, starts: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    rows = starts[:, None] + np.arange(data.config.window + data.config.horizon)
    both = torch.from_numpy(data.targets[rows])
    return both[:, : data.config.window], both[:, data.config.window :]
