"""Forecasting: the rows that follow each window of a series."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from torch_ref.forecast_model import ForecastModel

LOSSES = {"mse": nn.functional.mse_loss, "mae": nn.functional.l1_loss, "huber": nn.functional.huber_loss}


def pinball_loss(outputs: Tensor, y: Tensor, levels: Sequence[float]) -> Tensor:
    """Of quantiles (B, O * Q) at `levels` (Q,) for `y` (B, O), twice the mean, so that the median has that of mae."""
    errors = y[..., None] - outputs.reshape(*y.shape, len(levels))
    tau = torch.tensor(levels, dtype=y.dtype)
    return 2 * torch.maximum(tau * errors, (tau - 1) * errors).mean()


class Forecasting(NamedTuple):
    window: int
    horizon: int
    known: Sequence[int] = ()  # columns known ahead
    loss: str = "mse"
    levels: Sequence[float] = ()  # of quantiles, in place of `loss`

    def gather(self, arrays: tuple[Tensor, Tensor], rows: Tensor) -> tuple[tuple[Tensor, Tensor], Tensor]:
        """What begins at `rows` (B,): windows (B, window, F) of inputs, columns known ahead, and the targets.

        Those ahead are (B, horizon, K), targets (B, horizon * C).
        """
        inputs, targets = arrays
        ahead = rows[:, None] + torch.arange(self.window, self.window + self.horizon)
        x = inputs[rows[:, None] + torch.arange(self.window)]
        return (x, inputs[ahead][:, :, list(self.known)]), targets[ahead].reshape(len(rows), -1)

    def outputs(self, model: nn.Module, batch: Any, carry: Any) -> tuple[Tensor, Any]:
        x, ahead = batch[0]
        return model(x, ahead) if isinstance(model, ForecastModel) else model(x), carry

    def cost(self, outputs: Tensor, batch: Any) -> Tensor:
        y = batch[1]
        return pinball_loss(outputs, y, self.levels) if self.levels else LOSSES[self.loss](outputs, y)
