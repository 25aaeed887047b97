"""The forecaster's network: an LSTM over segments of a window, beside a linear map from the window to the horizon."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

SMALLEST = 1e-5  # added to the variance of a window


def normalised(own: Tensor, how: str) -> tuple[Tensor, Tensor, Tensor]:
    """Targets (B, W, C) normalised by their window, and the centre and scale (B, 1, C) that were taken out."""
    first, last = own[:, :1], own[:, -1:]
    if how == "none":
        return own, torch.zeros_like(first), torch.ones_like(first)
    if how == "last":
        return own - last, last, torch.ones_like(first)
    centre = own.mean(dim=1, keepdim=True)
    scale = (own.var(dim=1, keepdim=True, correction=0) + SMALLEST).sqrt()
    return (own - centre) / scale, centre, scale


class ForecastModel(nn.Module):
    """Windows (B, W, F), and columns known ahead (B, horizon, K), to forecasts (B, horizon * C * Q).

    `target` (C), `known` (K), `static` and `calendar` are indices of the F columns.
    """

    def __init__(
        self,
        window: int,
        horizon: int,
        features: int,
        hidden_size: int,
        num_layers: int = 1,
        *,
        target: Sequence[int] = (0,),
        known: Sequence[int] = (),
        static: Sequence[int] = (),
        calendar: Sequence[int] = (),
        segment: int,
        normalise: str = "last",
        channels: str = "apart",
        decode: str = "segments",
        bypass: bool = True,
        lags: int = -1,
        quantiles: int = 0,
        bidirectional: bool = False,
        proj_size: int = 0,
    ):
        super().__init__()
        self.window, self.horizon, self.segment, self.normalise, self.lags = window, horizon, segment, normalise, lags
        self.targets, self.static = list(target), list(static)
        self.others = [at for at in range(features) if at not in target]
        self.drifting = [at for at in self.others if at not in (*known, *static)]
        self.lagged = [at for at in self.others if at not in (*static, *calendar)]
        self.apart, self.values = channels == "apart", max(quantiles, 1)
        self.segments = window // segment
        read = 1 if self.apart else len(target)  # targets that the LSTM reads and forecasts at once
        self.steps = -(-horizon // segment) if decode == "segments" else 0
        self.embed = nn.Linear(segment * (len(self.others) + read), hidden_size)
        self.lstm = nn.LSTM(
            hidden_size, hidden_size, num_layers, batch_first=True, bidirectional=bidirectional, proj_size=proj_size
        )
        size = (proj_size or hidden_size) * (1 + bidirectional)
        if self.steps:
            self.position = nn.Parameter(0.02 * torch.randn(self.steps, hidden_size))
            self.target = nn.Parameter(0.02 * torch.randn(len(target), hidden_size)) if self.apart else None
            self.ahead = nn.Linear(segment * len(known), hidden_size) if known else None
            self.fc = nn.Linear(size, segment * read * self.values)
        else:
            self.fc = nn.Linear(size + horizon * len(known), horizon * read * self.values)
        size = window + (len(static) + horizon * len(known) + lags * len(self.lagged) if lags >= 0 else 0)
        self.bypass = nn.Linear(size, horizon * self.values) if bypass else None
        if self.bypass is not None:
            for layer in (self.fc, self.bypass):
                nn.init.zeros_(layer.weight)
                nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor, ahead: Tensor) -> Tensor:
        own, centre, scale = normalised(x[:, :, self.targets], self.normalise)
        y = self._decoded(*self._encoded(x, centre, scale), ahead)  # (B, horizon, C, Q)
        if self.bypass is not None:
            linear = self.bypass(self._linear_inputs(own, x, ahead)).detach()  # it stays as it was fitted
            y = y + linear.unflatten(2, (self.horizon, self.values)).transpose(1, 2)
        y = y * scale[..., None] + centre[..., None]
        return (y.sort(dim=-1).values if self.values > 1 else y).flatten(1)

    def _linear_inputs(self, own: Tensor, x: Tensor, ahead: Tensor) -> Tensor:
        """The inputs (B, C, I) of the bypass: each target's window and, unless `lags` is -1, what all share."""
        windows = own.transpose(1, 2)
        if self.lags < 0:
            return windows
        covariates = x[:, self.window - self.lags :, self.lagged].flatten(1)
        shared = torch.cat([x[:, -1, self.static], ahead.flatten(1), covariates], dim=1)
        return torch.cat([windows, shared[:, None].expand(-1, windows.shape[1], -1)], dim=2)

    def _encoded(self, x: Tensor, centre: Tensor, scale: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """The last output and state of the LSTM after all segments; its rows are B * C, or B if targets are joint."""
        rows = self.segments * self.segment
        columns = self._columns(x[:, self.window - rows :], x[:, -1:], centre, scale)
        ys, state = self.lstm(torch.tanh(self.embed(columns.reshape(len(columns), self.segments, -1))))
        return ys[:, -1], state

    def _columns(self, x: Tensor, last: Tensor, centre: Tensor, scale: Tensor) -> Tensor:
        """All columns of windows (B, rows, F), or with targets apart for each (B * C, rows, 1 + F - C)."""
        columns = x.clone()
        columns[:, :, self.targets] = (x[:, :, self.targets] - centre) / scale
        columns[:, :, self.drifting] -= last[:, :, self.drifting]
        if not self.apart or len(self.targets) == 1:
            return columns
        own = columns[:, :, self.targets].transpose(1, 2).reshape(-1, x.shape[1], 1)
        return torch.cat([own, columns[:, :, self.others].repeat_interleave(len(self.targets), dim=0)], dim=2)

    def _decoded(self, last: Tensor, state: tuple[Tensor, Tensor], ahead: Tensor) -> Tensor:
        """The LSTM's part of the forecast, normalised, (B, horizon, C, Q)."""
        batch, targets = len(ahead), len(self.targets)
        if not self.steps:
            known = ahead.flatten(1).repeat_interleave(len(last) // batch, dim=0)
            y = self.fc(torch.cat([last, known], dim=1))
        else:
            h, c = (each.repeat_interleave(self.steps, dim=1) for each in state)
            ys, _ = self.lstm(self._start(ahead, len(last) // batch), (h, c))
            y = self.fc(ys[:, 0])
        columns = 1 if self.apart else targets
        y = y.reshape(batch, targets // columns, -1, columns, self.values)[:, :, : self.horizon]
        return y.transpose(1, 2).reshape(batch, self.horizon, targets, self.values)

    def _start(self, ahead: Tensor, targets: int) -> Tensor:
        """The inputs of the decoding (B * targets * segments, 1, H): position, target, and what is known ahead."""
        start = self.position[None, None]
        if self.target is not None:
            start = start + self.target[:, None]
        if self.ahead is not None:
            padded = nn.functional.pad(ahead, (0, 0, 0, self.steps * self.segment - self.horizon))
            start = start + self.ahead(padded.reshape(len(ahead), 1, self.steps, -1))
        return start.expand(len(ahead), targets, -1, -1).reshape(-1, 1, start.shape[-1])
