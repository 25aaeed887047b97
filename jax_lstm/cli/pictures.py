"""Pictures of a run directory; without matplotlib, a note that says how to install it."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape

from jax_lstm.checks import MissingExtraError
from jax_lstm.cli import plots
from jax_lstm.data import Dataset
from jax_lstm.files import read_json_lines
from jax_lstm.tasks.scores import baseline_forecasts, median, truth_of

LOSSES = "losses.png"
FORECASTS = "forecasts.png"
PANELS = 4
SHOWN = 4  # horizons of the window


def drawn(console: Console, pictures: Mapping[str, Callable[[], None]]) -> list[str]:
    """Draw the pictures of these names, or print once which package is missing; the names of those drawn."""
    try:
        for draw in pictures.values():
            draw()
    except MissingExtraError as error:
        console.print(f"[yellow]no pictures:[/] {escape(str(error))}", highlight=False)
        return []
    return list(pictures)


def loss_curves(directory: Path, metrics: Mapping[str, Path], metric: str) -> None:
    """Draw `losses.png` from the logs `metrics`, {run: file}.

    For several models it shows the mean over those that still train; in the last epochs there may be none.
    """
    curves = {}
    for run, path in metrics.items():
        epochs: dict[int, list[dict[str, Any]]] = {}
        for row in read_json_lines(path):
            if "train_loss" in row:
                epochs.setdefault(row["epoch"], []).append(row)
        curves[run] = {}
        for part, key in (("training", "train_loss"), ("validation", "val_loss")):
            known = [[row[key] for row in rows if row[key] is not None] for rows in epochs.values()]
            if any(known):
                curves[run][part] = [float(np.mean(losses)) for losses in known if losses]
    plots.loss_curves(directory / LOSSES, curves, metric)


def forecasts(directory: Path, task: Any, part: str, forecasts: Mapping[str, np.ndarray]) -> None:
    """Draw `forecasts.png`, with the baselines: evenly spaced windows of a part, first target, on its own scale.

    Of quantiles the median is drawn.
    """
    dataset: Dataset = task.dataset
    config, truth = dataset.config, truth_of(dataset, part)
    count, baselines = len(dataset.target), baseline_forecasts(dataset, part)
    forecasts = {name: median(each, truth.shape[1], task.config.levels) for name, each in forecasts.items()}

    def restored(each: Mapping[str, np.ndarray], at: int) -> dict[str, np.ndarray]:
        return {name: scaler.restore(values[at, ::count]) for name, values in each.items()}  # of the window `at`

    panels = []
    for at in np.unique(np.linspace(0, len(truth) - 1, PANELS + 2).astype(int)[1:-1]):
        start = dataset.starts[part][at]
        scaler = dataset.scaler.of(dataset.groups[dataset.series_of(start)]).pick(dataset.target[:1])
        shown = min(config.window, SHOWN * config.horizon)  # the rest would leave no room for the forecast
        rows = slice(start + config.window - shown, start + config.window + config.horizon)
        x = None if dataset.times is None else dataset.times[rows]
        title = f"window {at + 1:,} of {len(truth):,}" if x is None else f"from {np.datetime_as_string(x[shown], 'm')}"
        panels.append(
            plots.Panel(
                title,
                scaler.restore(dataset.targets[rows, 0][:shown]),
                scaler.restore(truth[at, ::count]),
                restored(forecasts, at),
                x,
                baselines=restored(baselines, at),
            )
        )
    plots.forecasts(directory / FORECASTS, panels, dataset.target[0])
