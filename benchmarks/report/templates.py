"""The charts, as Vega-Lite: one template each, for any number of pictures.

Colours are variables of the style sheet, so that light, dark and paper need no new drawing. No colour says anything
that a name, a marker or a figure beside it does not say too.
"""

from collections.abc import Callable
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
# As the script has numbered the rows. An order of their own would be that in which they were first seen.
BY_RANK: Spec = {"field": "rank", "op": "min"}
BY_NAME: Spec = {
    "field": "contender", "type": "nominal", "sort": BY_RANK, "title": None,
    "axis": {"domain": False, "ticks": False, "labelColor": INK, "labelPadding": 6},
}  # fmt: skip
FAMILY: Spec = {
    "field": "family", "type": "nominal", "legend": None,
    "scale": {"domain": list(FAMILIES), "range": list(KINDS)},
}  # fmt: skip


def _spec(layers: list[Spec], **more: Any) -> Spec:
    return {
        "data": {"name": "rows"},
        "width": 300,
        "autosize": {"type": "fit-x", "contains": "padding"},
        "config": CONFIG,
        "layer": layers,
    } | more


def _x(field: str, axis: Spec | None = None, scale: Spec | None = None, **more: Any) -> Spec:
    return {"field": field, "type": "quantitative", "title": None, "axis": axis, "scale": scale or {}} | more


PIXEL: Spec = {
    "field": "pixel",
    "type": "quantitative",
    "scale": None,
    "title": None,
}  # of `labels`, placed by the script


def _at_the_edge(field: str, **more: Any) -> Spec:
    """Text to the right of the plot, in line with the bars."""
    mark = {"type": "text", "align": "left", "dx": 6} | more
    return {"mark": mark, "encoding": {"x": {"value": {"expr": "width"}}, "text": {"field": field}}}


TIMES: Spec = {
    "labelExpr": "(datum.value < 0.5 ? '1/' + format(1 / datum.value, '~r') : format(datum.value, '~r')) + '×'",
    "values": sorted([*(2.0**power for power in range(-12, 13)), 0.75, 1.5]), "domain": False,
}  # fmt: skip
MANTISSA = "format(datum.value / pow(10, floor(log(datum.value) / LN10 + 1e-9)), '.3~f')"


def _round(scale: str, text: str) -> str:
    """Of a logarithmic axis that spans much, label those ticks only that begin with 1, 2 or 5 and go no further."""
    much = f"domain('{scale}')[1] > 20 * domain('{scale}')[0]"
    return f"{much} && indexof(['1', '2', '5'], {MANTISSA}) < 0 ? '' : {text}"


LOG: Spec = {"type": "log", "base": 2, "nice": False, "padding": 6}


PALE: Spec = {"domain": [False, True], "range": [1, 0.4]}


def ratios(limited: bool = False) -> Spec:
    """Speeds beside the baseline's, from 1 to both sides, with their intervals."""
    bar: Spec = {
        "mark": {"type": "bar", "height": 11, "cornerRadiusEnd": 2},
        "encoding": {
            "x": _x("value", TIMES, LOG, stack=None),
            "x2": {"datum": 1},
            "color": FAMILY,
            "opacity": {"field": "doubtful", "type": "nominal", "legend": None, "scale": PALE},
        },
    }  # fmt: skip
    interval: Spec = {
        "transform": [{"filter": "isValid(datum.low)"}],
        "mark": {"type": "rule", "strokeWidth": 1.5},
        "encoding": {"x": _x("low", TIMES, LOG), "x2": {"field": "high"}},
    }
    one: Spec = {
        "mark": {"type": "rule", "color": SOFT},
        "encoding": {"x": {"datum": 1, "type": "quantitative"}, "y": {"value": 0}, "y2": {"value": {"expr": "height"}}},
    }
    limit: Spec = {
        "transform": [{"aggregate": [{"op": "max", "field": "limit", "as": "limit"}]}],
        "mark": {"type": "rule", "color": INK, "strokeDash": [4, 3]},
        "encoding": {"x": _x("limit", TIMES, LOG), "y": {"value": 0}, "y2": {"value": {"expr": "height"}}},
    }  # fmt: skip
    return _spec(
        [one, *[limit] * limited, bar, interval, _at_the_edge("label"), _at_the_edge("part", dx=58, color=SOFT)],
        height={"step": 18},
        encoding={"y": BY_NAME, "tooltip": {"field": "tip"}},
    )


def limited_ratios() -> Spec:
    """The same, and the speed at the matrix peak."""
    return ratios(limited=True)


def means() -> Spec:
    """The geometric mean of the cases that are chosen, and each of them."""
    logs: list[Spec] = [
        {"filter": "isValid(datum.value)"},
        {"calculate": "log(datum.value)", "as": "log"},
        {"aggregate": [{"op": "mean", "field": "log", "as": "log"}, {"op": "count", "as": "count"},
                       {"op": "min", "field": "rank", "as": "rank"}],
         "groupby": ["contender", "family"]},
        {"calculate": "exp(datum.log)", "as": "mean"},
        {"calculate": "format(datum.mean, datum.mean < 10 ? '.2f' : '.1f') + '×'", "as": "label"},
        {"calculate": "datum.count + (datum.count > 1 ? ' cases' : ' case')", "as": "cases"},
    ]  # fmt: skip
    bar: Spec = {
        "transform": logs,
        "mark": {"type": "bar", "height": 11, "cornerRadiusEnd": 2},
        "encoding": {"x": _x("mean", TIMES, LOG, stack=None), "x2": {"datum": 1}, "color": FAMILY},
    }
    dots: Spec = {
        "transform": [{"filter": "isValid(datum.value)"}],
        "mark": {"type": "point", "size": 18, "strokeWidth": 1, "color": INK, "opacity": 0.55},
        "encoding": {"x": _x("value", TIMES, LOG), "tooltip": {"field": "tip"}},
    }
    one: Spec = {
        "mark": {"type": "rule", "color": SOFT},
        "encoding": {"x": {"datum": 1, "type": "quantitative"}, "y": {"value": 0}, "y2": {"value": {"expr": "height"}}},
    }
    texts = [
        {"transform": logs} | _at_the_edge("label"),
        {"transform": logs} | _at_the_edge("cases", dx=54, color=SOFT),
    ]
    return _spec([one, bar, dots, *texts], height={"step": 18}, encoding={"y": BY_NAME})


def roof() -> Spec:
    """One contender's GFLOP/s over arithmetic intensity, the others behind it in grey, under the matrix peak."""
    axis: Spec = {"grid": False, "ticks": False}
    on_x, on_y = (axis | {"labelExpr": _round(scale, "format(datum.value, '~g')")} for scale in "xy")
    x = _x("x", on_x | {"title": "FLOP a byte"}, {"type": "log", "nice": False, "padding": 12})
    y = _x("value", on_y | {"title": "GFLOP/s"}, {"type": "log", "nice": False})
    peak: Spec = {
        "transform": [{"aggregate": [{"op": "max", "field": "peak", "as": "peak"}]}],
        "encoding": {"y": y | {"field": "peak"}},
    }
    right: Spec = {"x": {"value": {"expr": "width"}}, "text": {"field": "peak", "format": ",.0f"}}
    words: Spec = {"type": "text", "align": "right", "baseline": "bottom", "dy": -3, "color": SOFT}
    own: Spec = {"transform": [{"filter": "datum.contender == '{who}'"}]}
    return _spec(
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


def stages() -> Spec:
    """Seconds one after the other, from dark to light; the sum beside them."""
    parts = ["trace", "lower", "compile", "first call"]
    bar: Spec = {
        "mark": {"type": "bar", "height": 12, "stroke": "var(--paper)", "strokeWidth": 1},
        "encoding": {
            "x": _x("value", {"labelExpr": "format(datum.value, '~s') + 's'", "tickCount": 4, "domain": False}),
            "color": {
                "field": "stage", "type": "nominal", "title": None, "sort": parts,
                "scale": {"domain": parts, "range": [f"var(--s{at})" for at in range(4)]},
                "legend": {"columns": 4, "symbolType": "square", "symbolStrokeWidth": 0},
            },
            "order": {"field": "place"},
        },
    }  # fmt: skip
    total = {"transform": [{"filter": "datum.place == 0"}]} | _at_the_edge("label")
    return _spec([bar, total], height={"step": 18}, encoding={"y": BY_NAME, "tooltip": {"field": "tip"}})


def bars() -> Spec:
    """Figures from zero."""
    bar: Spec = {
        "mark": {"type": "bar", "height": 11, "cornerRadiusEnd": 2},
        "encoding": {
            "x": _x(
                "value", {"labelExpr": "format(datum.value, '{form}') + '{unit}'", "tickCount": 4, "domain": False}
            ),
            "color": FAMILY,
        },
    }
    return _spec(
        [bar, _at_the_edge("label")], height={"step": 18}, encoding={"y": BY_NAME, "tooltip": {"field": "tip"}}
    )


def _place(range_: Any, channel_type: str = "nominal") -> Spec:
    return {
        "field": "at",
        "type": channel_type,
        "legend": None,
        "scale": {"domain": PLACES, "range": [range_[at % len(range_)] for at in PLACES]},
    }


def _curves(x_scale: Spec, y_scale: Spec, points: bool = False, limited: bool = False) -> Spec:
    plain: Spec = {"domain": False, "tickCount": 5}
    x = _x("x", plain | {"title": "{x}", "format": ",d", "grid": False}, x_scale)
    form = _round("y", "format(datum.value, '{form}') + '{unit}'")
    y = _x("value", plain | {"title": "{y}", "labelExpr": form}, y_scale)
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
    return _spec(layers, height=300)


def curves() -> Spec:
    """A line a contender over what is varied, both axes logarithmic, the names at the ends."""
    return _curves({"type": "log", "base": 2, "nice": False}, {"type": "log", "nice": False, "padding": 8}, points=True)


def losses() -> Spec:
    """Over steps of training, a line a seed."""
    return _curves({"nice": False, "zero": False}, {"type": "log", "nice": False, "padding": 8})


def limited_losses() -> Spec:
    """The same, and the losses that are to be beaten."""
    return _curves({"nice": False, "zero": False}, {"type": "log", "nice": False, "padding": 8}, limited=True)


def errors() -> Spec:
    """Errors over the horizon: a marker for each who is compared, our spread over seeds."""
    x = {"field": "case", "type": "ordinal", "sort": BY_RANK, "title": "{x}", "axis": {"labelAngle": 0, "grid": False}}
    y = _x("value", {"title": "{y}", "domain": False, "tickCount": 5}, {"zero": True})
    looks = {"color": _place(COLOURS), "shape": _place(SHAPES)}
    return _spec(
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


def agreement() -> Spec:
    """How far results part, each beside its tolerance."""
    axis: Spec = {
        "title": "largest difference, relative",
        "format": ".0e",
        "tickCount": 5,
        "domain": False,
        "grid": False,
    }
    log: Spec = {"type": "log"}
    name = BY_NAME | {"field": "check", "axis": BY_NAME["axis"] | {"labelLimit": 190}}
    return _spec(
        [
            {
                "mark": {"type": "rule", "color": FAINT, "strokeWidth": 2},
                "encoding": {"x": _x("value", axis, log), "x2": {"field": "limit"}},
            },
            {
                "mark": {"type": "point", "filled": True, "size": 50, "opacity": 1, "color": KINDS[0]},
                "encoding": {"x": _x("value", axis, log)},
            },
            {
                "mark": {"type": "tick", "thickness": 2, "height": 12, "color": INK},
                "encoding": {"x": _x("limit", axis, log)},
            },
        ],
        height={"step": 20},
        encoding={"y": name, "tooltip": {"field": "tip"}},
    )


def shares() -> Spec:
    """Parts of a whole as shades, each with its figure."""
    return _spec(
        [
            {
                "mark": {"type": "rect", "color": KINDS[0], "stroke": "var(--paper)"},
                "encoding": {
                    "opacity": {
                        "field": "value",
                        "type": "quantitative",
                        "legend": None,
                        "scale": {"domain": [0, 1], "range": [0, 0.8]},
                    }
                },
            },
            {
                "transform": [{"filter": "datum.value >= 0.005"}],
                "mark": {"type": "text", "fontSize": 10},
                "encoding": {"text": {"field": "value", "type": "quantitative", "format": ".0%"}},
            },
        ],
        height={"step": 22},
        padding={"left": 2, "top": 2, "bottom": 2, "right": 26},
        encoding={
            "y": BY_NAME | {"field": "case"},
            "x": {
                "field": "kind",
                "type": "nominal",
                "sort": BY_RANK,
                "title": None,
                "axis": {
                    "orient": "top",
                    "labelAngle": -45,
                    "domain": False,
                    "ticks": False,
                    "labelColor": INK,
                    "labelAlign": "left",
                },
            },
            "tooltip": {"field": "tip"},
        },
    )


_ALL = (ratios, limited_ratios, means, roof, stages, bars, curves, losses, limited_losses, errors, agreement, shares)
TEMPLATES: dict[str, Callable[[], Spec]] = {each.__name__: each for each in _ALL}
