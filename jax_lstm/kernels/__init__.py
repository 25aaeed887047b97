"""Kernels: one sequence, one direction, one layer.

A kernel is a pure function over arrays, differentiable in all of them:

    kernel(params, xs, state, *, reverse, mask, resets) -> (ys, state)

- `params` is an `LSTMParams` and `xs` (T, B, I), all of one floating type, the type to compute in.
- `state` is an `LSTMState`, `h` (B, R) and `c` (B, H), of the type `state_dtype` of that: float32 for the 16-bit types.
  State, gates and sums are kept in it; `h` is rounded where it enters a product, and in `ys`.
- `reverse` runs from the last step to the first; `ys[t]` belongs to `xs[t]` all the same.
- `mask` (T, B), bool: where false, the state is held as it is and the output is zero, whatever `xs` holds there.
- `resets` (T, B), bool: where true, the state is zero before the step, in the order in which steps are run.
- `ys` (T, B, R) has the type of `xs`. R, the size of `h`, is P with a projection and H without.

`reference` is the textbook, and what every other kernel is held against; `scan` is the fast one for every platform;
`native` is faster still, on CPU.
`cudnn` takes whole layers at once and says so in the table; it is NVIDIA's own.
`registry` is the table of them all and chooses; `variant` is the recurrence with what goes beyond PyTorch.
"""

from jax_lstm.kernels.reference import reference, step
from jax_lstm.kernels.scan import scan

__all__ = ["reference", "scan", "step"]
