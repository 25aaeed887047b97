"""Pictures of the sequence-length curves."""

import io
from collections.abc import Sequence
from pathlib import Path

from benchmarks.accuracy.row import OURS, THEIRS, Row
from jax_lstm.checks import require_extra
from jax_lstm.files import write_whole

LOOKS = {OURS: {"color": "#1f6feb", "linestyle": "-"}, THEIRS: {"color": "#d9480f", "linestyle": "--"}}


def draw(path: Path, rows: Sequence[Row]) -> None:
    """Draw a panel for each T: loss over training steps by framework and seed, and the loss of guessing."""
    lengths = sorted({row.size for row in rows})
    figure = require_extra("matplotlib.figure", "plot", "pictures").Figure(
        (5.6 * len(lengths), 3.6), layout="constrained"
    )
    panels = figure.subplots(1, len(lengths), squeeze=False)[0]
    for panel, length in zip(panels, lengths, strict=True):
        here = [row for row in rows if row.size == length]
        for who, look in LOOKS.items():
            for at, row in enumerate(row for row in here if row.who == who):
                label = who if at == 0 else None
                panel.plot(row.curve["step"], row.curve["loss"], label=label, linewidth=1.4, alpha=0.8, **look)
        panel.axhline(here[0].guess["loss"], color="#343a40", linestyle=":", label="guessing")
        panel.set(title=f"{here[0].task}, T={length}", xlabel="training step", ylabel="training loss", yscale="log")
        panel.grid(alpha=0.3, which="both")
        panel.legend(frameon=False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    write_whole(path, buffer.getvalue())
