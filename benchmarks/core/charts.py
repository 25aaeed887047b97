"""Charts as SVG: bars with intervals, and lines with names at their ends. One colour a contender, everywhere.

Whatever a colour shows, a name or a figure shows too. Text takes the colour of the page around it.
"""

import math
import zlib
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import NamedTuple

from benchmarks.core.record import Record

COLOURS = (
    "#0072b2", "#d55e00", "#009e73", "#b0568a", "#8a7400", "#4a90d0", "#777777", "#8a63d2", "#b84747", "#4d7f3f",
    "#c98a2b", "#2f8f9d", "#a0522d",
)  # fmt: skip
# By name, or by the first word of it, so that "scan" and "scan, bfloat16" are alike; other words by their letters.
KNOWN = {
    "native": 0, "LSTM": 0, "at": 0, "torch": 1, "PyTorch": 1, "scan": 2, "one": 2, "flax optimized": 3,
    "published": 3, "keras": 4, "cudnn": 4, "equinox": 5, "persistence": 6, "torch compile": 6, "onnxruntime": 7,
    "pallas": 7, "ridge": 8, "flax": 8, "linen": 9, "seasonal-naive": 9, "torch cell": 10, "torch compile cell": 12,
    "eager": 10, "jitted": 4, "unrolled": 12, "fori_loop": 9, "exact": 8, "longest": 10, "buckets": 11, "chunks": 5,
    "H=512": 5, "H=2048": 8,
}  # fmt: skip
FONT = 'font-family="system-ui, sans-serif" font-size="12"'
LINE, STEP, GAP, NEAR = "#8888", 20, 15, 36


class Bar(NamedTuple):
    """`low` and `high` are its interval; a `pale` bar allows no conclusion."""

    name: str
    value: float | None
    label: str
    low: float | None = None
    high: float | None = None
    pale: bool = False
    points: tuple[float, ...] = ()


class Chart(NamedTuple):
    """A picture with its title; `about` is its text for those who do not see it."""

    title: str
    about: str
    svg: str


def colour(name: str) -> str:
    word = name.partition(",")[0].partition(" ")[0]
    free = 3 + zlib.crc32(word.encode()) % (len(COLOURS) - 3)
    return COLOURS[KNOWN.get(name, KNOWN.get(word, free))]


def bars(title: str, rows: Sequence[Bar], one: float = 0.0, width: int = 640) -> Chart:
    """Horizontal bars: from `one` on a logarithmic axis, or from 0."""
    values = [value for row in rows for value in (row.value, row.low, row.high, *row.points) if value]
    left, right = 10 + 7.5 * max(len(row.name) for row in rows), 80
    scale = _scale([*values, one] if one else [0.0, *values], left, width - right, bool(one))
    height, parts = STEP * len(rows) + 26, []
    for tick in _ticks([*values, one or 0.0], bool(one)):
        parts.append(f'<path d="M{scale(tick):.1f} 0V{height - 22}" stroke="{LINE}" stroke-width=".5"/>')
        parts.append(_text(scale(tick), height - 8, _short(tick) + "×" * bool(one), "middle", 0.7))
    for at, row in enumerate(rows):
        y, fill = STEP * at + 4, colour(row.name)
        parts.append(_text(left - 6, y + 11, row.name, "end"))
        if row.value:
            start, end = sorted((scale(one), scale(row.value)))
            shade = 0.4 if row.pale else 1
            parts.append(
                f'<rect x="{start:.1f}" y="{y}" width="{max(end - start, 0.5):.1f}" height="13" '
                f'fill="{fill}" opacity="{shade}"/>'
            )
        if row.low and row.high:
            parts.append(f'<path d="M{scale(row.low):.1f} {y + 6.5}H{scale(row.high):.1f}" stroke="currentColor"/>')
        parts += [
            f'<circle cx="{scale(each):.1f}" cy="{y + 6.5}" r="1.8" fill="none" stroke="currentColor" opacity=".6"/>'
            for each in row.points
        ]
        parts.append(_text(width - right + 8, y + 11, row.label))
    if one:
        parts.append(f'<path d="M{scale(one):.1f} 0V{height - 22}" stroke="currentColor"/>')
    about = f"{title}: " + ", ".join(f"{row.name} {row.label}" for row in rows[:40])
    return Chart(title, about, _svg(width, height, parts, about))


def lines(
    title: str,
    series: Mapping[str, Sequence[tuple[float, float]]],
    x: str,
    log_x: bool = True,
    limits: Mapping[str, float] | None = None,
    width: int = 640,
) -> Chart:
    """A line for each name, `limits` as dotted levels; y is logarithmic."""
    height, left, right, below, limits = 330, 58, 190, 40, limits or {}
    points = [point for line in series.values() for point in line]
    at_x = _scale([px for px, _ in points], left, width - right, log_x)
    at_y = _scale([*(py for _, py in points), *limits.values()], height - below, 10, True)
    parts = []
    for tick in _ticks([*(py for _, py in points), *limits.values()], True):
        parts.append(f'<path d="M{left} {at_y(tick):.1f}H{width - right}" stroke="{LINE}" stroke-width=".5"/>')
        parts.append(_text(left - 6, at_y(tick) + 4, _short(tick), "end", 0.7))
    own = sorted({px for px, _ in points})
    shown = -math.inf
    for tick in own if len(own) <= 9 else _ticks([px for px, _ in points], log_x):
        if at_x(tick) - shown >= NEAR:  # figures that would overlap are left out
            shown = at_x(tick)
            parts.append(_text(shown, height - below + 16, _short(tick), "middle", 0.7))
    parts.append(_text((left + width - right) / 2, height - 6, x, "middle"))
    ends: list[tuple[float, float, str, str]] = []
    for at, (name, line) in enumerate(series.items()):
        stroke, dash = colour(name), ("", "6 3", "2 2", "8 3 2 3")[at % 4]
        path = "L".join(f"{at_x(px):.1f} {at_y(py):.1f}" for px, py in line)
        parts.append(f'<path d="M{path}" fill="none" stroke="{stroke}" stroke-width="1.6" stroke-dasharray="{dash}"/>')
        if len(line) <= 12:
            parts += [f'<circle cx="{at_x(px):.1f}" cy="{at_y(py):.1f}" r="3" fill="{stroke}"/>' for px, py in line]
        ends.append((at_y(line[-1][1]), at_x(line[-1][0]), name, stroke))
    for name, value in limits.items():
        parts.append(
            f'<path d="M{left} {at_y(value):.1f}H{width - right}" stroke="currentColor" stroke-dasharray="2 3"/>'
        )
        ends.append((at_y(value), width - right, name, "currentColor"))
    ends.sort()
    lowest = height - below + 2 - GAP * (len(ends) - 1)  # above the figures of the axis
    last = -math.inf
    for at, (y, end, name, stroke) in enumerate(ends):
        last = max(min(y + 4, lowest + GAP * at), last + GAP)  # names that would overlap move apart
        parts.append(_text(end + 8, last, name, fill=stroke))
    about = f"{title}; at the end: " + ", ".join(f"{name} {_short(line[-1][1])}" for name, line in series.items())
    return Chart(title, about, _svg(width, max(height, int(last) + 8), parts, about))


def speeds(record: Record, part: str, case: str, measure: str) -> Chart | None:
    """The speeds of a case relative to its baseline, with intervals; a pale bar and a ~ mark one in doubt."""
    rows, shape = [], ""
    for row in record.of(part, case, measure):
        shape = shape or row.about.get("shape", "")
        found = record.ratio(row) if row.contender != row.baseline else None
        if found:
            rows.append(Bar(row.contender, found.median, str(found), found.low, found.high, bool(found.doubt)))
    named = case if shape in ("", case) else f"{case} ({shape})"
    return bars(f"{named}: {measure}", rows, one=1.0) if rows else None


def all_speeds(record: Record, part: str) -> list[Chart]:
    """A chart for each case and measure of a part that has a baseline."""
    groups = dict.fromkeys((row.case, row.measure) for row in record.of(part) if row.baseline)
    return [chart for group in groups if (chart := speeds(record, part, *group))]


def picture(chart: Chart) -> str:
    """The chart as a file of its own, whose text is legible on light and on dark pages."""
    style = "<style>:root{color:#1f2328}@media(prefers-color-scheme:dark){:root{color:#e6edf3}}</style>"
    return chart.svg.replace("><title>", f">{style}<title>", 1) + "\n"


def _svg(width: float, height: float, parts: Sequence[str], about: str) -> str:
    box = f'xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" {FONT}'
    inside = "\n".join(parts)
    return f"<svg {box}><title>{escape(about)}</title>\n{inside}\n</svg>"


def _text(
    x: float, y: float, text: str, anchor: str = "start", opacity: float = 1.0, fill: str = "currentColor"
) -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f'<text {place} fill="{fill}" opacity="{opacity}">{escape(text)}</text>'


def _scale(values: Sequence[float], begin: float, end: float, log: bool) -> Callable[[float], float]:
    move: Callable[[float], float] = math.log if log else float
    low, high = move(min(values)), move(max(values))
    wide = (high - low) or 1.0
    return lambda value: begin + (end - begin) * (move(value) - low) / wide


def _ticks(values: Sequence[float], log: bool) -> list[float]:
    """At 1, 2 or 5 times a power of ten; on a wide logarithmic axis at powers of ten."""
    low, high = min(values), max(values)
    if not log:
        step = 10.0 ** math.floor(math.log10((high - low) or 1.0))
        step = next(step * by for by in (0.2, 0.5, 1, 2) if (high - low) / (step * by) <= 6)
        return [step * at for at in range(math.ceil(low / step), math.floor(high / step) + 1)]
    by = (1,) if high / low > 150 else (1, 2, 5)
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [tick for power in powers for digit in by if low <= (tick := digit * 10.0**power) <= high]


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
