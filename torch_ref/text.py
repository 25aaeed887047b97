"""Language modelling: predict the next token, with the state carried from batch to batch."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

State = tuple[Tensor, Tensor]


class LanguageModel(nn.Module):
    """Tokens (B, T) and a state to logits (B, T, V) and the last state."""

    def __init__(
        self, size: int, embedding_size: int, hidden_size: int, num_layers: int, tied: bool, proj_size: int = 0
    ):
        super().__init__()
        self.embedding = nn.Embedding(size, embedding_size)
        self.lstm = nn.LSTM(embedding_size, hidden_size, num_layers, batch_first=True, proj_size=proj_size)
        self.fc = nn.Linear(proj_size or hidden_size, size)
        if tied:
            self.fc.weight = self.embedding.weight

    def forward(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        ys, state = self.lstm(self.embedding(tokens), state)
        return self.fc(ys), state


class LanguageModelling(NamedTuple):
    steps: int

    def gather(self, arrays: Tensor, rows: Tensor) -> Tensor:
        """Pieces (B, steps + 1) of the text (N,) that begin at `rows`."""
        return arrays[rows[:, None] + torch.arange(self.steps + 1)]

    def outputs(self, model: nn.Module, batch: Tensor, carry: State) -> tuple[Tensor, State]:
        logits, (h, c) = model(batch[:, :-1], carry)
        return logits, (h.detach(), c.detach())

    def cost(self, outputs: Tensor, batch: Tensor) -> Tensor:
        return nn.functional.cross_entropy(outputs.flatten(0, 1), batch[:, 1:].flatten())
