"""For each finding, the figures of a record as text, and whether they support it."""

from statistics import median
from typing import Any

from benchmarks.jit import units
from benchmarks.jit.programs import BOTH, FORWARD
from benchmarks.jit.reading import Evidence, NotMeasuredError, Rows, loops_of
from benchmarks.jit.rows import Row, find, timed
from benchmarks.jit.training import STEP

DOZENS = 100  # more calls than "some dozen"
NOISE = 0.05  # times that differ by less count as equal


def _ms(row: Row) -> str:
    return units.seconds(row.timing.median)


def whole_loop(rows: Rows) -> Evidence:
    eager, cell, scan = (rows.get("base", name) for name in ("eager", "jitted cell", "scan"))
    text = (
        f"Forward and backward take {_ms(eager)} op by op ({eager.compilations} small compilations), {_ms(cell)} as "
        f"a jitted cell in a Python loop, and {_ms(scan)} as one jitted `scan`: "
        f"{units.times(rows.time(eager, scan))} and {units.times(rows.time(cell, scan))} as long as the scan."
    )
    return Evidence(text, rows.time(eager, cell) > 1 and rows.time(cell, scan) > 1)


def python_unrolling(rows: Rows) -> Evidence:
    small, large = rows.ends("steps", "unrolled", "steps") if _several(rows, "unrolled") else (None, None)
    if large is None:
        large = rows.get("steps", "unrolled")
    scan = rows.get("steps", "scan", steps=large.steps)
    grown = ""
    if small is not None and small.instructions and large.instructions:
        grown = (
            f" From T={small.steps} to {large.steps} its instructions grew "
            f"{units.times(large.instructions / small.instructions)}, the seconds until it is compiled "
            f"{units.times(large.stages / small.stages)}."
        )
    text = (
        f"At T={large.steps}, forward and backward: {units.count(large.instructions)} HLO instructions against "
        f"{units.count(scan.instructions)}, {units.seconds(large.stages)} until compiled against "
        f"{units.seconds(scan.stages)}, an executable of {units.size(large.executable_bytes)} against "
        f"{units.size(scan.executable_bytes)}; a call takes {units.times(rows.time(large, scan))} as long. A time "
        f"step, there and back, has {_multiplications(large.opcodes, large.steps)} multiplications against "
        f"{sum(_multiplications(loop['counts'], 1) for loop in scan.loops)}.{grown}"
    )
    return Evidence(text, large.stages > 2 * scan.stages and (large.instructions or 0) > 5 * (scan.instructions or 0))


def _multiplications(counts: dict[str, int], steps: int) -> int:
    """Element-wise multiplications per time step."""
    return round(counts.get("multiply", 0) / steps)


def _several(rows: Rows, variant: str) -> bool:
    return len(timed(rows.all, "steps", variant, BOTH)) > 1


def length_is_free(rows: Rows) -> Evidence:
    short, long = rows.ends("steps", "scan", "steps")
    text = (
        f"`scan` at T={short.steps} and T={long.steps}: {units.count(short.instructions)} and "
        f"{units.count(long.instructions)} instructions, {units.count(short.equations)} and "
        f"{units.count(long.equations)} equations, {units.seconds(short.stages)} and {units.seconds(long.stages)} "
        "until compiled."
    )
    same = abs((long.instructions or 0) / (short.instructions or 1) - 1) < NOISE
    return Evidence(text, same and long.stages < 1.5 * short.stages)


def unroll(rows: Rows) -> Evidence:
    plain, four = rows.get("base", "scan"), rows.get("base", "scan, unroll=4")
    times = rows.time(four, plain)
    bodies = [(loops_of(row)[-1]["trips"], loops_of(row)[-1]["kernels"]) for row in (plain, four)]
    forward = rows.time(rows.get("base", "scan, unroll=4", FORWARD), rows.get("base", "scan", FORWARD))
    text = (
        f"`unroll=4` takes {units.times(forward)} as long forward and {units.times(times)} with the way back, and "
        f"{units.times(four.stages / plain.stages)} as long to compile. The loop back runs {bodies[0][0]} times "
        f"{bodies[0][1]} kernels without and {bodies[1][0]} times {bodies[1][1]} with: "
        f"{units.count(bodies[0][0] * bodies[0][1])} against {units.count(bodies[1][0] * bodies[1][1])} launches a "
        f"call. But a time step back has {loops_of(four)[-1]['counts'].get('multiply', 0) / 4:.0f} element-wise "
        f"multiplications against {loops_of(plain)[-1]['counts'].get('multiply', 0)}."
    )
    return Evidence(text, times > 1 - NOISE and four.stages > plain.stages)


def by_hand(rows: Rows) -> Evidence:
    auto, own = rows.get("base", "scan"), rows.get("base", "scan kernel")
    there, back = ([loops_of(row)[at] for row in (auto, own)] for at in (0, -1))

    def of(loops: list[dict[str, Any]], opcode: str) -> str:
        return " and ".join(str(loop["counts"].get(opcode, 0)) for loop in loops)

    text = (
        f"Autodiff of `scan` and the derivatives written by hand, a step: the loop back has {of(back, 'dot')} matrix "
        f"products and {' and '.join(str(loop['kernels']) for loop in back)} kernels, and reads "
        f"{of(back, 'dynamic-slice')} slices; the loop there writes {of(there, 'dynamic-update-slice')} arrays (T, "
        f"B, .), outputs included. A call takes {_ms(auto)} and {_ms(own)}: by hand "
        f"{units.times(rows.time(own, auto))} as long. Temporary memory is {units.size(auto.temporary_bytes)} and "
        f"{units.size(own.temporary_bytes)}."
    )
    fewer = back[1]["counts"].get("dot", 0) < back[0]["counts"].get("dot", 0)
    return Evidence(text, fewer and rows.time(own, auto) < 1)


def hoisting(rows: Rows) -> Evidence:
    inside, one, four = (
        rows.get("base", name, FORWARD) for name in ("scan", "scan, hoisted", "scan, hoisted, 4 arrays")
    )
    both = [rows.get("base", row.variant) for row in (inside, one, four)]
    text = (
        f"Forward, the projection hoisted as one array takes {units.times(rows.time(one, inside))} as long as in the "
        f"loop, as four arrays {units.times(rows.time(four, inside))}; with the way back "
        f"{units.times(rows.time(both[1], both[0]))} and {units.times(rows.time(both[2], both[0]))}. A step forward "
        f"has {loops_of(one)[0]['counts'].get('dot', 0)} product in place of "
        f"{loops_of(inside)[0]['counts'].get('dot', 0)} and {loops_of(one)[0]['counts'].get('dynamic-slice', 0)} and "
        f"{loops_of(four)[0]['counts'].get('dynamic-slice', 0)} dynamic slices; temporary memory is "
        f"{units.size(one.temporary_bytes)} and {units.size(four.temporary_bytes)} in place of "
        f"{units.size(inside.temporary_bytes)}."
    )
    forward = rows.time(one, inside) > 1 + NOISE and rows.time(four, one) < 1 + NOISE
    training = max(rows.time(both[1], both[0]), rows.time(both[2], both[0])) < 1 + NOISE
    return Evidence(text, forward and training and (one.temporary_bytes or 0) > 10 * (inside.temporary_bytes or 1))


def fori(rows: Rows) -> Evidence:
    loop = next((row for row in rows.all if (row.sweep, row.variant, row.measure) == ("base", "fori_loop", BOTH)), None)
    if loop is None:
        raise NotMeasuredError("fori_loop")
    forward, scan = (rows.get("base", name, FORWARD) for name in ("fori_loop", "scan"))
    reason = loop.reason.rstrip(".")
    text = (
        f"Asked for the gradient of a `fori_loop` whose end the device decides, JAX raises {reason}. Forward it "
        f"takes {units.times(rows.time(forward, scan))} as long as `scan`, in {loops_of(forward)[0]['kernels']} "
        f"kernels a step against {loops_of(scan)[0]['kernels']}; the compiler knows no number of trips for it"
    )
    static = find(rows.all, "base", "fori_loop, static", BOTH)
    plain = rows.get("base", "scan")
    if static:
        text += (
            f". With a number known when tracing it is a scan of {loops_of(static)[0]['trips']} trips and has "
            f"gradients, in {units.times(rows.time(static, plain))} the time of `scan` written as such"
        )
    return Evidence(text + ".", bool(loop.not_offered) and loops_of(forward)[0]["trips"] is None)


def remat(rows: Rows) -> Evidence:
    longest = max((row.steps for row in timed(rows.all, "steps", "scan", BOTH)), default=0)
    plain, steps, chunks, own, own_chunks = (
        rows.get("steps", name, steps=longest)
        for name in ("scan", "scan, remat steps", "scan, remat chunks", "scan kernel", 'scan kernel, remat="chunks"')
    )
    parts = [
        f"`{row.variant}` {units.size(row.temporary_bytes)} in {units.times(rows.time(row, than))} the time"
        for row, than in ((steps, plain), (chunks, plain), (own_chunks, own))
    ]
    text = (
        f"At T={longest} temporary memory is {units.size(plain.temporary_bytes)} for `scan` and "
        f"{units.size(own.temporary_bytes)} for `scan kernel`. With remat: {units.listed(parts)}. Matrix products "
        f"are {units.times((chunks.products or 0) / (plain.products or 1))} as many FLOPs."
    )
    return Evidence(text, (chunks.temporary_bytes or 0) < 0.25 * (plain.temporary_bytes or 0))


def donation(rows: Rows) -> Evidence:
    pairs = [
        (rows.get("base", name, STEP), rows.get("base", f"{name}, donated", STEP)) for name in ("scan", "scan kernel")
    ]
    (kept, given), *_ = pairs
    parts = [f"{units.times(rows.time(after, before))} for `{before.variant}`" for before, after in pairs]
    text = (
        f"Donated, {units.size(given.aliased_bytes)} of the {units.size(given.output_bytes)} of results, which are "
        "weights, moments and the gradient of the inputs, take over the memory of arguments (without: "
        f"{units.size(kept.aliased_bytes)}). A step takes {units.listed(parts)} the time."
    )
    same = all(abs(rows.time(after, before) - 1) < 3 * NOISE for before, after in pairs)
    return Evidence(text, bool(given.aliased_bytes) and not kept.aliased_bytes and same)


def precision(rows: Rows) -> Evidence:
    largest = max((row.hidden_size for row in timed(rows.all, "precision", "scan", BOTH)), default=0)
    parts, speeds = [], {}
    for name in ("scan", "scan kernel", "native"):
        if name == "native" and not find(rows.all, "precision", name, BOTH):
            continue
        full, half = (rows.get("precision", each, hidden_size=largest) for each in (name, f"{name}, bfloat16"))
        speeds[name] = rows.time(full, half)
        converts = half.opcodes.get("convert", 0)
        parts.append(f"`{name}` {speeds[name]:.2f} times as fast ({converts} `convert` in its HLO)")
    text = f"At H={largest}, forward and backward, bfloat16 against float32: {units.listed(parts)}."
    return Evidence(text, "native" in speeds and speeds["native"] > max(speeds["scan"], speeds["scan kernel"]))


COLLECTIVES = ("all-reduce", "all-gather", "collective-permute", "all-to-all", "reduce-scatter")


def spreading(rows: Rows) -> Evidence:
    parts, holds = [], True
    for name in ("scan", "scan kernel"):
        one, sharded, mapped = (rows.get("devices", name + way) for way in ("", ", sharded inputs", ", shard_map"))
        inside, mapped_inside = ([_collectives(loop["counts"]) for loop in row.loops] for row in (sharded, mapped))
        parts.append(
            f"`{name}`: sharded inputs {1 / rows.time(sharded, one):.2f} times as fast as one device, with "
            f"{units.listed([str(each) for each in inside])} collectives in a step of its loops and "
            f"{_collectives(sharded.opcodes) - sum(inside)} outside; shard_map {1 / rows.time(mapped, one):.2f} "
            f"times, with {units.listed([str(each) for each in mapped_inside])}, and "
            f"{_collectives(mapped.opcodes) - sum(mapped_inside)}"
        )
        holds &= sum(inside) > 0 and sum(mapped_inside) == 0 and rows.time(mapped, sharded) < 1 + NOISE
    count = rows.get("devices", "scan").devices
    return Evidence(f"On {count} devices of the host, forward and backward: {'; '.join(parts)}.", holds)


def _collectives(counts: dict[str, int]) -> int:
    """The number of collectives."""
    return sum(counts.get(name, 0) for name in COLLECTIVES)


def buckets(rows: Rows) -> Evidence:
    exact, bucket, longest = (rows.get("shapes", name) for name in ("exact", "buckets", "longest"))
    text = (
        f"Ten lengths, {exact.shape.split(',')[1]}, forward and backward. Exact: {exact.compilations} compilations, "
        f"the first pass {units.seconds(exact.first[0])}, later ones {_ms(exact)}. Padded to powers of two with "
        f"`lengths`: {bucket.compilations}, {units.seconds(bucket.first[0])} and {_ms(bucket)}; to the longest: "
        f"{longest.compilations}, {units.seconds(longest.first[0])} and {_ms(longest)}."
    )
    slower = median(bucket.seconds) - median(exact.seconds)
    if slower > 0:
        text += f" Exact lengths are ahead after {(exact.first[0] - bucket.first[0]) / slower:,.0f} passes."
    loop = find(rows.all, "shapes", "fori_loop", FORWARD)
    if loop:
        text += (
            " Forward only, `fori_loop` with its end as an argument serves all lengths without padding's work by "
            f"{loop.compilations} compilation, in {_ms(loop)} a pass against "
            f"{_ms(rows.get('shapes', 'exact', FORWARD))} exact."
        )
    fewer = longest.compilations < bucket.compilations < exact.compilations
    return Evidence(text, fewer and bucket.first[0] < exact.first[0])


def depth(rows: Rows) -> Evidence:
    flat, deep = rows.ends("layers", "scan", "layers")
    names = ("scan over layers", "all layers in a step")
    over, all_in_one = (rows.get("layers", name, layers=deep.layers) for name in names)
    grown, more = deep.stages / flat.stages, deep.layers / flat.layers
    text = (
        f"From {flat.layers} to {deep.layers} layers, forward and backward, one after the other, instructions grow "
        f"from {units.count(flat.instructions)} to {units.count(deep.instructions)} and the seconds until compiled "
        f"from {units.seconds(flat.stages)} to {units.seconds(deep.stages)}. At {deep.layers}, a scan over stacked "
        f"layers has {units.count(over.instructions)} instructions and takes {units.seconds(over.stages)}; one scan "
        f"over time with all layers in a step has {units.count(all_in_one.instructions)} and takes "
        f"{units.seconds(all_in_one.stages)}. A call takes {_ms(deep)}, {_ms(over)} and {_ms(all_in_one)}."
    )
    return Evidence(text, grown < 0.6 * more and over.stages < deep.stages and rows.time(over, deep) > 1 - NOISE)


def cost_analysis(rows: Rows) -> Evidence:
    scan, own = rows.get("base", "scan"), rows.get("base", "scan kernel")
    parts = [f"{units.mega(row.xla_flops)} for `{row.variant}`" for row in (scan, own)]
    text = (
        f"The matrix products of forward and backward are {units.mega(scan.products)} FLOPs by the jaxpr, loops "
        f"counted out. XLA's cost analysis says {units.listed(parts)}, which does the same products, and for its "
        f"size of code it says {units.count(scan.code_bytes)} bytes, while the serialised executable has "
        f"{units.size(scan.executable_bytes)}."
    )
    return Evidence(text, (scan.products or 0) > 0.5 * scan.steps * (scan.xla_flops or 0) and scan.code_bytes == 0)


def paying(rows: Rows) -> Evidence:
    measured = [row for row in rows.all if (row.sweep, row.measure) == ("base", BOTH) and row.seconds and row.jitted]
    pays = {row.variant: row.pays_after for row in measured}
    if not pays:
        raise NotMeasuredError("base")
    at = {name: calls for name, calls in pays.items() if calls is not None}
    never = [f"`{name}`" for name, calls in pays.items() if calls is None]
    text = "Forward and backward at the base size, calls until compiling is made up for against eager PyTorch: "
    text += units.listed(
        [f"`{name}` {units.whole_calls(calls):,}" for name, calls in sorted(at.items(), key=lambda each: each[1])]
        or ["none"]
    )
    text += f"; never: {units.listed(never)}." if never else "."
    return Evidence(text, "native" in at and at["native"] == min(at.values()) and max(at.values()) < DOZENS)
