"""Kernels: one sequence, one direction, one layer.

A kernel is a pure function over arrays, differentiable in all of them:

    kernel(params, xs, state) -> (ys, state)

`params` is an `LSTMParams`, `xs` (T, B, I), `state` an `LSTMState` of (B, H) arrays and `ys` (T, B, H); all have one
dtype.
`scan` is the reference that every other kernel is held against.
"""

from jax_lstm.kernels.scan import scan, step

__all__ = ["scan", "step"]
