"""A small Transformer of characters in PyTorch, of nanoGPT's kind, trained for a given processor time.

Blocks with layer normalisation before attention and before the feed-forward part, learnt positions, dropout, tied
embeddings, AdamW, warm-up and a cosine: the shape and the options of the character model of
https://github.com/karpathy/nanoGPT. Attention has no dropout, since PyTorch's fused attention on CPUs has none.
"""

import copy
import math
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from jax_lstm.data.text import Text
from jax_lstm.tasks.text_scores import cold_starts

VALIDATIONS, VAL_BATCHES = 16, 4  # how often the weights are judged, and on how many batches
WARM_UP = 0.02  # of the processor time


@dataclass(frozen=True)
class Size:
    """Of the model and its batches; the first are those of nanoGPT's model of characters."""

    layers: int = 6
    width: int = 384
    heads: int = 6
    block: int = 256
    batch: int = 64
    dropout: float = 0.2
    learning_rate: float = 1e-3

    def __str__(self) -> str:
        return f"{self.layers} layers, {self.width} wide, {self.heads} heads, batches of {self.batch} x {self.block}"


class Block(nn.Module):
    def __init__(self, size: Size):
        super().__init__()
        self.heads, width = size.heads, size.width
        self.norms = nn.ModuleList(nn.LayerNorm(width, bias=False) for _ in range(2))
        self.qkv, self.join = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width, bias=False)
        self.wide, self.narrow = nn.Linear(width, 4 * width, bias=False), nn.Linear(4 * width, width, bias=False)
        self.drop = nn.Dropout(size.dropout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        split = self.qkv(self.norms[0](x)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        heads = functional.scaled_dot_product_attention(*split, is_causal=True)
        x = x + self.drop(self.join(heads.transpose(1, 2).flatten(2)))
        return x + self.drop(self.narrow(functional.gelu(self.wide(self.norms[1](x)))))


class Transformer(nn.Module):
    """Codes (B, T) to logits (B, T, V); T is at most `size.block`."""

    def __init__(self, alphabet: int, size: Size):
        super().__init__()
        self.tokens, self.places = nn.Embedding(alphabet, size.width), nn.Embedding(size.block, size.width)
        self.drop = nn.Dropout(size.dropout)
        self.blocks = nn.Sequential(*(Block(size) for _ in range(size.layers)))
        self.norm = nn.LayerNorm(size.width, bias=False)
        for name, weight in self.named_parameters():
            if weight.dim() > 1:
                last = name.endswith(("join.weight", "narrow.weight"))  # those that are added to the residual stream
                nn.init.normal_(weight, std=0.02 / (math.sqrt(2 * size.layers) if last else 1))

    def forward(self, codes: torch.Tensor) -> torch.Tensor:
        x = self.drop(self.tokens(codes) + self.places.weight[: codes.shape[1]])
        return functional.linear(self.norm(self.blocks(x)), self.tokens.weight)


def train(text: Text, size: Size, seconds: float, seed: int = 0) -> tuple[Transformer, dict[str, Any]]:
    """Train for `seconds` of processor time; the weights that are best on cold windows of the validation part.

    The learning rate follows the processor time, too, so that it has come down when the time is over.
    """
    torch.manual_seed(seed)
    torch.set_num_threads(1)  # threads that wait for each other would spend processor time
    rng = np.random.default_rng(seed)
    model = Transformer(text.alphabet.size, size)
    matrices, vectors = ([each for each in model.parameters() if (each.dim() > 1) == big] for big in (True, False))
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=size.learning_rate, betas=(0.9, 0.99))
    began, wall = time.process_time(), time.monotonic()
    lowest, best, steps, losses = math.inf, model.state_dict(), 0, list[float]()
    while (done := (time.process_time() - began) / seconds) < 1:
        if len(losses) < math.floor(done * VALIDATIONS):
            losses.append(cold(model, text.val, size, VAL_BATCHES))
            if losses[-1] < lowest:
                lowest, best = losses[-1], copy.deepcopy(model.state_dict())
        rate = size.learning_rate * (0.1 + 0.9 * (1 + math.cos(math.pi * done)) / 2) * min(1.0, done / WARM_UP + 0.01)
        for group in optimizer.param_groups:
            group["lr"] = rate
        model.train()
        starts = rng.integers(0, len(text.train) - size.block, size.batch)
        loss = _loss(model, text.train, starts, size.block)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        steps += 1
    if (last := cold(model, text.val, size, VAL_BATCHES)) < lowest:
        lowest, best = last, model.state_dict()
    model.load_state_dict(best)
    parameters = sum(each.numel() for each in model.parameters())
    about = {"size": str(size), "parameters": parameters, "steps": steps, "validation": [*losses, last]}
    times = {"processor_seconds": time.process_time() - began, "seconds": time.monotonic() - wall}
    return model, about | times


def cold(model: Transformer, codes: np.ndarray, size: Size, batches: int | None = None) -> float:
    """Nats per character of the windows that `jax-lstm evaluate --cold` reads, or of the first `batches` of them."""
    model.eval()
    with torch.inference_mode():
        losses = [
            _loss(model, codes, starts, size.block).item() for starts in cold_starts(len(codes), size.block)[:batches]
        ]
    return float(np.mean(losses))


def _loss(model: Transformer, codes: np.ndarray, starts: np.ndarray, length: int) -> torch.Tensor:
    windows = torch.from_numpy(codes[starts[:, None] + np.arange(length + 1)].astype(np.int64))
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(windows[:, :-1])
    return functional.cross_entropy(logits.float().flatten(0, 1), windows[:, 1:].flatten())
