"""Where the forecasts of an ensemble lie."""

import numpy as np

WITHIN = 1.645  # standard deviations: nine tenths of a normal distribution


def interval(members: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Where nine in ten such members lie, around their mean; None of one alone. The noise of the data is not in it."""
    if len(members) < 2:
        return None
    mean, around = members.mean(axis=0), WITHIN * members.std(axis=0, ddof=1)
    return mean - around, mean + around
