"""The tutorial's model."""

import torch
from torch import Tensor, nn


class LSTMModel(nn.Module):
    """(B, T, I) to (B, O): a linear layer on the last output of a batch-first LSTM that starts from zeros."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        output_size: int,
        num_layers: int = 1,
        bidirectional: bool = False,
        proj_size: int = 0,
    ):
        super().__init__()
        self.hidden_size = hidden_size
        self.output_size = proj_size or hidden_size
        self.states = num_layers * (1 + bidirectional)
        self.lstm = nn.LSTM(
            input_size, hidden_size, num_layers, batch_first=True, bidirectional=bidirectional, proj_size=proj_size
        )
        self.fc = nn.Linear(self.output_size * (1 + bidirectional), output_size)

    def forward(self, x: Tensor) -> Tensor:
        h0 = torch.zeros(self.states, x.size(0), self.output_size, dtype=x.dtype, device=x.device)
        c0 = torch.zeros(self.states, x.size(0), self.hidden_size, dtype=x.dtype, device=x.device)
        out, _ = self.lstm(x, (h0, c0))
        return self.fc(out[:, -1, :])
