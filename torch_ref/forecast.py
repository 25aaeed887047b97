"""Forecasting: the rows that follow each window of a series."""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

LOSSES = {"mse": nn.functional.mse_loss, "mae": nn.functional.l1_loss, "huber": nn.functional.huber_loss}


class Forecasting(NamedTuple):
    window: int
    horizon: int
    loss: str = "mse"

    def gather(self, arrays: tuple[Tensor, Tensor], rows: Tensor) -> tuple[Tensor, Tensor]:
        """Windows (B, window, F) of inputs and (B, horizon * C) of targets that begin at `rows`."""
        inputs, targets = arrays
        seen = inputs[rows[:, None] + torch.arange(self.window)]
        ahead = targets[rows[:, None] + torch.arange(self.window, self.window + self.horizon)]
        return seen, ahead.reshape(len(rows), -1)

    def outputs(self, model: nn.Module, batch: Any, carry: Any) -> tuple[Tensor, Any]:
        return model(batch[0]), carry

    def cost(self, outputs: Tensor, batch: Any) -> Tensor:
        return LOSSES[self.loss](outputs, batch[1])
