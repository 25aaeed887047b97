"""Plots of loss curves and forecasts with matplotlib; they need no display."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from jax_lstm.checks import require_extra
from jax_lstm.files import write_whole

COLOURS = ("#1f6feb", "#d9480f", "#2b8a3e", "#862e9c")
BASELINES = ("#7048e8", "#2b8a3e", "#a61e4d")
TRUTH = "#343a40"
NONE: Mapping[str, np.ndarray] = MappingProxyType({})
STYLES = ("-", "--", "-.", ":")  # so that curves on top of each other stay visible


def loss_curves(path: Path, curves: Mapping[str, Mapping[str, Sequence[float]]], ylabel: str) -> None:
    """Plot `curves[run][part]`, one loss per epoch: a panel per part, a colour per run."""
    parts = list(dict.fromkeys(part for run in curves.values() for part in run))
    figure, axes = _figure(1, len(parts), (5.2 * len(parts), 3.6))
    for axis, part in zip(axes, parts, strict=True):
        for at, (run, losses) in enumerate((run, losses[part]) for run, losses in curves.items() if part in losses):
            # Later curves are thinner, so that runs that agree can both be seen.
            epochs, width = range(1, len(losses) + 1), max(3 - 0.6 * at, 1.2)
            axis.plot(epochs, losses, label=run, color=COLOURS[at % 4], linestyle=STYLES[at % 4], linewidth=width)
        axis.set(title=f"{part} loss", xlabel="epoch", ylabel=ylabel, yscale="log")
        axis.grid(alpha=0.3, which="both")
        axis.legend(frameon=False)
    _save(figure, path)


class Panel:
    """One window: `seen` (W,), `truth` (K,) or None, `forecasts` (K,) by name, and positions or times `x` (W + K,).

    `bands` holds the lower and upper ends (K,) of intervals by name; `baselines` are (K,) by name.
    """

    def __init__(
        self,
        title: str,
        seen: np.ndarray,
        truth: np.ndarray | None,
        forecasts: Mapping[str, np.ndarray],
        x: Any = None,
        baselines: Mapping[str, np.ndarray] = NONE,
    ):
        self.title, self.seen, self.truth, self.forecasts = title, seen, truth, forecasts
        self.bands: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        self.baselines = baselines
        horizon = len(next(iter(forecasts.values())))
        self.x = np.arange(-len(seen) + 1, horizon + 1) if x is None else x


def forecasts(path: Path, panels: Sequence[Panel], ylabel: str) -> None:
    """Plot a panel per window: what the models saw, what followed, and what each model forecast."""
    columns = min(len(panels), 2)
    rows = -(-len(panels) // columns)
    figure, axes = _figure(rows, columns, (5.6 * columns, 2.9 * rows))
    for axis, panel in zip(axes, panels, strict=False):
        seen = len(panel.seen)
        axis.plot(panel.x[:seen], panel.seen, color=TRUTH, linewidth=1.2, label="seen")
        if panel.truth is not None:
            axis.plot(
                panel.x[seen - 1 :],
                [panel.seen[-1], *panel.truth],
                color=TRUTH,
                linewidth=2.4,
                alpha=0.45,
                label="truth",
            )
        for at, (name, ends) in enumerate(panel.bands.items()):
            colour = COLOURS[at % 4]
            axis.fill_between(panel.x[seen:], *ends, color=colour, alpha=0.2, linewidth=0, label=name)
        for at, (name, values) in enumerate(panel.baselines.items()):
            colour, style = BASELINES[at % 3], STYLES[1 + at % 3]
            axis.plot(panel.x[seen:], values, color=colour, linestyle=style, linewidth=1.3, label=name)
        for at, (name, values) in enumerate(panel.forecasts.items()):
            axis.plot(
                panel.x[seen:],
                values,
                color=COLOURS[at % 4],
                linestyle=STYLES[at % 4],
                linewidth=2.2 - 0.4 * at,
                label=name,
            )
        axis.tick_params(labelsize=8)
        axis.set_title(panel.title, fontsize=10)
        axis.set_ylabel(ylabel)
        axis.grid(alpha=0.3)
        if np.issubdtype(np.asarray(panel.x).dtype, np.datetime64):
            locator = require_extra("matplotlib.dates", "plot", "drawing").AutoDateLocator()
            axis.xaxis.set_major_locator(locator)
            axis.xaxis.set_major_formatter(
                require_extra("matplotlib.dates", "plot", "drawing").ConciseDateFormatter(locator)
            )
        else:
            axis.set_xlabel("rows after the last one seen")
    for axis in axes[len(panels) :]:
        axis.set_visible(False)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), frameon=False, fontsize=9)
    _save(figure, path)


def _figure(rows: int, columns: int, size: tuple[float, float]) -> tuple[Any, list[Any]]:
    figure = require_extra("matplotlib.figure", "plot", "drawing").Figure(figsize=size, layout="constrained")
    return figure, list(figure.subplots(rows, columns, squeeze=False).flat)


def _save(figure: Any, path: Path) -> None:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    write_whole(path, buffer.getvalue())
