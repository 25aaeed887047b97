"""The table of chart templates."""

from collections.abc import Callable

from benchmarks.report import bar_charts as bars
from benchmarks.report import line_charts as lines
from benchmarks.report.pieces import Spec

_ALL = (
    bars.ratios, bars.limited_ratios, bars.means, bars.stages, bars.bars, bars.agreement, bars.shares,
    lines.roof, lines.curves, lines.losses, lines.limited_losses, lines.errors,
)  # fmt: skip
TEMPLATES: dict[str, Callable[[], Spec]] = {each.__name__: each for each in _ALL}
