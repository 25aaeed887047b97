"""Standardising: mean and standard deviation of each column in the training part."""

from dataclasses import dataclass

import numpy as np

from jax_lstm.checks import InputError

FAR = 12  # standard deviations from the mean of the training part that are warned of
FARTHEST = 1e15  # standard deviations from the mean; squares of larger values would overflow float32 losses


@dataclass(frozen=True)
class Scaler:
    """Mean and standard deviation (C,) of each column in the training part; `scale` is 1 for a constant column."""

    columns: tuple[str, ...]
    mean: np.ndarray
    scale: np.ndarray

    def pick(self, columns: tuple[str, ...]) -> "Scaler":
        at = [self.columns.index(name) for name in columns]
        return Scaler(columns, self.mean[at], self.scale[at])

    def standardise(self, values: np.ndarray) -> np.ndarray:
        """Standardise values (N, C).

        Raises:
            InputError: a value is so far from the mean that its square could overflow float32.
        """
        with np.errstate(over="ignore"):
            standardised = (values - self.mean) / self.scale
        for row, column in np.argwhere(np.abs(standardised) > FARTHEST)[:1]:
            raise InputError(
                f"column {self.columns[column]!r} holds {values[row, column]:g}, too far from its mean in the training "
                f"part, {self.mean[column]:g}, to compute with"
            )
        return standardised

    def far(self, values: np.ndarray) -> dict[str, str]:
        """Warnings, by column, about values (N, C) far outside those of the training part."""
        distances = np.abs(values - self.mean) / self.scale
        found = {}
        for at, name in enumerate(self.columns):
            if np.isfinite(distances[:, at]).any() and (most := np.nanmax(distances[:, at])) > FAR:
                value = values[int(np.nanargmax(distances[:, at])), at]
                found[name] = (
                    f"column {name!r} holds {value:g}, {most:.0f} standard deviations from its mean in the training "
                    "part: the model never saw such values"
                )
        return found

    def restore(self, values: np.ndarray) -> np.ndarray:
        return values * self.scale + self.mean


def fit_scaler(columns: tuple[str, ...], rows: np.ndarray, source: str) -> tuple[Scaler, tuple[str, ...]]:
    """Fit the scaler to the training rows (N, C), NaN where missing; and warnings about constant columns.

    Raises:
        InputError: a column has no value, or values too large to standardise.
    """
    mean, scale, warnings = np.zeros(len(columns)), np.ones(len(columns)), []
    for at, name in enumerate(columns):
        known = rows[:, at][~np.isnan(rows[:, at])]
        if not len(known):
            raise InputError(f"{source}: column {name!r} has no value in the training part")
        with np.errstate(over="ignore", invalid="ignore"):
            mean[at], deviation = known.mean(), known.std()
        if not (np.isfinite(mean[at]) and np.isfinite(deviation)):
            raise too_large(name, np.abs(known).max(), source)
        if known.min() == known.max() or deviation == 0:
            warnings.append(constant(name))
        else:
            scale[at] = deviation
    return Scaler(columns, mean, scale), tuple(warnings)


def too_large(column: str, largest: float, source: str) -> InputError:
    return InputError(f"{source}: column {column!r} holds values too large to standardise, up to {largest:g}")


def constant(column: str) -> str:
    return f"column {column!r} is constant in the training part, so it teaches the model nothing"
