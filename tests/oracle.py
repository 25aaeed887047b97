"""An LSTM in float64 NumPy, forward and backward, written from the equations alone: gate by gate, step by step.

It shares no code with the library and imports neither framework. `params` maps PyTorch's names without the layer's
suffix, `weight_ih` (4H, I), `weight_hh` (4H, H), and maybe `bias_ih`, `bias_hh` (4H,), to arrays.
"""

from typing import Any, NamedTuple

import numpy as np

Arrays = dict[str, np.ndarray]


class Tape(NamedTuple):
    """What one step leaves behind for the way back."""

    x: np.ndarray
    h: np.ndarray
    c: np.ndarray
    i: np.ndarray
    f: np.ndarray
    g: np.ndarray
    o: np.ndarray
    c_next: np.ndarray


def sigmoid(z: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-z))


def gate(params: Arrays, at: int, x: np.ndarray, h: np.ndarray) -> np.ndarray:
    """Gate number `at` of i, f, g, o, before its nonlinearity."""
    size = h.shape[-1]
    rows = slice(at * size, (at + 1) * size)
    z = x @ params["weight_ih"][rows].T + h @ params["weight_hh"][rows].T
    for bias in ("bias_ih", "bias_hh"):
        if bias in params:
            z = z + params[bias][rows]
    return z


def layer(params: Arrays, xs: Any, h: Any, c: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[Tape]]:
    """`xs` (T, B, I), `h` and `c` (B, H): outputs (T, B, H), last h, last c, and the tape."""
    params = {name: np.asarray(value, np.float64) for name, value in params.items()}
    h, c = np.asarray(h, np.float64), np.asarray(c, np.float64)
    ys, tapes = [], []
    for x in np.asarray(xs, np.float64):
        i, f, o = (sigmoid(gate(params, at, x, h)) for at in (0, 1, 3))
        g = np.tanh(gate(params, 2, x, h))
        c_next = f * c + i * g
        tapes.append(Tape(x, h, c, i, f, g, o, c_next))
        h, c = o * np.tanh(c_next), c_next
        ys.append(h)
    return np.stack(ys), h, c, tapes


def layer_backward(
    params: Arrays, tapes: list[Tape], d_ys: Any, d_h: Any, d_c: Any
) -> tuple[Arrays, np.ndarray, np.ndarray, np.ndarray]:
    """Back through time: gradients of the parameters, of `xs` (T, B, I), and of the first h and c."""
    params = {name: np.asarray(value, np.float64) for name, value in params.items()}
    d_params = {name: np.zeros_like(value) for name, value in params.items()}
    d_h, d_c = np.asarray(d_h, np.float64), np.asarray(d_c, np.float64)
    d_xs = []
    for tape, d_y in zip(reversed(tapes), reversed(np.asarray(d_ys, np.float64)), strict=True):
        d_h = d_h + d_y
        squashed = np.tanh(tape.c_next)
        d_c = d_c + d_h * tape.o * (1 - squashed**2)
        d_z = np.concatenate(
            [
                d_c * tape.g * tape.i * (1 - tape.i),
                d_c * tape.c * tape.f * (1 - tape.f),
                d_c * tape.i * (1 - tape.g**2),
                d_h * squashed * tape.o * (1 - tape.o),
            ],
            axis=-1,
        )
        d_params["weight_ih"] += d_z.T @ tape.x
        d_params["weight_hh"] += d_z.T @ tape.h
        for bias in ("bias_ih", "bias_hh"):
            if bias in d_params:
                d_params[bias] += d_z.sum(axis=0)
        d_xs.append(d_z @ params["weight_ih"])
        d_h = d_z @ params["weight_hh"]
        d_c = d_c * tape.f
    return d_params, np.stack(d_xs[::-1]), d_h, d_c


def random_params(rng: np.random.Generator, input_size: int, hidden_size: int, bias: bool = True) -> Arrays:
    """Parameters of one layer, large enough that the gates leave their linear part."""
    shapes: dict[str, tuple[int, ...]] = {"weight_ih": (4 * hidden_size, input_size)}
    shapes["weight_hh"] = (4 * hidden_size, hidden_size)
    if bias:
        shapes |= {"bias_ih": (4 * hidden_size,), "bias_hh": (4 * hidden_size,)}
    return {name: rng.uniform(-1, 1, shape) for name, shape in shapes.items()}
