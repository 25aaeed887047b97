"""Forecasts of the rows after the last one of each series."""

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np

from jax_lstm.checks import InputError
from jax_lstm.data import DataConfig, Scaler, read_series
from jax_lstm.data.calendar import calendar_features
from jax_lstm.data.dataset import too_short
from jax_lstm.data.scaler import new_series, with_new_series
from jax_lstm.data.series import Series, fill, has_target, without_targets
from jax_lstm.data.streamed import last_rows
from jax_lstm.tasks.forecast import ForecastRun, agreement
from jax_lstm.tasks.intervals import Bands, suffix
from jax_lstm.tasks.scores import median
from jax_lstm.train.config import arithmetic

SEEDS = ("seeds low", "seeds high")  # the ends of the interval that holds 90% of models with other seeds


@dataclass(frozen=True)
class Ahead:
    """Forecasts of a run: for each of `series` an array (members, rows, C), on the original scale.

    `scaler` has also the statistics of series that the model was not trained on.
    `bands` has for each series the quantiles (rows, C) by level, of the members together; {} without quantiles or an
    interval.
    """

    run: ForecastRun
    scaler: Scaler
    series: list[Series]
    forecasts: list[np.ndarray]
    bands: list[Bands]
    notes: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def time(self) -> str:
        """The name of the column of timestamps in a DataFrame, or of the numbers of rows."""
        return "row" if self.series[0].times is None else self.run.config.data.time or "time"


def forecast_ahead(run: ForecastRun, config: DataConfig, data: Any = None) -> Ahead:
    """Forecast the rows after the last one of each series of `config`, or of `data`, a DataFrame.

    A model that reads columns known in advance finds them in the rows after the last target; it forecasts these rows,
    at most its horizon.

    Raises:
        InputError: the data does not fit the model, has no rows of the future although the model reads them, or too few
            rows for a window.
    """
    window, source = config.window, "the DataFrame" if data is not None else config.csv or "the packaged weather"
    if config.stream:
        series, notes, warnings = last_rows(config, window), (), ()
    else:
        read = read_series(config, run.trained, data)
        series, notes, warnings = read.series, read.notes, read.warnings
    if set(run.target) <= set(run.features):
        blank = without_targets(series, run.target)
        series = [one for one in series if has_target(one, run.target)]
        warnings = (*warnings, *blank)
        if not series:
            raise InputError(f"{source}: no value of {' '.join(run.target)} is known")
    usable = [len(one.values) >= window and (one.times is None or one.calendar is not None) for one in series]
    kept, short = ([one for one, ok in zip(series, usable, strict=True) if ok is wanted] for wanted in (True, False))
    if not kept:
        longest = max(len(one.values) for one in series)
        raise InputError(f"{source}: too few rows: the window needs {window}; the longest series has {longest}")
    rows = [_rows_ahead(run, one, source) for one in kept]
    values = {one.group: one.values for one in kept}
    scaler = with_new_series(run.scaler, values, run.trained.columns, source)
    own = [scaler.of(one.group) for one in kept]
    unfilled = [one.values[-window:] for one in kept]
    names, of_rows = [one.group for one in kept], np.repeat(np.arange(len(kept)), window)
    warnings = (
        *warnings,
        *too_short(short, window, "a window"),
        *_unread(run, kept),
        *_gaps(unfilled, scaler.columns),
        *new_series(run.scaler, names),
        *scaler.of_rows(names, of_rows).far(np.concatenate(unfilled)).values(),
    )
    at = [scaler.columns.index(name) for name in run.features]
    rows_of = [np.concatenate([one.values, _known_ahead(run, one)]) for one in kept]
    length = window + config.horizon
    both = [each.standardise(fill(rows, each.mean)[-length:]) for each, rows in zip(own, rows_of, strict=True)]
    inputs = np.concatenate(both)[:, at].astype(run.config.dtype)
    with arithmetic(run.config):
        standardised = run.forecasts(jnp.asarray(inputs), np.arange(len(kept), dtype=np.int32) * length)
    standardised = standardised.astype(np.float64)

    def restored(forecasts: np.ndarray) -> list[np.ndarray]:
        """For each series (..., rows, C), of forecasts (..., series, outputs)."""
        forecasts = forecasts.reshape(*forecasts.shape[:-1], -1, len(run.target))
        return [each.pick(run.target).restore(forecasts[..., at, : rows[at], :]) for at, each in enumerate(own)]

    forecasts = restored(median(standardised, run.outputs, run.config.levels))
    bands = {level: restored(each) for level, each in run.bands(standardised.mean(axis=0)).items()}
    of_series = [{level: each[at] for level, each in bands.items()} for at in range(len(kept))]
    return Ahead(run, scaler, kept, forecasts, of_series, notes, warnings)


def _rows_ahead(run: ForecastRun, one: Series, source: str) -> int:
    """The number of rows to forecast: the horizon, or fewer if less is known of the future that the model reads."""
    horizon, known = run.config.data.horizon, run.trained.columns.future
    if known and not len(one.future):
        of_series = f" of {one.group!r}" if one.group else ""
        raise InputError(
            f"{source}: no row follows the last known {' '.join(run.target)}{of_series}; add the rows to forecast, "
            f"with what is known of them: {', '.join(known)}"
        )
    return min(horizon, len(one.future)) if known else horizon


def _known_ahead(run: ForecastRun, one: Series) -> np.ndarray:
    """The next rows (horizon, C): columns known in advance and those of the calendar, all others NaN."""
    columns, horizon = run.trained.columns, run.config.data.horizon
    ahead = np.full((horizon, len(one.columns)), np.nan)
    rows = one.future[:horizon]
    in_file = [one.columns.index(name) for name in columns.known if name not in columns.calendar_features]
    ahead[: len(rows), in_file] = rows[:, in_file]
    if columns.calendar_features:
        found = calendar_features(one.zone.local(one.ahead(horizon)))
        for name in columns.calendar_features:
            ahead[:, one.columns.index(name)] = found[name]
    return ahead


def _unread(run: ForecastRun, series: list[Series]) -> list[str]:
    """Warnings about rows of the future that are not read as such, or have gaps."""
    columns, horizon = run.trained.columns, run.config.data.horizon
    rows = max(len(one.future) for one in series)
    if rows and not columns.future:
        return [
            f"{rows:,} rows follow the last known {' '.join(run.target)}; what they say of other columns is not read, "
            "since the model was trained without --future COLUMNS"
        ]
    if not columns.future:
        return []
    found = [f"only the first {horizon} of {rows:,} rows of the future are forecast"] if rows > horizon else []
    in_file = [series[0].columns.index(name) for name in columns.known if name not in columns.calendar_features]
    gaps = sum(int(np.isnan(one.future[:horizon, in_file]).sum()) for one in series)
    short = min(len(one.future) for one in series) < horizon
    found += [f"{gaps:,} values of the future are missing, filled by the last value seen"] if gaps else []
    return found + ([f"fewer rows of the future than the horizon, {horizon}: only these are forecast"] if short else [])


def _gaps(windows: list[np.ndarray], columns: tuple[str, ...]) -> list[str]:
    """A warning about missing values in the last windows."""
    missing = np.isnan(np.concatenate(windows)).sum(axis=0)
    named = ", ".join(f"{name} {count:,}" for name, count in zip(columns, missing, strict=True) if count)
    rows = sum(map(len, windows))
    return [f"missing in the last window, filled by the last value seen: {named} of {rows:,} rows"] if named else []


def as_frame(ahead: Ahead) -> Any:
    """The forecasts as a pandas DataFrame, a row for each series and step.

    Columns: that of the series if there are several, the time (or "row", its number), the targets, their quantiles or
    the ends of their interval, as "y_05" and "y_95" for a target y, and with several seeds the interval that holds 90%
    of them: how models with other seeds differ, not how far the truth may be.
    """
    import pandas as pd

    run, data = ahead.run, ahead.run.config.data
    group = data.group or ("series" if data.csv else "origin")
    several = len(ahead.series) > 1 or bool(ahead.series[0].group)
    parts = []
    for one, members, band in zip(ahead.series, ahead.forecasts, ahead.bands, strict=True):
        found: dict[str, Any] = {group: one.group} if several else {}
        found[ahead.time] = one.stamps(one.ahead(members.shape[1]))
        found |= {name: members.mean(axis=0)[:, at] for at, name in enumerate(run.target)}
        for level, values in band.items():
            found |= {f"{name}{suffix(level)}": values[:, at] for at, name in enumerate(run.target)}
        for end, values in zip(SEEDS, agreement(members) or (), strict=False):
            found |= {f"{name} {end}": values[:, at] for at, name in enumerate(run.target)}
        parts.append(pd.DataFrame(found))
    return pd.concat(parts, ignore_index=True)
