"""Calibrate the interval of a trained forecaster, and score its intervals and quantiles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from jax_lstm.files import write_json
from jax_lstm.tasks.evaluation import combined, predict
from jax_lstm.tasks.intervals import (
    COARSE,
    RECENT,
    Coverage,
    bands,
    coverage,
    errors_of,
    least_windows,
    margins_of,
    recent_margins,
)
from jax_lstm.tasks.scores import truth_of
from jax_lstm.train.task import Table, part_name

if TYPE_CHECKING:
    from jax_lstm.tasks.forecast import Forecasting, ForecastRun

INTERVALS = "intervals.json"  # in the run directory
AFTER = ("calibration", "test")  # the parts that chose nothing, in time order


def calibrate(run: ForecastRun, task: Forecasting) -> None:
    """Keep the margins of the interval for forecasts after the last row: from the latest windows that chose nothing."""
    interval = run.config.data.interval
    if interval:
        parts = [part for part in AFTER if task.size(part)]
        each = [_errors(run, task, part) for part in parts]
        errors, known = (np.concatenate(arrays) for arrays in zip(*each, strict=True))
        latest = np.argsort(known, kind="stable")[-_recent(task) :]
        write_json(run.directory / INTERVALS, {"margins": margins_of(errors[latest], interval).tolist()})


def interval_scores(run: ForecastRun, task: Forecasting, predictions: np.ndarray, part: str) -> dict[str, Coverage]:
    """How the intervals cover each target in a part, in its own units; {} without an interval and quantiles.

    A calibrated interval has for each window the margins that were known when its forecast was made, so it is scored on
    the test part alone, which follows the calibration. Without one the outermost quantiles are scored.
    """
    interval, levels, count = run.config.data.interval, run.config.levels, len(run.target)
    times, starts, truth = _times(task), task.dataset.starts[part], truth_of(task.dataset, part)
    order, margins = np.argsort(times[starts], kind="stable"), None
    if interval and part != "test":
        return {}
    if interval:
        errors, known = _errors(run, task, "calibration")
        own = errors_of(predictions, truth, levels, interval)
        errors, known = np.concatenate([errors, own]), np.concatenate([known, _known(task, part)])
        now = times[starts + run.config.data.window - 1][order]
        step = max(run.config.data.horizon // 2, 1) * len(task.dataset.first_rows)
        margins = recent_margins(errors, known, now, interval, _recent(task), step)
    found = bands(predictions[order].astype(np.float64), run.outputs, levels, interval, margins)
    if len(found) < 2:
        return {}
    low, high = min(found), max(found)
    scaler, scores = task.dataset.scaler_of(starts[order]), dict[str, Coverage]()
    block = 2 * run.config.data.horizon * len(task.dataset.first_rows)
    for at, name in enumerate(run.target):
        scale, ends = scaler.scale[..., at, None], (found[low], found[high], truth[order])
        below, above, actual = (each[:, at::count] * scale for each in ends)
        scores[name] = coverage(below, above, actual, high - low, block)
    return scores


def table(run: ForecastRun, scores: dict[str, Coverage], part: str) -> Table | None:
    """The scores of intervals on a part as a table to print, with a warning of each that covers too little."""
    if not scores:
        return None
    levels, interval = run.config.levels, run.config.data.interval
    kind = "calibrated interval" if interval else "quantiles, not calibrated"
    level = interval or levels[-1] - levels[0]
    title = f"{kind} of {level:.0%}, in the units of each target"
    rows = [(name, _covers(of), f"{of.width:.4g}", f"{of.score:.4g}") for name, of in scores.items()]
    columns = ("target", "covers (90 % bootstrap interval)", "mean width", "interval score")
    warnings = [
        f"the interval of {name} covers {100 * of.share:.3g} % of the {part_name(part)} part, not {100 * level:.3g} %"
        for name, of in scores.items()
        if of.high < level
    ]
    return Table(title, columns, rows, warnings)


def _covers(of: Coverage) -> str:
    within = "too few windows" if np.isnan(of.low) else f"{of.low:.1%} to {of.high:.1%}"
    return f"{of.share:.1%} ({within})"


def few_windows(task: Forecasting) -> tuple[str, ...]:
    """A warning if few windows calibrate the first intervals, or ()."""
    interval = task.dataset.config.interval
    if not interval:
        return ()
    count, test, least = task.size("calibration"), task.size("test"), least_windows(interval)
    if count >= max(least, COARSE):
        return ()
    fault = f"a level of {100 * interval:.3g} % needs at least {least}"
    if count >= least:
        fault = f"with fewer than {COARSE} the coverage may be far from {100 * interval:.3g} %"
    first = "first intervals of the test part" if test else "intervals"
    later = f"; forecasts after the data also use the {test} windows of the test part" if test else ""
    return (f"only {count} windows calibrate the {first}, and {fault}: give a larger validation part{later}",)


def _errors(run: ForecastRun, task: Forecasting, part: str) -> tuple[np.ndarray, np.ndarray]:
    """The errors of the windows of a part, and when they are known."""
    forecasts: Any = combined(run, task, predict(run, task, part))
    errors = errors_of(forecasts, truth_of(task.dataset, part), run.config.levels, run.config.data.interval)
    return errors, _known(task, part)


def _known(task: Forecasting, part: str) -> np.ndarray:
    config = task.dataset.config
    return _times(task)[task.dataset.starts[part] + config.window + config.horizon - 1]


def _times(task: Forecasting) -> np.ndarray:
    """The time of every row of the dataset; without timestamps its number in its series."""
    data = task.dataset
    if data.times is not None:
        return data.times
    rows = np.arange(len(data.inputs))
    return rows - data.first_rows[data.series_of(rows)]


def _recent(task: Forecasting) -> int:
    return RECENT * len(task.dataset.first_rows)
