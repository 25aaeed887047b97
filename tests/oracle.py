"""An LSTM in float64 NumPy, forward and backward, written from the equations alone: gate by gate, step by step.

It shares no code with the library and imports neither framework. `params` maps PyTorch's names without the layer's
suffix, `weight_ih` (4H, I), `weight_hh` (4H, R), and maybe `bias_ih`, `bias_hh` (4H,), `weight_hr` (P, H), to arrays.
`mask` and `resets` are (T, B); a reset comes before its step in the order in which steps are run.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

Arrays = dict[str, np.ndarray]


class Tape(NamedTuple):
    """What one step leaves behind for the way back."""

    at: int
    x: np.ndarray
    h: np.ndarray
    c: np.ndarray
    i: np.ndarray
    f: np.ndarray
    g: np.ndarray
    o: np.ndarray
    c_next: np.ndarray
    valid: np.ndarray
    reset: np.ndarray


class Variant(NamedTuple):
    """What `Variant` adds, as plain arrays: see `jax_lstm.variants.Extras`, whose names these are."""

    weight_ch: np.ndarray | None = None
    norm_ih: np.ndarray | None = None
    norm_hh: np.ndarray | None = None
    norm_c: np.ndarray | None = None
    norm_c_bias: np.ndarray | None = None
    recurrent_dropout: np.ndarray | None = None
    zoneout_h: np.ndarray | None = None
    zoneout_c: np.ndarray | None = None


PLAIN = Variant()


def sigmoid(z: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-z))


def normalised(z: np.ndarray) -> np.ndarray:
    return (z - z.mean(-1, keepdims=True)) / np.sqrt(z.var(-1, keepdims=True) + 1e-5)


def gate(params: Arrays, at: int, x: np.ndarray, h: np.ndarray, variant: Variant = PLAIN) -> np.ndarray:
    """Gate number `at` of i, f, g, o, before its nonlinearity and without peepholes."""
    size = len(params["weight_ih"]) // 4
    rows = slice(at * size, (at + 1) * size)
    h = h if variant.recurrent_dropout is None else h * variant.recurrent_dropout
    if variant.norm_ih is None or variant.norm_hh is None:
        z = x @ params["weight_ih"][rows].T + h @ params["weight_hh"][rows].T
    else:
        z = (normalised(x @ params["weight_ih"].T) * variant.norm_ih)[:, rows]
        z = z + (normalised(h @ params["weight_hh"].T) * variant.norm_hh)[:, rows]
    for bias in ("bias_ih", "bias_hh"):
        if bias in params:
            z = z + params[bias][rows]
    return z


def layer(
    params: Arrays,
    xs: Any,
    h: Any,
    c: Any,
    *,
    reverse: bool = False,
    mask: Any = None,
    resets: Any = None,
    variant: Variant = PLAIN,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[Tape]]:
    """`xs` (T, B, I), `h` (B, R) and `c` (B, H): outputs (T, B, R), last h, last c, and the tape."""
    params = {name: np.asarray(value, np.float64) for name, value in params.items()}
    xs, h, c = (np.asarray(array, np.float64) for array in (xs, h, c))
    steps, batch = xs.shape[:2]
    mask = np.ones((steps, batch), bool) if mask is None else np.asarray(mask)
    resets = np.zeros((steps, batch), bool) if resets is None else np.asarray(resets)
    xs = np.where(mask[..., None], xs, 0)
    ys, tapes = np.zeros((steps, *h.shape)), []
    for at in reversed(range(steps)) if reverse else range(steps):
        x, valid, reset = xs[at], mask[at][:, None], resets[at][:, None]
        h, c = np.where(reset, 0, h), np.where(reset, 0, c)
        p_i, p_f, p_o = (0, 0, 0) if variant.weight_ch is None else np.split(variant.weight_ch, 3)
        i, f = sigmoid(gate(params, 0, x, h, variant) + p_i * c), sigmoid(gate(params, 1, x, h, variant) + p_f * c)
        g = np.tanh(gate(params, 2, x, h, variant))
        c_next = f * c + i * g
        o = sigmoid(gate(params, 3, x, h, variant) + p_o * c_next)
        shown = c_next
        if variant.norm_c is not None:
            shown = normalised(c_next) * variant.norm_c
            shown = shown if variant.norm_c_bias is None else shown + variant.norm_c_bias
        h_next = o * np.tanh(shown)
        if "weight_hr" in params:
            h_next = h_next @ params["weight_hr"].T
        tapes.append(Tape(at, x, h, c, i, f, g, o, c_next, valid, reset))
        if variant.zoneout_h is not None and variant.zoneout_c is not None:
            h_next = variant.zoneout_h[at] * h + (1 - variant.zoneout_h[at]) * h_next
            c_next = variant.zoneout_c[at] * c + (1 - variant.zoneout_c[at]) * c_next
        ys[at] = np.where(valid, h_next, 0)
        h, c = np.where(valid, h_next, h), np.where(valid, c_next, c)
    return ys, h, c, tapes


def layer_backward(
    params: Arrays, tapes: list[Tape], d_ys: Any, d_h: Any, d_c: Any
) -> tuple[Arrays, np.ndarray, np.ndarray, np.ndarray]:
    """Back through time, without variants: gradients of the parameters, of `xs` (T, B, I), and of the first h and c."""
    params = {name: np.asarray(value, np.float64) for name, value in params.items()}
    d_params = {name: np.zeros_like(value) for name, value in params.items()}
    d_ys, d_h, d_c = (np.asarray(array, np.float64) for array in (d_ys, d_h, d_c))
    d_xs = np.zeros((len(tapes), *tapes[0].x.shape))
    for tape in reversed(tapes):
        held_h, held_c = np.where(tape.valid, 0, d_h), np.where(tape.valid, 0, d_c)
        d_h, d_c = np.where(tape.valid, d_h + d_ys[tape.at], 0), np.where(tape.valid, d_c, 0)
        squashed = np.tanh(tape.c_next)
        if "weight_hr" in params:
            d_params["weight_hr"] += d_h.T @ (tape.o * squashed)
            d_h = d_h @ params["weight_hr"]
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
        d_xs[tape.at] = d_z @ params["weight_ih"]
        d_h = np.where(tape.reset, 0, d_z @ params["weight_hh"] + held_h)
        d_c = np.where(tape.reset, 0, d_c * tape.f + held_c)
    return d_params, d_xs, d_h, d_c


def slope(scalar: Callable[..., float], arrays: Sequence[np.ndarray], at: int, direction: np.ndarray) -> float:
    """The derivative of `scalar(*arrays)` by `arrays[at]` along `direction`: central differences, good to some 1e-8."""
    step = 1e-5
    above, below = (
        scalar(*(array + sign * step * direction if k == at else array for k, array in enumerate(arrays)))
        for sign in (1, -1)
    )
    return (above - below) / (2 * step)


def random_params(
    rng: np.random.Generator, input_size: int, hidden_size: int, bias: bool = True, proj_size: int = 0
) -> Arrays:
    """Parameters of one layer, large enough that the gates leave their linear part."""
    shapes: dict[str, tuple[int, ...]] = {"weight_ih": (4 * hidden_size, input_size)}
    shapes["weight_hh"] = (4 * hidden_size, proj_size or hidden_size)
    if bias:
        shapes |= {"bias_ih": (4 * hidden_size,), "bias_hh": (4 * hidden_size,)}
    if proj_size:
        shapes["weight_hr"] = (proj_size, hidden_size)
    return {name: rng.uniform(-1, 1, shape) for name, shape in shapes.items()}
