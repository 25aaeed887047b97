"""Tolerances between two implementations of the same computation, each with its reason.

Differences are relative to the largest magnitude of the reference, max|a - b| / max|b|. Relative to each element, a
gradient entry that consists of rounding errors would decide the result.
"""

from typing import Any, NamedTuple

import numpy as np


class Tolerance(NamedTuple):
    float32: float
    float64: float
    reason: str

    def of(self, dtype: Any) -> float:
        return self.float64 if np.dtype(dtype) == np.float64 else self.float32


class Difference(NamedTuple):
    """Largest absolute difference, and the same relative to the largest magnitude of the reference."""

    absolute: float
    relative: float


TOLERANCES = {
    "outputs": Tolerance(
        5e-6,
        1e-13,
        "different orders of summation and approximations of tanh and sigmoid: a few units in the last place",
    ),
    "gradients": Tolerance(
        2e-5, 1e-12, "sums over all steps and rows, which may cancel to much less than their largest term"
    ),
    "losses": Tolerance(1e-4, 1e-12, "a mean over the batch, with weights that differ as below"),
    "weights": Tolerance(
        1e-3,
        1e-10,
        "Adam divides a gradient by its magnitude: where an entry is nearly zero, its rounding error becomes a step of "
        "up to the learning rate",
    ),
}


def difference(got: Any, reference: Any) -> Difference:
    """The difference of `got` from `reference`; infinite if either array has a NaN or an infinity."""
    got, reference = np.asarray(got, np.float64), np.asarray(reference, np.float64)
    if got.shape != reference.shape:
        raise AssertionError(f"shapes differ: {got.shape} against {reference.shape}")
    if not got.size:
        return Difference(0.0, 0.0)
    if not (np.isfinite(got).all() and np.isfinite(reference).all()):
        return Difference(np.inf, np.inf)
    absolute = float(np.abs(got - reference).max())
    largest = float(np.abs(reference).max())
    return Difference(absolute, absolute / largest if largest else (0.0 if absolute == 0 else np.inf))
