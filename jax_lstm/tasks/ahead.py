"""Forecasts of the rows after the last one of each series."""

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np

from jax_lstm.checks import InputError
from jax_lstm.data import DataConfig, read_series
from jax_lstm.data.dataset import too_short
from jax_lstm.data.series import Series, fill
from jax_lstm.data.streamed import last_rows
from jax_lstm.tasks.forecast import ForecastRun, agreement
from jax_lstm.train.config import arithmetic

SEEDS = ("seeds low", "seeds high")  # the ends of the interval that holds 90% of models with other seeds


@dataclass(frozen=True)
class Ahead:
    """Forecasts of a run: for each of `series` an array (members, horizon, C), on the original scale."""

    run: ForecastRun
    series: list[Series]
    forecasts: list[np.ndarray]
    notes: tuple[str, ...]
    warnings: tuple[str, ...]


def forecast_ahead(run: ForecastRun, config: DataConfig, data: Any = None) -> Ahead:
    """Forecast the rows after the last one of each series of `config`, or of `data`, a DataFrame.

    Raises:
        InputError: the data does not fit the model, has rows of the future, or too few rows for a window.
    """
    window, source = config.window, "the DataFrame" if data is not None else config.csv or "the packaged weather"
    if config.stream:
        series, notes, warnings = last_rows(config, window), (), ()
    else:
        read = read_series(config, run.trained, data)
        series, notes, warnings = read.series, read.notes, read.warnings
    future = sum(one.future_rows for one in series)
    if future:
        raise InputError(
            f"{source}: {future:,} rows follow the last known {' '.join(run.target)}, and other columns are known in "
            "them; this model cannot read what is known of the future: leave these rows out, or train with --features "
            f"{' '.join(run.target)}"
        )
    usable = [len(one.values) >= window and (one.times is None or one.calendar is not None) for one in series]
    kept, short = ([one for one, ok in zip(series, usable, strict=True) if ok is wanted] for wanted in (True, False))
    if not kept:
        longest = max(len(one.values) for one in series)
        raise InputError(f"{source}: too few rows: the window needs {window}; the longest series has {longest}")
    warnings = (*warnings, *too_short(short, window, "a window"))
    scaler = run.scaler
    unfilled = [one.values[-window:] for one in kept]
    warnings = (*warnings, *_gaps(unfilled, scaler.columns), *scaler.far(np.concatenate(unfilled)).values())
    last = [scaler.standardise(fill(one.values, scaler.mean)[-window:]) for one in kept]
    at = [scaler.columns.index(name) for name in run.features]
    inputs = np.concatenate(last)[:, at].astype(run.config.dtype)
    with arithmetic(run.config):
        standardised = run.forecasts(jnp.asarray(inputs), np.arange(len(kept), dtype=np.int32) * window)
    each = standardised.reshape(len(standardised), len(kept), -1, len(run.target)).swapaxes(0, 1)
    forecasts = list(scaler.pick(run.target).restore(each.astype(np.float64)))
    return Ahead(run, kept, forecasts, notes, warnings)


def _gaps(windows: list[np.ndarray], columns: tuple[str, ...]) -> list[str]:
    """A warning about missing values in the last windows."""
    missing = np.isnan(np.concatenate(windows)).sum(axis=0)
    named = ", ".join(f"{name} {count:,}" for name, count in zip(columns, missing, strict=True) if count)
    rows = sum(map(len, windows))
    return [f"missing in the last window, filled by the last value seen: {named} of {rows:,} rows"] if named else []


def as_frame(ahead: Ahead) -> Any:
    """The forecasts as a pandas DataFrame, a row for each series and step.

    Columns: that of the series if there are several, the time (or "row", its number), the targets, and with several
    seeds the interval that holds 90% of them: how models with other seeds differ, not how far the truth may be.
    """
    import pandas as pd

    run, data = ahead.run, ahead.run.config.data
    timed = ahead.series[0].times is not None
    time = (data.time or "time") if timed else "row"
    group = data.group or ("series" if data.csv else "origin")
    several = len(ahead.series) > 1 or bool(ahead.series[0].group)
    parts = []
    for one, members in zip(ahead.series, ahead.forecasts, strict=True):
        found: dict[str, Any] = {group: one.group} if several else {}
        found[time] = stamps_of(one, one.ahead(members.shape[1]))
        found |= {name: members.mean(axis=0)[:, at] for at, name in enumerate(run.target)}
        for end, values in zip(SEEDS, agreement(members) or (), strict=False):
            found |= {f"{name} {end}": values[:, at] for at, name in enumerate(run.target)}
        parts.append(pd.DataFrame(found))
    return pd.concat(parts, ignore_index=True)


def stamps_of(series: Series, times: np.ndarray | None) -> Any:
    """Timestamps of a series for a DataFrame, those in UTC as such; without any, the numbers of its rows."""
    import pandas as pd

    if series.times is None:
        return np.arange(1, len(series.values) + 1) if times is None else times
    return pd.DatetimeIndex(times).tz_localize("UTC" if series.offset == "Z" else None)
