"""The order of an epoch: a pure function of seed and epoch, so that any position finds its batches again."""

import numpy as np

from jax_lstm.train.config import TrainConfig


def in_calls(rows: np.ndarray, config: TrainConfig) -> np.ndarray:
    """Batches (steps, B) as (calls, steps a call, B).

    All calls have the same number of steps, at most `chunk_steps`, so that they share one program; the steps left over,
    fewer than there are calls, are cut off.
    """
    calls, per_call = calls_of(len(rows), config.chunk_steps)
    return rows[: calls * per_call].reshape(calls, per_call, -1)


def calls_of(steps: int, at_most: int) -> tuple[int, int]:
    """How many calls, and how many steps in each."""
    calls = -(-steps // at_most)
    return calls, steps // calls


def shuffled(starts: np.ndarray, config: TrainConfig, epoch: int) -> np.ndarray:
    """All `starts` in a new order, (calls, steps a call, B); those left over, less than a batch, sit out this epoch.

    Another framework can be given the same.
    """
    batch_size = min(config.batch_size, len(starts))
    order = np.random.default_rng([config.seed, epoch]).permutation(len(starts))
    return in_calls(starts[order[: len(starts) // batch_size * batch_size]].reshape(-1, batch_size), config)
