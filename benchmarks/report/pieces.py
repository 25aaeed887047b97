"""Parts of the chart templates, in Vega-Lite.

Colours are CSS variables, so that light, dark and print themes need no new drawing. Whatever a colour shows, a name, a
marker or a figure shows too.
"""

from typing import Any

Spec = dict[str, Any]
FAMILIES = ("ours", "PyTorch", "other JAX", "other")
KINDS = tuple(f"var(--{name})" for name in ("ours", "torch", "jax", "other"))
COLOURS = tuple(f"var(--c{at})" for at in range(8))
SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-right")
DASHES = ([1, 0], [6, 3], [2, 2], [8, 3, 2, 3])
PLACES = list(range(32))
INK, SOFT, LINE, FAINT = "var(--ink)", "var(--soft)", "var(--line)", "var(--faint)"
FONT = "system-ui, sans-serif"

CONFIG: Spec = {
    "background": None,
    "padding": 2,
    "font": FONT,
    "view": {"stroke": None},
    "axis": {
        "labelColor": SOFT, "titleColor": SOFT, "gridColor": LINE, "domainColor": LINE, "tickColor": LINE,
        "labelFontSize": 11, "titleFontSize": 11, "titleFontWeight": "normal",
        "labelLimit": 165, "labelOverlap": "greedy", "labelSeparation": 6,
    },
    "legend": {
        "labelColor": INK, "titleColor": SOFT, "labelFontSize": 11, "titleFontSize": 11, "titleFontWeight": "normal",
        "orient": "top", "symbolStrokeWidth": 0, "columns": 3, "labelLimit": 110, "symbolType": "square",
    },
    "text": {"color": INK, "fontSize": 11},
    "rule": {"color": INK},
}  # fmt: skip
# In the order in which the script numbered the rows; Vega-Lite's own order is that of first appearance.
BY_RANK: Spec = {"field": "rank", "op": "min"}
BY_NAME: Spec = {
    "field": "contender", "type": "nominal", "sort": BY_RANK, "title": None,
    "axis": {"domain": False, "ticks": False, "labelColor": INK, "labelPadding": 6},
}  # fmt: skip
FAMILY: Spec = {
    "field": "family", "type": "nominal", "legend": None,
    "scale": {"domain": list(FAMILIES), "range": list(KINDS)},
}  # fmt: skip


def spec(layers: list[Spec], **more: Any) -> Spec:
    return {
        "data": {"name": "rows"},
        "width": 300,
        "autosize": {"type": "fit-x", "contains": "padding"},
        "config": CONFIG,
        "layer": layers,
    } | more


def over_x(field: str, axis: Spec | None = None, scale: Spec | None = None, **more: Any) -> Spec:
    return {"field": field, "type": "quantitative", "title": None, "axis": axis, "scale": scale or {}} | more


PIXEL: Spec = {
    "field": "pixel",
    "type": "quantitative",
    "scale": None,
    "title": None,
}  # of `labels`, placed by the script


def at_the_edge(field: str, **more: Any) -> Spec:
    """Text to the right of the plot, in line with the bars."""
    mark = {"type": "text", "align": "left", "dx": 6} | more
    return {"mark": mark, "encoding": {"x": {"value": {"expr": "width"}}, "text": {"field": field}}}


MANTISSA = "format(datum.value / pow(10, floor(log(datum.value) / LN10 + 1e-9)), '.3~f')"


def round_labels(scale: str, text: str) -> str:
    """On a wide logarithmic axis, label only the ticks at 1, 2 or 5 times a power of ten."""
    much = f"domain('{scale}')[1] > 20 * domain('{scale}')[0]"
    return f"{much} && indexof(['1', '2', '5'], {MANTISSA}) < 0 ? '' : {text}"


LOG: Spec = {"type": "log", "base": 2, "nice": False, "padding": 6}
