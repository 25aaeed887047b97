"""Templates of charts with a row for each name."""

from benchmarks.report.pieces import (
    BY_NAME,
    BY_RANK,
    FAINT,
    FAMILY,
    INK,
    KINDS,
    LOG,
    SOFT,
    Spec,
    at_the_edge,
    over_x,
    spec,
)

TIMES: Spec = {
    "labelExpr": "(datum.value < 0.5 ? '1/' + format(1 / datum.value, '~r') : format(datum.value, '~r')) + '×'",
    "values": sorted([*(2.0**power for power in range(-12, 13)), 0.75, 1.5]), "domain": False,
}  # fmt: skip


PALE: Spec = {"domain": [False, True], "range": [1, 0.4]}


def ratios(limited: bool = False) -> Spec:
    """Speeds relative to the baseline, as bars from 1, with their intervals."""
    bar: Spec = {
        "mark": {"type": "bar", "height": 11, "cornerRadiusEnd": 2},
        "encoding": {
            "x": over_x("value", TIMES, LOG, stack=None),
            "x2": {"datum": 1},
            "color": FAMILY,
            "opacity": {"field": "doubtful", "type": "nominal", "legend": None, "scale": PALE},
        },
    }  # fmt: skip
    interval: Spec = {
        "transform": [{"filter": "isValid(datum.low)"}],
        "mark": {"type": "rule", "strokeWidth": 1.5},
        "encoding": {"x": over_x("low", TIMES, LOG), "x2": {"field": "high"}},
    }
    one: Spec = {
        "mark": {"type": "rule", "color": SOFT},
        "encoding": {"x": {"datum": 1, "type": "quantitative"}, "y": {"value": 0}, "y2": {"value": {"expr": "height"}}},
    }
    limit: Spec = {
        "transform": [{"aggregate": [{"op": "max", "field": "limit", "as": "limit"}]}],
        "mark": {"type": "rule", "color": INK, "strokeDash": [4, 3]},
        "encoding": {"x": over_x("limit", TIMES, LOG), "y": {"value": 0}, "y2": {"value": {"expr": "height"}}},
    }  # fmt: skip
    return spec(
        [one, *[limit] * limited, bar, interval, at_the_edge("label"), at_the_edge("part", dx=58, color=SOFT)],
        height={"step": 18},
        encoding={"y": BY_NAME, "tooltip": {"field": "tip"}},
    )


def limited_ratios() -> Spec:
    """`ratios`, with the speed at the matrix peak."""
    return ratios(limited=True)


def means() -> Spec:
    """The geometric mean over the chosen cases, and each of them."""
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
        "encoding": {"x": over_x("mean", TIMES, LOG, stack=None), "x2": {"datum": 1}, "color": FAMILY},
    }
    dots: Spec = {
        "transform": [{"filter": "isValid(datum.value)"}],
        "mark": {"type": "point", "size": 18, "strokeWidth": 1, "color": INK, "opacity": 0.55},
        "encoding": {"x": over_x("value", TIMES, LOG), "tooltip": {"field": "tip"}},
    }
    one: Spec = {
        "mark": {"type": "rule", "color": SOFT},
        "encoding": {"x": {"datum": 1, "type": "quantitative"}, "y": {"value": 0}, "y2": {"value": {"expr": "height"}}},
    }
    texts = [
        {"transform": logs} | at_the_edge("label"),
        {"transform": logs} | at_the_edge("cases", dx=54, color=SOFT),
    ]
    return spec([one, bar, dots, *texts], height={"step": 18}, encoding={"y": BY_NAME})


def stages() -> Spec:
    """Stacked seconds, from dark to light, with their sum."""
    parts = ["trace", "lower", "compile", "first call"]
    bar: Spec = {
        "mark": {"type": "bar", "height": 12, "stroke": "var(--paper)", "strokeWidth": 1},
        "encoding": {
            "x": over_x("value", {"labelExpr": "format(datum.value, '~s') + 's'", "tickCount": 4, "domain": False}),
            "color": {
                "field": "stage", "type": "nominal", "title": None, "sort": parts,
                "scale": {"domain": parts, "range": [f"var(--s{at})" for at in range(4)]},
                "legend": {"columns": 4, "symbolType": "square", "symbolStrokeWidth": 0},
            },
            "order": {"field": "place"},
        },
    }  # fmt: skip
    total = {"transform": [{"filter": "datum.place == 0"}]} | at_the_edge("label")
    return spec([bar, total], height={"step": 18}, encoding={"y": BY_NAME, "tooltip": {"field": "tip"}})


def bars() -> Spec:
    """Bars from zero."""
    bar: Spec = {
        "mark": {"type": "bar", "height": 11, "cornerRadiusEnd": 2},
        "encoding": {
            "x": over_x(
                "value", {"labelExpr": "format(datum.value, '{form}') + '{unit}'", "tickCount": 4, "domain": False}
            ),
            "color": FAMILY,
        },
    }
    return spec([bar, at_the_edge("label")], height={"step": 18}, encoding={"y": BY_NAME, "tooltip": {"field": "tip"}})


def agreement() -> Spec:
    """Differences of results, each with its tolerance."""
    axis: Spec = {
        "title": "largest difference, relative",
        "format": ".0e",
        "tickCount": 5,
        "domain": False,
        "grid": False,
    }
    log: Spec = {"type": "log"}
    name = BY_NAME | {"field": "check", "axis": BY_NAME["axis"] | {"labelLimit": 190}}
    return spec(
        [
            {
                "mark": {"type": "rule", "color": FAINT, "strokeWidth": 2},
                "encoding": {"x": over_x("value", axis, log), "x2": {"field": "limit"}},
            },
            {
                "mark": {"type": "point", "filled": True, "size": 50, "opacity": 1, "color": KINDS[0]},
                "encoding": {"x": over_x("value", axis, log)},
            },
            {
                "mark": {"type": "tick", "thickness": 2, "height": 12, "color": INK},
                "encoding": {"x": over_x("limit", axis, log)},
            },
        ],
        height={"step": 20},
        encoding={"y": name, "tooltip": {"field": "tip"}},
    )


def shares() -> Spec:
    """Shares of a whole as shades, each with its figure."""
    return spec(
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
