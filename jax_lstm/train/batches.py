"""Batch order: a pure function of seed and epoch, so that a resumed run sees the same batches."""

import numpy as np

from jax_lstm.train.config import TrainConfig


def in_calls(rows: np.ndarray, config: TrainConfig) -> np.ndarray:
    """Split batches (steps, B) into compiled calls: (calls, steps per call, B).

    Every call has the same number of steps, at most `chunk_steps`, so that all share one program. The remainder, fewer
    steps than there are calls, is dropped.
    """
    calls, per_call = calls_of(len(rows), config.chunk_steps)
    return rows[: calls * per_call].reshape(calls, per_call, -1)


def calls_of(steps: int, at_most: int) -> tuple[int, int]:
    """The number of calls, and the steps in each."""
    calls = -(-steps // at_most)
    return calls, steps // calls


def shuffled(starts: np.ndarray, config: TrainConfig, epoch: int) -> np.ndarray:
    """Shuffle `starts` into batches, (calls, steps per call, B); an incomplete last batch is dropped.

    Only NumPy is used, so that another framework can be given the same batches.
    """
    batch_size = min(config.batch_size, len(starts))
    order = np.random.default_rng([config.seed, epoch]).permutation(len(starts))
    return in_calls(starts[order[: len(starts) // batch_size * batch_size]].reshape(-1, batch_size), config)
