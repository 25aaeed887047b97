"""Charts of `Timed` rows, of any study."""

from benchmarks.contenders import BASELINE, CONTENDERS
from benchmarks.measures import COMPILE, MEMORY
from benchmarks.report.parts import Chart, Row, listed
from benchmarks.sampling import Timed
from benchmarks.tables import mebibytes, time_of

STAGES = ("trace", "lower", "compile", "first call")
SPEED = (
    "Bars start at 1, the speed of {baseline}: to the right is faster. The thin line is the 95 % interval of the "
    "median ratio, by the bootstrap over rounds; a pale bar and a ~ mark a ratio from which nothing can be concluded."
)
PEAK = (
    " The dashed line is where a contender would be that reached the machine's own matrix peak, {peak:,.0f} GFLOP/s, "
    "and the grey figure is the part of it that was reached."
)


def family(name: str) -> str:
    """The name in `pieces.FAMILIES`."""
    found = CONTENDERS.get(name.split(",")[0])
    if name.startswith(BASELINE):
        return "PyTorch"
    if found is None:
        return "other"
    return "ours" if found.backend else "other JAX" if found.other_jax else "other"


def ratios(row: Timed, peak: float) -> Chart:
    """The speeds of one row of the record."""
    reached = {name: row.gflops(name) for name in row.seconds} if row.flops else {}
    limit = peak / reached[row.baseline] if peak and row.baseline in reached else None
    rows = [
        _ratio(row, name, reached.get(name), peak) | ({"limit": limit} if limit else {})
        for name in (*row.seconds, *row.failed)
    ]
    about = f"{row.case}, {row.measure}, speed relative to {row.baseline}: {listed(rows)}"
    return Chart("limited_ratios" if limit else "ratios", f"{row.case} ({row.shape})", about, rows)


def _ratio(row: Timed, name: str, gflops: float | None, peak: float) -> Row:
    made = {"case": row.case, "measure": row.measure, "contender": name, "family": family(name)}
    if name in row.failed:
        nothing = {"value": None, "low": None, "high": None, "doubtful": False, "label": "failed", "part": ""}
        return made | nothing | {"tip": f"{name} failed: {row.failed[name]}"}
    ratio, interval, doubt = row.ratio(name), row.interval(name), row.doubt(name)
    value = ratio.median if ratio else None
    low, high = interval if interval and name != row.baseline else (None, None)
    label = "" if value is None else f"{'~' * bool(doubt)}{times(value)}"
    between = f", {value:.2f}× [{low:.2f} to {high:.2f}]" if value and low and high else ""
    speed = f", {gflops:,.1f} GFLOP/s" if gflops else ""
    tip = f"{name}, {row.case}: {time_of(row.timing(name).median)}{between}{speed}{', ' * bool(doubt)}{doubt}"
    part = f"{gflops / peak:.0%}" if gflops and peak else ""
    figures = {"value": value, "low": low, "high": high, "doubtful": bool(doubt), "label": label, "part": part}
    return made | figures | {"tip": tip}


def times(ratio: float) -> str:
    """Three or four digits."""
    return f"{ratio:.2f}×" if ratio < 10 else f"{ratio:.1f}×" if ratio < 100 else f"{ratio:,.0f}×"


def means(rows: list[Timed], measure: str) -> Chart:
    """Means over the cases of one measure; computed in the page, over the cases chosen there."""
    found = [_ratio(row, name, None, 0.0) for row in rows for name in row.seconds if name != row.baseline]
    shown = [{name: value for name, value in row.items() if name != "measure"} for row in found]
    return Chart("means", measure, f"{measure}: the geometric mean over cases, and every case; see the tables", shown)


def roofs(rows: list[Timed], peak: float) -> list[Chart]:
    """A roofline chart for each contender, with the others in grey; cases are numbered."""
    cases = {case: at for at, case in enumerate(dict.fromkeys(row.case for row in rows), 1)}
    points: list[Row] = [
        {
            "case": row.case,
            "number": str(cases[row.case]),
            "measure": row.measure,
            "contender": name,
            "family": family(name),
            "x": intensity(row.shape),
            "value": row.gflops(name),
            "peak": peak,
            "tip": f"{name}, {row.case}: {row.gflops(name):,.1f} GFLOP/s at {intensity(row.shape):.1f} FLOP a byte",
        }
        for row in rows
        for name in row.seconds
    ]
    made = []
    for who in dict.fromkeys(point["contender"] for point in points):
        own = [point for point in points if point["contender"] == who]
        best = max(own, key=lambda point: point["value"])
        about = f"{who}: at most {best['value']:,.1f} GFLOP/s, at {best['case']}; the matrix peak is {peak:,.0f}"
        made.append(Chart("roof", who, about, points, {"who": who}))
    return made


def intensity(shape: str) -> float:
    """FLOPs per byte of one time step in float32: weights, inputs and state are read, and the state is written."""
    batch, _, inputs, hidden = (int(size) for size in shape.split(",")[:4])
    weights = 4 * hidden * (inputs + hidden)
    return 2 * batch * weights / (4 * (weights + batch * (inputs + 4 * hidden)))


def numbered_cases(rows: list[Timed]) -> str:
    cases = dict.fromkeys(row.case for row in rows)
    return ", ".join(f"{at} {case}" for at, case in enumerate(cases, 1))


def compiling(row: Timed) -> Chart:
    """The stages of compiling, stacked."""
    rows: list[Row] = []
    for name in row.seconds:
        total = time_of(row.timing(name).median)
        for place, stage in enumerate(STAGES):
            samples = sorted(row.parts.get(name, {}).get(stage, ()))
            if samples or place == 0:
                value = samples[len(samples) // 2] if samples else 0.0
                tip = f"{name}, {stage}: {time_of(value)}"
                made = {"case": row.case, "contender": name, "stage": stage, "place": place, "value": value}
                rows.append(made | {"label": total, "tip": tip})
    sums = [each for each in rows if each["place"] == 0]
    return Chart("stages", f"{row.case} ({row.shape})", f"{COMPILE}, {row.case}: {listed(sums)}", rows)


def memory(row: Timed) -> Chart:
    rows: list[Row] = []
    for name, size in row.memory.items():
        label = mebibytes(size)
        made = {"case": row.case, "contender": name, "family": family(name), "value": size / 2**20, "label": label}
        rows.append(made | {"tip": f"{name}, {row.case}: {label}"})
    words = {"form": ",", "unit": " MiB"}
    return Chart("bars", f"{row.case} ({row.shape})", f"{MEMORY}, {row.case}: {listed(rows)}", rows, words)
