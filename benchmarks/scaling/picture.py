"""The picture of a record: bytes over devices, a curve for each size and number of model devices."""

import io
from collections.abc import Callable, Sequence

from benchmarks.jit.pictures import MARKERS, name_ends, plain_ticks, style
from benchmarks.scaling.rows import Row
from jax_lstm.checks import require_extra

NAME = "scaling.png"
ABOUT = "What each device sends in a training step, and what it holds, over the number of devices"
PANELS: dict[str, Callable[[Row], float]] = {
    "MiB that a device sends in a training step": lambda row: row.sent,
    "MiB of the parameters that a device holds": lambda row: row.held,
}


def draw(rows: Sequence[Row]) -> bytes:
    """The picture as PNG."""
    figure = require_extra("matplotlib.figure", "plot", "pictures").Figure((12.8, 4.2), layout="constrained")
    figure.set_facecolor("white")
    for axis, (title, value) in zip(figure.subplots(1, len(PANELS)), PANELS.items(), strict=True):
        ends = {}
        for at, (name, points) in enumerate(curves(rows, value).items()):
            xs, ys = [x for x, _ in points], [y / 2**20 for _, y in points]
            axis.plot(xs, ys, marker=MARKERS[at % len(MARKERS)], **style(at))
            ends[name] = (xs[-1], ys[-1], style(at)["color"])
        ticks = sorted({row.devices for row in rows if row.sent})
        axis.set(xscale="log", yscale="log", xlabel="devices", title=title)
        axis.set_xticks(ticks, map(str, ticks))
        axis.minorticks_off()
        axis.margins(y=0.25)
        plain_ticks(axis.yaxis)
        axis.grid(alpha=0.3)
        name_ends(figure, axis, ends)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    return buffer.getvalue()


def curves(rows: Sequence[Row], value: Callable[[Row], float]) -> dict[str, list[tuple[int, float]]]:
    """Devices and bytes by the name of the curve, of the devices of the host; one device sends nothing."""
    found: dict[str, list[tuple[int, float]]] = {}
    for row in rows:
        if row.sent and not row.topology:
            found.setdefault(f"H={row.hidden_size}, model={row.model}", []).append((row.devices, value(row)))
    return found
