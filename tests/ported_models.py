"""Models that people port, each in PyTorch and, with the same attribute names, in Flax."""

from typing import Any

import jax
import jax.numpy as jnp
import torch
from flax import nnx
from torch import nn

import jax_lstm as jl


class TorchTagger(nn.Module):
    """Token ids (B, T) to logits of labels (B, T, 5)."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(11, 6, padding_idx=0)
        self.lstm = nn.LSTM(6, 4, num_layers=2, bidirectional=True, batch_first=True)
        self.norm = nn.LayerNorm(8)
        self.fc = nn.Linear(8, 5)

    def forward(self, tokens: Any) -> Any:
        return self.fc(self.norm(self.lstm(self.embedding(tokens))[0]))


class Tagger(nnx.Module):
    def __init__(self, **types: Any):
        self.embedding = nnx.Embed(11, 6, **types)
        self.lstm = jl.LSTM(6, 4, num_layers=2, bidirectional=True, batch_first=True, **types)
        self.norm = nnx.LayerNorm(8, epsilon=1e-5, use_fast_variance=False, **types)
        self.fc = nnx.Linear(8, 5, **types)

    def __call__(self, tokens: jax.Array) -> jax.Array:
        return self.fc(self.norm(self.lstm(self.embedding(tokens))[0]))


class TorchSpeech(nn.Module):
    """Frames (B, T, 4) to logits (B, T // 2, 3): convolutions in a list, an LSTM with a projection."""

    def __init__(self) -> None:
        super().__init__()
        sizes = ((4, 6, 2), (6, 8, 1))
        self.front = nn.ModuleList(
            nn.Sequential(nn.Conv1d(i, o, 3, stride, 1, bias=False), nn.BatchNorm1d(o), nn.ReLU())
            for i, o, stride in sizes
        )
        self.lstm = nn.LSTM(8, 5, proj_size=3, batch_first=True)

    def forward(self, x: Any) -> Any:
        x = x.mT
        for block in self.front:
            x = block(x)
        return self.lstm(x.mT)[0]


class Speech(nnx.Module):
    def __init__(self, **types: Any):
        sizes = ((4, 6, 2), (6, 8, 1))
        self.front = nnx.List(
            nnx.Sequential(
                nnx.Conv(i, o, (3,), strides=stride, padding=1, use_bias=False, **types),
                nnx.BatchNorm(o, momentum=0.9, **types),
                nnx.relu,
            )
            for i, o, stride in sizes
        )
        self.lstm = jl.LSTM(8, 5, proj_size=3, batch_first=True, **types)

    def __call__(self, x: jax.Array) -> jax.Array:
        for block in self.front:
            x = block(x)
        return self.lstm(x)[0]


class TorchSeq2Seq(nn.Module):
    """Source tokens (B, T) and target tokens (B, U) to logits of the next tokens (B, U, 9), with attention."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(9, 6)
        self.encoder = nn.LSTM(6, 4, batch_first=True)
        self.cell = nn.LSTMCell(6 + 4, 4)
        self.query = nn.Linear(4, 4, bias=False)
        self.out = nn.Linear(8, 6)
        self.fc = nn.Linear(6, 9, bias=False)
        self.fc.weight = self.embedding.weight

    def forward(self, source: Any, target: Any) -> Any:
        memory, (h, c) = self.encoder(self.embedding(source))
        state, context, outputs = (h[0], c[0]), torch.zeros_like(h[0]), []
        for token in self.embedding(target).unbind(1):
            state = self.cell(torch.cat([token, context], -1), state)
            scores = torch.einsum("btk,bk->bt", memory, self.query(state[0])).softmax(-1)
            context = torch.einsum("bt,btk->bk", scores, memory)
            outputs.append(self.fc(self.out(torch.cat([state[0], context], -1)).tanh()))
        return torch.stack(outputs, 1)


class Seq2Seq(nnx.Module):
    tied_names = {"fc.weight": "embedding.weight"}  # noqa: RUF012

    def __init__(self, **types: Any):
        self.embedding = nnx.Embed(9, 6, **types)
        self.encoder = jl.LSTM(6, 4, batch_first=True, **types)
        self.cell = jl.LSTMCell(6 + 4, 4, **types)
        self.query = nnx.Linear(4, 4, use_bias=False, **types)
        self.out = nnx.Linear(8, 6, **types)

    def __call__(self, source: jax.Array, target: jax.Array) -> jax.Array:
        memory, (h, c) = self.encoder(self.embedding(source))

        def step(carry: Any, token: jax.Array) -> tuple[Any, jax.Array]:
            state, context = carry
            state, h = self.cell(state, jnp.concatenate([token, context], -1))
            scores = jax.nn.softmax(jnp.einsum("btk,bk->bt", memory, self.query(h)))
            context = jnp.einsum("bt,btk->bk", scores, memory)
            return (state, context), jnp.tanh(self.out(jnp.concatenate([h, context], -1)))

        tokens = self.embedding(target).swapaxes(0, 1)
        _, outputs = jax.lax.scan(step, ((h[0], c[0]), jnp.zeros_like(h[0])), tokens)
        return self.embedding.attend(outputs.swapaxes(0, 1))
