"""Templates of charts with two axes, with names at the ends of lines or beside points."""

from typing import Any

from benchmarks.report.pieces import (
    BY_RANK,
    COLOURS,
    DASHES,
    FAINT,
    FAMILY,
    INK,
    PIXEL,
    PLACES,
    SHAPES,
    SOFT,
    Spec,
    over_x,
    round_labels,
    spec,
)


def roof() -> Spec:
    """One contender's GFLOP/s over arithmetic intensity, the others in grey, and the matrix peak."""
    axis: Spec = {"grid": False, "ticks": False}
    on_x, on_y = (axis | {"labelExpr": round_labels(scale, "format(datum.value, '~g')")} for scale in "xy")
    x = over_x("x", on_x | {"title": "FLOP a byte"}, {"type": "log", "nice": False, "padding": 12})
    y = over_x("value", on_y | {"title": "GFLOP/s"}, {"type": "log", "nice": False})
    peak: Spec = {
        "transform": [{"aggregate": [{"op": "max", "field": "peak", "as": "peak"}]}],
        "encoding": {"y": y | {"field": "peak"}},
    }
    right: Spec = {"x": {"value": {"expr": "width"}}, "text": {"field": "peak", "format": ",.0f"}}
    words: Spec = {"type": "text", "align": "right", "baseline": "bottom", "dy": -3, "color": SOFT}
    own: Spec = {"transform": [{"filter": "datum.contender == '{who}'"}]}
    return spec(
        [
            {"mark": {"type": "point", "filled": True, "size": 14, "color": FAINT, "opacity": 1},
             "encoding": {"x": x, "y": y}},
            peak | {"mark": {"type": "rule", "color": INK, "strokeDash": [4, 3]}},
            {"transform": peak["transform"], "mark": words, "encoding": peak["encoding"] | right},
            own | {"mark": {"type": "point", "filled": True, "size": 34, "opacity": 1},
                   "encoding": {"x": x, "y": y, "color": FAMILY, "tooltip": {"field": "tip"}}},
            {"data": {"name": "labels"}, "mark": {"type": "text", "align": "left", "dx": 6},
             "encoding": {"x": x, "y": PIXEL, "text": {"field": "text"}}},
        ],
        height=190,
    )  # fmt: skip


def _place(range_: Any, channel_type: str = "nominal") -> Spec:
    return {
        "field": "at",
        "type": channel_type,
        "legend": None,
        "scale": {"domain": PLACES, "range": [range_[at % len(range_)] for at in PLACES]},
    }


def _curves(x_scale: Spec, y_scale: Spec, points: bool = False, limited: bool = False) -> Spec:
    plain: Spec = {"domain": False, "tickCount": 5}
    x = over_x("x", plain | {"title": "{x}", "format": ",d", "grid": False}, x_scale)
    form = round_labels("y", "format(datum.value, '{form}') + '{unit}'")
    y = over_x("value", plain | {"title": "{y}", "labelExpr": form}, y_scale)
    line: Spec = {"color": _place(COLOURS), "strokeDash": _place(DASHES), "detail": {"field": "line"}}
    layers: list[Spec] = [
        {"mark": {"type": "line", "strokeWidth": 1.6}, "encoding": {"x": x, "y": y} | line},
        {
            "data": {"name": "labels"},
            "mark": {"type": "text", "align": "left", "dx": 8, "fontSize": 10.5},
            "encoding": {
                "x": x, "y": PIXEL,
                "text": {"field": "text"}, "color": _place(COLOURS),
            },
        },
    ]  # fmt: skip
    if limited:
        limits = {"aggregate": [{"op": "max", "field": "value", "as": "value"}], "groupby": ["limit"]}
        mark = {"type": "rule", "color": INK, "strokeDash": [2, 3]}
        layers.append({"transform": [{"filter": "isValid(datum.limit)"}, limits], "mark": mark, "encoding": {"y": y}})
    if points:
        mark = {"type": "point", "filled": True, "size": 44, "opacity": 1}
        marks = {"color": _place(COLOURS), "shape": _place(SHAPES), "tooltip": {"field": "tip"}}
        layers.insert(1, {"mark": mark, "encoding": {"x": x, "y": y} | marks})
    return spec(layers, height=300)


def curves() -> Spec:
    """A line for each contender over the swept size, on logarithmic axes, with names at the ends."""
    return _curves({"type": "log", "base": 2, "nice": False}, {"type": "log", "nice": False, "padding": 8}, points=True)


def losses() -> Spec:
    """Losses over training steps, a line for each seed."""
    return _curves({"nice": False, "zero": False}, {"type": "log", "nice": False, "padding": 8})


def limited_losses() -> Spec:
    """`losses`, with the losses to beat."""
    return _curves({"nice": False, "zero": False}, {"type": "log", "nice": False, "padding": 8}, limited=True)


def errors() -> Spec:
    """Errors over the horizon: a marker for each contender, with our spread over seeds."""
    x = {"field": "case", "type": "ordinal", "sort": BY_RANK, "title": "{x}", "axis": {"labelAngle": 0, "grid": False}}
    y = over_x("value", {"title": "{y}", "domain": False, "tickCount": 5}, {"zero": True})
    looks = {"color": _place(COLOURS), "shape": _place(SHAPES)}
    return spec(
        [
            {
                "mark": {"type": "line", "strokeWidth": 1.2, "opacity": 0.6},
                "encoding": {"color": looks["color"], "strokeDash": _place(DASHES), "y": y},
            },
            {
                "transform": [{"filter": "isValid(datum.low)"}],
                "mark": {"type": "rule", "strokeWidth": 2},
                "encoding": {"y": y | {"field": "low"}, "y2": {"field": "high"}, "color": looks["color"]},
            },
            {
                "mark": {"type": "point", "filled": True, "size": 60, "opacity": 1},
                "encoding": looks | {"y": y, "tooltip": {"field": "tip"}},
            },
            {
                "data": {"name": "labels"},
                "mark": {"type": "text", "align": "left", "dx": 9, "fontSize": 11},
                "encoding": {
                    "y": PIXEL,
                    "text": {"field": "text"},
                    "color": looks["color"],
                },
            },
        ],
        height=240,
        padding={"left": 2, "top": 2, "bottom": 2, "right": 16},
        encoding={"x": x},
    )
