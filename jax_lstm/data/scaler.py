"""Standardising: mean and standard deviation of each column in the training part, of all series together or of each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from jax_lstm.checks import InputError

FAR = 12  # standard deviations from the mean of the training part that are warned of
FARTHEST = 1e15  # standard deviations from the mean; squares of larger values would overflow float32 losses
FEWEST = 5  # known values that give a series its own mean and deviation
ROUNDING = 1e-9  # of the largest value: a smaller deviation within a series counts as none


@dataclass(frozen=True)
class Scaler:
    """Mean and standard deviation (C,) of each column in the training part; `scale` is 1 for a constant column.

    `series` has those of each series by name, if they are not shared; then only the scaler `of` a series can be used.
    Those `of_rows` are (N, C).
    """

    columns: tuple[str, ...]
    mean: np.ndarray
    scale: np.ndarray
    series: Mapping[str, "Scaler"] = field(default_factory=dict)

    def of(self, name: str) -> "Scaler":
        """The scaler of the series `name`; without statistics per series it is the shared one."""
        return self.series[name] if self.series else self

    def of_rows(self, names: Sequence[str], at: np.ndarray) -> "Scaler":
        """The scaler of rows, of which each is of the series `names[at]`; `at` (N,)."""
        if not self.series:
            return self
        each = [self.series[name] for name in names]
        mean, scale = np.stack([one.mean for one in each]), np.stack([one.scale for one in each])
        return Scaler(self.columns, mean[at], scale[at])

    def pick(self, columns: tuple[str, ...]) -> "Scaler":
        self._require_one()
        at = [self.columns.index(name) for name in columns]
        return Scaler(columns, self.mean[..., at], self.scale[..., at])

    def _require_one(self) -> None:
        assert not self.series, "each series has its own scaler: take it by `of`"

    def standardise(self, values: np.ndarray) -> np.ndarray:
        """Standardise values (N, C).

        Raises:
            InputError: a value is so far from the mean that its square could overflow float32.
        """
        self._require_one()
        with np.errstate(over="ignore"):
            standardised = (values - self.mean) / self.scale
        for row, column in np.argwhere(np.abs(standardised) > FARTHEST)[:1]:
            mean = np.broadcast_to(self.mean, values.shape)[row, column]
            raise InputError(
                f"column {self.columns[column]!r} holds {values[row, column]:g}, too far from its mean in the training "
                f"part, {mean:g}, to compute with"
            )
        return standardised

    def far(self, values: np.ndarray) -> dict[str, str]:
        """Warnings, by column, about values (N, C) far outside those of the training part."""
        self._require_one()
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
        self._require_one()
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
        mean[at], deviation = _moments(known, name, source)
        if known.min() == known.max() or deviation == 0:
            warnings.append(constant(name))
        else:
            scale[at] = deviation
    return Scaler(columns, mean, scale), tuple(warnings)


def with_series(scaler: Scaler, rows: Mapping[str, np.ndarray], own: Sequence[str], source: str) -> Scaler:
    """Add the statistics of series, each of its `rows` (N, C), NaN where missing, in the columns `own`.

    The other columns keep the shared ones, and so do those of which a series has fewer than `FEWEST` known values, or
    no deviation.

    Raises:
        InputError: a column holds values too large to standardise.
    """
    found = dict(scaler.series)
    for series, values in rows.items():
        mean, scale = scaler.mean.copy(), scaler.scale.copy()
        for at in map(scaler.columns.index, own):
            known = values[:, at][~np.isnan(values[:, at])]
            if len(known) >= FEWEST:
                centre, deviation = _moments(known, scaler.columns[at], source)
                if deviation > ROUNDING * np.abs(known).max():
                    mean[at], scale[at] = centre, deviation
        found[series] = Scaler(scaler.columns, mean, scale)
    return replace(scaler, series=found)


def within_series(scaler: Scaler, column: str) -> float:
    """The deviation of a column within a series, in the geometric mean over series, relative to that of all together.

    Of series that have their own; 1 if none has.
    """
    at = scaler.columns.index(column)
    shared = scaler.mean[at], scaler.scale[at]
    own = [one.scale[at] for one in scaler.series.values() if (one.mean[at], one.scale[at]) != shared]
    return float(np.exp(np.mean(np.log(own))) / scaler.scale[at]) if own else 1.0


def _moments(known: np.ndarray, column: str, source: str) -> tuple[float, float]:
    with np.errstate(over="ignore", invalid="ignore"):
        mean, deviation = float(known.mean()), float(known.std())
    if not (np.isfinite(mean) and np.isfinite(deviation)):
        raise too_large(column, np.abs(known).max(), source)
    return mean, deviation


def too_large(column: str, largest: float, source: str) -> InputError:
    return InputError(f"{source}: column {column!r} holds values too large to standardise, up to {largest:g}")


def constant(column: str) -> str:
    return f"column {column!r} is constant in the training part, so it teaches the model nothing"
