"""The LSTM written out from its equations, as an independent check of `torch.nn.LSTM`."""

import torch
from torch import Tensor


def lstm_cell(params: dict[str, Tensor], h: Tensor, c: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """One step: the next `h` and `c` (B, H) from `h`, `c` and `x` (B, I).

    `params` holds `weight_ih` (4H, I), `weight_hh` (4H, H) and optionally `bias_ih`, `bias_hh` (4H,).
    """
    w_ii, w_if, w_ig, w_io = params["weight_ih"].chunk(4)
    w_hi, w_hf, w_hg, w_ho = params["weight_hh"].chunk(4)
    i, f, g, o = x @ w_ii.T + h @ w_hi.T, x @ w_if.T + h @ w_hf.T, x @ w_ig.T + h @ w_hg.T, x @ w_io.T + h @ w_ho.T
    if "bias_ih" in params:
        b_i, b_f, b_g, b_o = (params["bias_ih"] + params["bias_hh"]).chunk(4)
        i, f, g, o = i + b_i, f + b_f, g + b_g, o + b_o
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


def lstm_layer(params: dict[str, Tensor], xs: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Run a sequence `xs` (T, B, I); returns the outputs (T, B, H) and the last `h` and `c`."""
    ys = []
    for x in xs:
        h, c = lstm_cell(params, h, c, x)
        ys.append(h)
    return torch.stack(ys), h, c
