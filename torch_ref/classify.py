"""Classification: a label for each sequence, of unequal lengths, which are packed."""

from typing import Any, NamedTuple

from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence


class Classifier(nn.Module):
    """The tutorial's model, with the state at the end of each sequence under its linear layer."""

    def __init__(self, input_size: int, hidden_size: int, output_size: int, num_layers: int = 1):
        super().__init__()
        self.lstm = nn.LSTM(input_size, hidden_size, num_layers, batch_first=True)
        self.fc = nn.Linear(hidden_size, output_size)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        _, (h, _) = self.lstm(packed)
        return self.fc(h[-1])


class Classification(NamedTuple):
    def gather(self, arrays: tuple[Tensor, Tensor, Tensor], rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Of sequences (N, T, F), lengths (N,) and classes (N,) those in `rows`."""
        x, lengths, y = arrays
        return x[rows], lengths[rows], y[rows]

    def outputs(self, model: nn.Module, batch: Any, carry: Any) -> tuple[Tensor, Any]:
        x, lengths, _ = batch
        return model(x, lengths), carry

    def cost(self, outputs: Tensor, batch: Any) -> Tensor:
        return nn.functional.cross_entropy(outputs, batch[2])
