"""What a record of `jit` shows; the texts are in findings.md.

The reasons come from the optimised HLO of jaxlib 0.10.2 for CPU (`python -m benchmarks jit --hlo FOLDER` writes it).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.core import tables as units
from benchmarks.core.compiling import STAGES
from benchmarks.core.contenders import BASELINE
from benchmarks.core.contenders.base import BACKWARD, FORWARD, TRAINING
from benchmarks.core.findings import Figure, NotMeasuredError, load, measured
from benchmarks.core.record import Record, Row

DOZENS = 100  # calls that count as a few dozen
NOISE = 0.05  # relative difference below which two times count as equal
PLACES = {"T": 1, "H": 3, "L": 4}  # of a size in the name of a case
LOOPS = {"forward": 0, "backward": -1}  # those of a program come in this order
Figures = Mapping[str, Any]


class Seen:
    """A variant at a size, for sentences: `{scan.seconds}`, `{scan[temporary]}`, `{scan[backward dot in a step]}`.

    One divided by another is the time of a call relative to the other's.
    """

    def __init__(self, record: Record, row: Row):
        self.record, self.row = record, row
        self.T, self.H, self.L = (size(row, name) for name in PLACES)
        self.seconds = Figure(row.value, units.seconds)
        self.devices = row.about.get("devices", 1)

    def samples(self, name: str) -> Row:
        row = self.row
        found = self.record.row(row.part, row.case, f"{row.measure}: {name}", row.contender)
        return measured(found, row.part, row.contender, name)

    def __getitem__(self, name: str) -> Figure:
        loop, _, of = name.partition(" ")
        found = self.samples(of if loop in LOOPS else name)
        if found.unit != "by loop":
            return Figure(found.value, lambda value: units.figure(value, found.unit))
        value = found.samples[LOOPS[loop]] if loop in LOOPS else sum(found.samples)
        return Figure(value, lambda value: units.figure(value, ""))

    @property
    def compiled(self) -> Figure:
        """Seconds until it is compiled, without a call."""
        return Figure(sum(self[stage] for stage in STAGES), units.seconds)

    def __truediv__(self, other: "Seen") -> Figure:
        """By round, if they were sampled in turns."""
        one, two = self.row, other.row
        if (one.part, one.case, one.measure) == (two.part, two.case, two.measure):
            found = self.record.ratio(two, one.contender)
            assert found is not None
            return Figure(found.median, lambda value: "~" * bool(found.doubt) + units.times(value))
        return Figure(one.value / two.value, units.times)


def see(record: Record, part: str, *names: str, measure: str = BACKWARD, **at: int) -> list[Seen]:
    """Each variant at the given sizes; at the largest, of several."""
    found = []
    for name in names:
        rows = [
            row for row in by_size(record, part, name, measure) if all(size(row, s) == value for s, value in at.items())
        ]
        if not rows:
            raise NotMeasuredError(f"{part}, {name}, {measure}")
        found.append(Seen(record, rows[-1]))
    return found


def ends(record: Record, part: str, name: str) -> tuple[Seen, Seen]:
    """At the smallest and at the largest size."""
    rows = by_size(record, part, name, BACKWARD)
    if len(rows) < 2:
        raise NotMeasuredError(f"{part}, {name}")
    return Seen(record, rows[0]), Seen(record, rows[-1])


def by_size(record: Record, part: str, name: str, measure: str) -> list[Row]:
    rows = [row for row in record.of(part, "", measure, name) if row.samples]
    return sorted(rows, key=lambda row: [int(each) for each in row.case.replace("..", ",").split(",")])


def size(row: Row, name: str) -> int:
    """Of several, as in 20..120, the largest; 0 if the name of the case has none."""
    sizes = row.case.split(",")
    return int(sizes[PLACES[name]].rpartition(".")[2]) if len(sizes) > PLACES[name] else 0


def ratio(one: float, other: float) -> Figure:
    return Figure(one / other, units.times)


def pays_after(record: Record, row: Row) -> float | None:
    """Calls after which compiling has paid off against PyTorch; None: never."""
    seen, torch = Seen(record, row), record.row(row.part, row.case, row.measure, BASELINE)
    try:
        cost = seen.compiled
    except NotMeasuredError:
        cost = seen["first call"] - row.value
    gain = torch.value - row.value if torch else 0.0
    return max(0.0, cost) / gain if gain > 0 and row.contender != BASELINE else None


def headline(record: Record) -> Figures:
    torch, scan, own, native = see(record, "base", BASELINE, "scan", "scan kernel", "native")
    seen = {"torch": torch, "scan": scan, "own": own, "native": native}
    return seen | {"costs": scan / torch, "wins": torch / native, "behind": own / torch}


def whole_loop(record: Record) -> Figures:
    eager, cell, scan = see(record, "base", "eager", "jitted cell", "scan")
    return {"eager": eager, "cell": cell, "scan": scan, "eager_times": eager / scan, "cell_times": cell / scan}


def python_unrolling(record: Record) -> Figures:
    small, large = ends(record, "steps", "unrolled")
    (scan,) = see(record, "steps", "scan", T=large.T)
    grown, slower = ratio(large["instructions"], small["instructions"]), ratio(large.compiled, small.compiled)
    return {"small": small, "large": large, "scan": scan, "call": large / scan, "grown": grown, "slower": slower}


def length_is_free(record: Record) -> Figures:
    short, long = ends(record, "steps", "scan")
    return {"short": short, "long": long}


def unroll(record: Record) -> Figures:
    plain, four = see(record, "base", "scan", "scan, unroll=4")
    forward = see(record, "base", "scan", "scan, unroll=4", measure=FORWARD)
    launches = [round(each["backward trips"] * each["backward kernels in a step"]) for each in (plain, four)]
    multiply = round(four["backward multiply in a step"] / 4)
    return {
        "plain": plain, "forward": forward[1] / forward[0], "both": four / plain, "multiply": multiply,
        "compiled": ratio(four.compiled, plain.compiled),
        "launches": f"{launches[0]:,}", "launches_four": f"{launches[1]:,}",
    }  # fmt: skip


def by_hand(record: Record) -> Figures:
    auto, own = see(record, "base", "scan", "scan kernel")
    return {"auto": auto, "own": own, "times": own / auto}


def hoisting(record: Record) -> Figures:
    found: dict[str, Any] = {}
    for end, measure in (("", BACKWARD), ("_forward", FORWARD)):
        inside, one, four = see(record, "base", "scan", "scan, hoisted", "scan, hoisted, 4 arrays", measure=measure)
        found |= {f"one{end}": one / inside, f"four{end}": four / inside, "inside": inside, "hoisted": one}
    return found


def fori(record: Record) -> Figures:
    refused = [row.status for row in record.of("base", "", BACKWARD, "fori_loop") if row.status]
    forward, scan = see(record, "base", "fori_loop", "scan", measure=FORWARD)
    static, plain = see(record, "base", "fori_loop, static", "scan")
    error = (refused or [""])[0].partition("ValueError: ")[2].partition(" for ")[0]
    return {"error": error, "forward": forward / scan, "static": static / plain, "trips": forward["forward trips"]}


def remat(record: Record) -> Figures:
    names = ("scan", "scan, remat steps", "scan, remat chunks", "scan kernel", 'scan kernel, remat="chunks"')
    plain, steps, chunks, own, own_chunks = see(record, "steps", *names)
    seen = {"plain": plain, "steps": steps, "chunks": chunks, "own": own, "own_chunks": own_chunks}
    times = {"steps_time": steps / plain, "chunks_time": chunks / plain, "own_time": own_chunks / own}
    return seen | times | {"flops": ratio(chunks["products"], plain["products"])}


def donation(record: Record) -> Figures:
    kept, given = see(record, "base", "scan", "scan, donated", measure=TRAINING)
    own, own_given = see(record, "base", "scan kernel", "scan kernel, donated", measure=TRAINING)
    return {"kept": kept, "given": given, "times": given / kept, "own": own_given / own}


def precision(record: Record) -> Figures:
    pairs = {name: see(record, "precision", name, f"{name}, bfloat16") for name in ("scan", "scan kernel", "native")}
    speeds = {name.replace(" ", "_"): full / half for name, (full, half) in pairs.items()}
    return speeds | {"half": pairs["native"][1]}


def spreading(record: Record) -> Figures:
    found: dict[str, Any] = {}
    for end, name in (("", "scan"), ("_own", "scan kernel")):
        one, sharded, mapped = see(record, "devices", name, f"{name}, sharded inputs", f"{name}, shard_map")
        found |= {f"sharded{end}": one / sharded, f"mapped{end}": one / mapped, "count": one.devices}
        inside, inside_mapped = (each["collectives in a step"] for each in (sharded, mapped))
        found |= {f"inside{end}": inside, f"inside_mapped{end}": inside_mapped}
    return found


def buckets(record: Record) -> Figures:
    exact, bucket, longest = see(record, "shapes", "exact", "buckets", "longest")
    slower = bucket.seconds - exact.seconds
    passes = (exact["first call"] - bucket["first call"]) / slower if slower > 0 else float("inf")
    return {"exact": exact, "bucket": bucket, "longest": longest, "passes": f"{passes:,.0f}"}


def depth(record: Record) -> Figures:
    flat, deep = ends(record, "layers", "scan")
    over, one = see(record, "layers", "scan over layers", "all layers in a step", L=deep.L)
    return {"flat": flat, "deep": deep, "over": over, "one": one, "over_time": over / deep}


def cost_analysis(record: Record) -> Figures:
    scan, own = see(record, "base", "scan", "scan kernel")
    return {"products": scan["products"], "xla": scan["XLA's FLOPs"], "xla_own": own["XLA's FLOPs"], "scan": scan}


def paying(record: Record) -> Figures:
    rows = [row for row in record.of("base", "", BACKWARD) if row.samples and row.about.get("jitted", True)]
    calls = {row.contender: pays_after(record, row) for row in rows if row.contender != BASELINE}
    if not calls:
        raise NotMeasuredError("base")
    at = sorted((units.whole(value), name) for name, value in calls.items() if value is not None)
    never = sum(value is None for value in calls.values())
    said = units.listed([f"`{name}` {number:,}" for number, name in at])
    return {"calls": said, "never": never, "first": at[0][1] if at else "", "most": at[-1][0] if at else 0}


FINDINGS = load(
    Path(__file__).with_suffix(".md"),
    {
        whole_loop: lambda f: f["eager_times"] > 1 and f["cell_times"] > 1,
        python_unrolling: lambda f: (
            f["large"].compiled > 2 * f["scan"].compiled and f["large"]["instructions"] > 5 * f["scan"]["instructions"]
        ),
        length_is_free: lambda f: (
            abs(f["long"]["instructions"] / f["short"]["instructions"] - 1) < NOISE
            and f["long"].compiled < 1.5 * f["short"].compiled
        ),
        by_hand: lambda f: f["own"]["backward dot in a step"] < f["auto"]["backward dot in a step"] and f["times"] < 1,
        hoisting: lambda f: f["one_forward"] > 1 + NOISE and max(f["one"], f["four"]) < 1 + NOISE,
        unroll: lambda f: f["both"] > 1 - NOISE and f["compiled"] > 1,
        fori: lambda f: bool(f["error"]) and f["trips"] == -1,
        remat: lambda f: f["chunks"]["temporary"] < 0.25 * f["plain"]["temporary"],
        donation: lambda f: f["given"]["aliased"] > 0 == f["kept"]["aliased"] and abs(f["times"] - 1) < 3 * NOISE,
        precision: lambda f: f["native"] > max(f["scan"], f["scan_kernel"]),
        spreading: lambda f: (
            f["inside"] > 0 == f["inside_mapped"]
            and f["mapped"] > f["sharded"] * (1 - NOISE)
            and f["mapped_own"] > f["sharded_own"] * (1 - NOISE)
        ),
        buckets: lambda f: (
            f["longest"]["compilations"] < f["bucket"]["compilations"] < f["exact"]["compilations"]
            and f["bucket"]["first call"] < f["exact"]["first call"]
        ),
        depth: lambda f: (
            f["deep"].compiled / f["flat"].compiled < 0.6 * f["deep"].L / f["flat"].L
            and f["over"].compiled < f["deep"].compiled
            and f["over_time"] > 1 - NOISE
        ),
        cost_analysis: lambda f: f["products"] > 0.5 * f["scan"].T * f["xla"] and f["scan"]["code"] == 0,
        paying: lambda f: f["first"] == "native" and f["most"] < DOZENS,
    },
)
