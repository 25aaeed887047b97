"""Forecasting: windows of a series, and the rows after each."""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn


class Forecasting(NamedTuple):
    window: int
    horizon: int

    def gather(self, arrays: tuple[Tensor, Tensor], rows: Tensor) -> tuple[Tensor, Tensor]:
        """Of inputs (N, F) and targets (N, C) the windows that begin in `rows`: (B, window, F), (B, horizon * C)."""
        inputs, targets = arrays
        seen = inputs[rows[:, None] + torch.arange(self.window)]
        ahead = targets[rows[:, None] + torch.arange(self.window, self.window + self.horizon)]
        return seen, ahead.reshape(len(rows), -1)

    def outputs(self, model: nn.Module, batch: Any, carry: Any) -> tuple[Tensor, Any]:
        return model(batch[0]), carry

    def cost(self, outputs: Tensor, batch: Any) -> Tensor:
        return nn.functional.mse_loss(outputs, batch[1])
