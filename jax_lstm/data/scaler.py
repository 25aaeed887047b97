"""Standardising: mean and standard deviation of each column in the training part, of all series together or of each."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from jax_lstm.checks import InputError, listed
from jax_lstm.data.table import Columns

FAR = 12  # standard deviations from the mean of the training part that are warned of
FARTHEST = 1e15  # standard deviations from the mean; squares of larger values would overflow float32 losses
FEWEST = 5  # known values that give a series its own deviation
WITHIN = 0.5  # of the deviation of all series together: if less is within series, each has its own statistics
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


def chosen_statistics(
    statistics: str, scaler: Scaler, rows: Mapping[str, np.ndarray], columns: Columns, source: str
) -> tuple[Scaler, str]:
    """The scaler that "series", "shared" or "auto" asks for, and if `auto` chose statistics per series, why.

    It chooses them if the deviation of any target within series, in the geometric mean, is less than `WITHIN` of that
    of all series together.
    """
    if statistics == "shared":
        return scaler, ""
    each = with_series(scaler, rows, columns, source)
    if statistics == "series":
        return each, ""
    within = {}
    for name in columns.target:
        at = scaler.columns.index(name)
        within[name] = _geometric_mean(one.scale[at] for one in each.series.values()) / scaler.scale[at]
    least = min(within, key=lambda name: within[name])
    if within[least] >= WITHIN:
        return scaler, ""
    said = f"within series, the standard deviation of {least} is {within[least]:.2g} of that over all series"
    return each, f"statistics per series: {said}"


def with_series(scaler: Scaler, rows: Mapping[str, np.ndarray], columns: Columns, source: str) -> Scaler:
    """Add the statistics of series, each of its `rows` (N, C), NaN where missing, in the measured columns.

    The other columns keep the shared ones, and so does a feature that is constant in a series, or of which fewer than
    `FEWEST` values are known: such a constant tells series apart. A target like that is centred on its own mean, and
    its scale is the geometric mean of those of the series that have one.

    Raises:
        InputError: a column holds values too large to standardise.
    """
    found = {name: Scaler(scaler.columns, scaler.mean.copy(), scaler.scale.copy()) for name in rows}
    for column in columns.measured:
        at, lacking = scaler.columns.index(column), {}
        scales = [one.scale[at] for one in scaler.series.values()]
        for name, values in rows.items():
            known = values[:, at][~np.isnan(values[:, at])]
            mean, deviation = _moments(known, column, source) if len(known) else (scaler.mean[at], 0.0)
            if len(known) >= FEWEST and deviation > ROUNDING * np.abs(known).max():
                found[name].mean[at], found[name].scale[at] = mean, deviation
                scales += [] if scaler.series else [deviation]  # those of training decide, if there are any
            elif column in columns.target:
                lacking[name] = mean
        for name, mean in lacking.items():
            found[name].mean[at] = mean
            found[name].scale[at] = _geometric_mean(scales) if scales else scaler.scale[at]
    return replace(scaler, series={**scaler.series, **found})


def with_new_series(scaler: Scaler, rows: Mapping[str, np.ndarray], columns: Columns, source: str) -> Scaler:
    """The scaler of a trained model, with the statistics of series that it was not trained on, each of its `rows`."""
    new = {name: values for name, values in rows.items() if scaler.series and name not in scaler.series}
    return with_series(scaler, new, columns, source) if new else scaler


def new_series(scaler: Scaler, names: Sequence[str]) -> tuple[str, ...]:
    """The warning about series that a model with statistics per series was not trained on, or ()."""
    new = [name or "the data" for name in names if scaler.series and name not in scaler.series]
    what = "not among the series of training, so standardised by their own known rows"
    return (f"{what}: {listed(new)}",) if new else ()


def _geometric_mean(values: Iterable[float]) -> float:
    return float(np.exp(np.mean(np.log(list(values)))))


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
