"""Pictures of a record, by matplotlib. Curves have different markers, and their names at their ends."""

import io
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from benchmarks.jit.programs import BOTH
from benchmarks.jit.rows import YARDSTICK, Row
from jax_lstm.checks import require_extra
from jax_lstm.timing import summary

MARKERS = "osD^vPX<>*hpd8"
COLOURS = ("#343a40", "#1f6feb", "#d9480f", "#2b8a3e", "#862e9c", "#0b7285", "#a61e4d")
GAP = 11.0  # pixels between two names at the ends of curves

Value = Callable[[Row], float | None]


class Panel(NamedTuple):
    """What is shown of a row; nothing if it is None or zero, since axes are logarithmic."""

    label: str
    value: Value


class Picture(NamedTuple):
    about: str
    sweeps: tuple[str, ...]
    draw: Callable[[Any, list[Row]], None]


STAGES = Panel("until compiled, s", lambda row: row.stages)
CALL = Panel("a call, ms", lambda row: row.timing.median * 1e3)
A_STEP = Panel("a call, µs a time step", lambda row: row.timing.median * 1e6 / row.steps)
SPEED = Panel("speed, PyTorch = 1", lambda row: row.speed[0] if row.speed else None)
MEMORY = Panel("temporary memory, MiB", lambda row: (row.temporary_bytes or 0) / 2**20)
CODE = Panel("HLO instructions", lambda row: row.instructions)
FIRST = Panel("first pass, s", lambda row: summary(row.first).median if row.first else None)
COMPILATIONS = Panel("compilations", lambda row: row.compilations)


def draw(name: str, rows: Sequence[Row]) -> bytes:
    """The picture as PNG."""
    picture = PICTURES[name]
    figure = require_extra("matplotlib.figure", "plot", "pictures").Figure(layout="constrained", facecolor="white")
    picture.draw(figure, [row for row in rows if row.sweep in picture.sweeps and row.seconds])
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    return buffer.getvalue()


def dots(*panels: Panel) -> Callable[[Any, list[Row]], None]:
    """Forward and backward: a line for each variant, and a panel for each figure."""

    def paint(figure: Any, rows: list[Row]) -> None:
        rows = [row for row in rows if row.measure == BOTH]
        names = [row.variant + _size(row, rows) for row in rows]
        figure.set_size_inches(3.4 + 2.5 * len(panels), 1.0 + 0.27 * len(rows))
        for axis, panel in zip(np.atleast_1d(figure.subplots(1, len(panels), sharey=True)), panels, strict=True):
            for at, row in enumerate(rows):
                if value := panel.value(row):
                    axis.plot(value, at, "o", color=COLOURS[1])
                    axis.annotate(_short(value), (value, at), (6, 0), "data", "offset points", va="center", fontsize=7)
            axis.set(xscale="log", xlabel=panel.label, yticks=range(len(rows)), yticklabels=names)
            axis.set_ylim(len(rows) - 0.5, -0.5)
            axis.margins(x=0.25)
            plain_ticks(axis.xaxis)
            axis.grid(alpha=0.3)

    return paint


def _size(row: Row, rows: Sequence[Row]) -> str:
    """H, if the rows of a variant differ in it."""
    return f", H={row.hidden_size}" * (len({each.hidden_size for each in rows}) > 1)


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def curves(by: str, label: str, *panels: Panel) -> Callable[[Any, list[Row]], None]:
    """Forward and backward over the swept size `by`: a curve for each variant."""

    def paint(figure: Any, rows: list[Row]) -> None:
        rows = [row for row in rows if row.measure == BOTH]
        across = min(2, len(panels))
        down = -(-len(panels) // across)
        figure.set_size_inches(6.4 * across, 4.2 * down)
        names = list(dict.fromkeys(row.variant for row in rows))
        for axis, panel in zip(np.ravel(figure.subplots(down, across)), panels, strict=False):
            ends = {}
            for at, name in enumerate(names):
                found = sorted(
                    (getattr(row, by), value) for row in rows if row.variant == name and (value := panel.value(row))
                )
                if found:
                    xs, ys = zip(*found, strict=True)
                    axis.plot(xs, ys, marker=MARKERS[at % len(MARKERS)], **style(at))
                    ends[name] = (xs[-1], ys[-1], style(at)["color"])
            ticks = sorted({getattr(row, by) for row in rows})
            axis.set(xscale="log", yscale="log", xlabel=label, title=panel.label)
            axis.set_xticks(ticks, map(str, ticks))
            axis.minorticks_off()
            axis.margins(y=0.12)
            plain_ticks(axis.yaxis)
            axis.grid(alpha=0.3)
            name_ends(figure, axis, ends)

    return paint


def plain_ticks(axis: Any) -> None:
    """Ticks at 1, 2, 5, 10, ..., written out; on wide axes at powers of ten only."""
    low, high = sorted(axis.get_view_interval())
    subs = (1,) if high / low > 150 else (1, 2, 5)
    ticker = require_extra("matplotlib.ticker", "plot", "pictures")
    axis.set_major_locator(ticker.LogLocator(subs=subs, numticks=9))
    axis.set_major_formatter(ticker.FuncFormatter(lambda value, at: f"{value:,.10g}"))
    axis.set_minor_formatter(ticker.NullFormatter())


def style(at: int) -> dict[str, Any]:
    return {"color": COLOURS[at % len(COLOURS)], "linewidth": 1.3, "markersize": 5, "alpha": 0.9}


def name_ends(figure: Any, axis: Any, ends: dict[str, tuple[float, float, str]]) -> None:
    """Write names beside the last points, moved apart if they would overlap."""
    left, right = axis.get_xlim()
    axis.set_xlim(left, right * (right / left) ** 0.45)
    figure.canvas.draw()
    last: dict[float, float] = {}  # height of the last name, by where the curves end
    for name, (x, y, colour) in sorted(ends.items(), key=lambda end: end[1][1]):
        height = axis.transData.transform((x, y))[1]
        last[x] = moved = max(height, last.get(x, -np.inf) + GAP * figure.dpi / 72)
        away = (8.0, (moved - height) * 72 / figure.dpi)
        axis.annotate(name, (x, y), away, "data", "offset points", va="center", fontsize=7, color=colour)


def paying(figure: Any, rows: list[Row]) -> None:
    """Seconds over the number of calls, with compiling; it has paid off where a curve crosses PyTorch's."""
    rows = [row for row in rows if row.measure == BOTH]
    wanted = (YARDSTICK, "jitted cell", "scan", "scan, unroll=4", "scan kernel", "native")
    figure.set_size_inches(7.6, 4.6)
    axis, calls, ends = figure.subplots(), np.geomspace(1, 1000, 13), {}
    for at, row in enumerate(row for row in rows if row.variant in wanted):
        own = row.timing.median
        first = own if row.variant == YARDSTICK else summary(row.first).median  # PyTorch compiles nothing
        ys = first + (calls - 1) * own
        axis.plot(calls, ys, marker=MARKERS[at], **style(at))
        ends[row.variant] = (calls[-1], ys[-1], style(at)["color"])
    axis.set(xscale="log", yscale="log", xlabel="calls", title="seconds since the start, first call included")
    axis.grid(alpha=0.3)
    name_ends(figure, axis, ends)


PICTURES: dict[str, Picture] = {
    "jit-ways.png": Picture(
        "Compile time, run time and memory of each variant at the base size, forward and backward",
        ("base",), dots(STAGES, CALL, MEMORY),
    ),
    "jit-paying.png": Picture(
        "Seconds by number of calls at the base size, forward and backward, compilation included", ("base",), paying
    ),
    "jit-steps.png": Picture(
        "By number of time steps, forward and backward",
        ("steps",), curves("steps", "T", STAGES, CODE, A_STEP, MEMORY),
    ),
    "jit-hidden.png": Picture(
        "By number of hidden units, forward and backward",
        ("hidden",), curves("hidden_size", "H", SPEED, MEMORY),
    ),
    "jit-layers.png": Picture(
        "By number of layers, forward and backward", ("layers",), curves("layers", "L", STAGES, CALL)
    ),
    "jit-shapes.png": Picture(
        "Ten lengths, forward and backward: compiled one by one, or padded", ("shapes",),
        dots(COMPILATIONS, FIRST, Panel("later passes, ms", CALL.value)),
    ),
    "jit-precision.png": Picture(
        "float32 and bfloat16, forward and backward", ("precision",), dots(SPEED, CALL)
    ),
    "jit-devices.png": Picture(
        "The batch split across devices of the host, forward and backward", ("devices",), dots(SPEED, STAGES)
    ),
}  # fmt: skip
