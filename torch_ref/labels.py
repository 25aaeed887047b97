"""Labels: classify sequences of unequal lengths, packed."""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence


class Classifier(nn.Module):
    """The tutorial's model for packed sequences: its linear layer reads the output at the last step of each."""

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
        self.lstm = nn.LSTM(
            input_size, hidden_size, num_layers, batch_first=True, bidirectional=bidirectional, proj_size=proj_size
        )
        self.fc = nn.Linear((proj_size or hidden_size) * (1 + bidirectional), output_size)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        ys, _ = pad_packed_sequence(self.lstm(packed)[0], batch_first=True)
        return self.fc(ys[torch.arange(len(ys)), lengths - 1])


class Labelling(NamedTuple):
    def gather(self, arrays: tuple[Tensor, Tensor, Tensor], rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The sequences in `rows`, of x (N, T, F), lengths (N,) and classes (N,)."""
        x, lengths, y = arrays
        return x[rows], lengths[rows], y[rows]

    def outputs(self, model: nn.Module, batch: Any, carry: Any) -> tuple[Tensor, Any]:
        x, lengths, _ = batch
        return model(x, lengths), carry

    def cost(self, outputs: Tensor, batch: Any) -> Tensor:
        return nn.functional.cross_entropy(outputs, batch[2])
