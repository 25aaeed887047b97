"""What a record of `jit` shows: a rule, its reason, and a sentence whose figures come from the record.

The reasons come from the optimised HLO of jaxlib 0.10.2 for CPU (`python -m benchmarks jit --hlo FOLDER` writes it).
"""

from collections.abc import Mapping
from typing import Any

from benchmarks.core import tables as units
from benchmarks.core.compiling import STAGES
from benchmarks.core.contenders import BASELINE
from benchmarks.core.contenders.base import BACKWARD, FORWARD, TRAINING
from benchmarks.core.findings import Figure, Finding, NotMeasuredError
from benchmarks.core.record import Record, Row

DOZENS = 100  # calls that count as a few dozen
NOISE = 0.05  # relative difference below which two times count as equal
PLACES = {"T": 1, "H": 3, "L": 4}  # of a size in the name of a case
Figures = Mapping[str, Any]


class Look:
    """Rows of a record by sweep, variant and measure; raises `NotMeasuredError` where there is none."""

    def __init__(self, record: Record):
        self.record = record

    def call(self, part: str, who: str, measure: str = BACKWARD, **at: int) -> Row:
        """The row of the calls, at the given sizes; at the largest, of several."""
        found = [
            row for row in self.all(part, who, measure) if all(size(row, name) == value for name, value in at.items())
        ]
        if not found:
            raise NotMeasuredError(f"{part}, {who}, {measure}")
        return found[-1]

    def all(self, part: str, who: str, measure: str = BACKWARD) -> list[Row]:
        """By size, from the smallest."""
        found = [row for row in self.record.of(part, "", measure, who) if row.samples]
        return sorted(found, key=lambda row: [int(each) for each in row.case.replace("..", ",").split(",")])

    def ends(self, part: str, who: str) -> tuple[Row, Row]:
        found = self.all(part, who)
        if len(found) < 2:
            raise NotMeasuredError(f"{part}, {who}")
        return found[0], found[-1]

    def figure(self, row: Row, name: str) -> Figure:
        found = self.record.row(row.part, row.case, f"{row.measure}: {name}", row.contender)
        if found is None:
            raise NotMeasuredError(f"{row.part}, {row.contender}, {name}")
        return Figure(found.value, lambda value: units.figure(value, found.unit))

    def loops(self, row: Row, name: str) -> list[int]:
        """A count in the step of each loop, forward loops first."""
        found = self.record.row(row.part, row.case, f"{row.measure}: {name}", row.contender)
        if found is None:
            raise NotMeasuredError(f"{row.part}, {row.contender}: no loop")
        return found.samples

    def compiled(self, row: Row) -> Figure:
        """Seconds until it is compiled, without a call."""
        return Figure(sum(self.figure(row, stage) for stage in STAGES), units.seconds)

    def time(self, row: Row, other: Row) -> Figure:
        """The time of `row` relative to `other`; by round if they were sampled in turns."""
        if (row.part, row.case, row.measure) == (other.part, other.case, other.measure):
            found = self.record.ratio(other, row.contender)
            assert found is not None
            return Figure(found.median, units.times)
        return Figure(row.value / other.value, units.times)


def size(row: Row, name: str) -> int:
    return int(row.case.split(",")[PLACES[name]])


def seconds(row: Row) -> Figure:
    return Figure(row.value, units.seconds)


def ratio(one: float, other: float) -> Figure:
    return Figure(one / other, units.times)


def pays_after(record: Record, row: Row) -> float | None:
    """Calls after which compiling has paid off against PyTorch; None: never."""
    look, torch = Look(record), record.row(row.part, row.case, row.measure, BASELINE)
    try:
        cost = look.compiled(row) if row.about.get("jitted", True) else look.figure(row, "first call") - row.value
    except NotMeasuredError:
        cost = look.figure(row, "first call") - row.value
    gain = torch.value - row.value if torch else 0.0
    return max(0.0, cost) / gain if gain > 0 and row.contender != BASELINE else None


def headline(record: Record) -> Figures:
    look = Look(record)
    torch, scan, own, native = (look.call("base", who) for who in (BASELINE, "scan", "scan kernel", "native"))
    return {
        "torch": seconds(torch), "scan": seconds(scan), "own": seconds(own), "native": seconds(native),
        "costs": look.time(scan, torch), "kernel": look.time(scan, own), "wins": look.time(torch, native),
        "behind": look.time(own, torch),
    }  # fmt: skip


def whole_loop(record: Record) -> Figures:
    look = Look(record)
    eager, cell, scan = (look.call("base", who) for who in ("eager", "jitted cell", "scan"))
    return {
        "eager": seconds(eager), "cell": seconds(cell), "scan": seconds(scan), "small": look.figure(eager, "compilations"),
        "eager_times": look.time(eager, scan), "cell_times": look.time(cell, scan),
    }  # fmt: skip


def python_unrolling(record: Record) -> Figures:
    look = Look(record)
    small, large = look.ends("steps", "unrolled")
    scan = look.call("steps", "scan", T=size(large, "T"))
    instructions = [look.figure(row, "instructions") for row in (small, large, scan)]
    compiled = [look.compiled(row) for row in (small, large, scan)]
    return {
        "small": size(small, "T"), "T": size(large, "T"), "instructions": instructions[1], "instructions_scan": instructions[2],
        "compiled": compiled[1], "compiled_scan": compiled[2], "executable": look.figure(large, "executable"),
        "executable_scan": look.figure(scan, "executable"), "call": look.time(large, scan),
        "grown": ratio(instructions[1], instructions[0]), "slower": ratio(compiled[1], compiled[0]),
    }  # fmt: skip


def length_is_free(record: Record) -> Figures:
    look = Look(record)
    short, long = look.ends("steps", "scan")
    return {
        "short": size(short, "T"), "long": size(long, "T"), "compiled": look.compiled(short), "compiled_long": look.compiled(long),
        "instructions": look.figure(short, "instructions"), "instructions_long": look.figure(long, "instructions"),
    }  # fmt: skip


def unroll(record: Record) -> Figures:
    look = Look(record)
    plain, four = look.call("base", "scan"), look.call("base", "scan, unroll=4")
    trips, kernels, multiply = ([look.loops(row, name)[-1] for row in (plain, four)] for name in (
        "trips", "kernels in a step", "multiply in a step"
    ))  # fmt: skip
    return {
        "forward": look.time(look.call("base", "scan, unroll=4", FORWARD), look.call("base", "scan", FORWARD)),
        "both": look.time(four, plain), "compiled": ratio(look.compiled(four), look.compiled(plain)),
        "launches": trips[0] * kernels[0], "launches_four": trips[1] * kernels[1],
        "multiply": multiply[0], "multiply_four": multiply[1] // 4,
    }  # fmt: skip


def by_hand(record: Record) -> Figures:
    look = Look(record)
    auto, own = look.call("base", "scan"), look.call("base", "scan kernel")
    counts = {
        f"{name}{end}": look.loops(row, f"{what} in a step")[at]
        for end, row in (("", auto), ("_own", own))
        for name, what, at in (
            ("dots", "dot", -1), ("kernels", "kernels", -1), ("reads", "dynamic-slice", -1), ("writes", "dynamic-update-slice", 0)
        )
    }  # fmt: skip
    return counts | {"auto": seconds(auto), "own": seconds(own), "times": look.time(own, auto)}


def hoisting(record: Record) -> Figures:
    look, found = Look(record), {}
    for end, measure in (("", BACKWARD), ("_forward", FORWARD)):
        inside, one, four = (
            look.call("base", who, measure) for who in ("scan", "scan, hoisted", "scan, hoisted, 4 arrays")
        )
        found |= {f"one{end}": look.time(one, inside), f"four{end}": look.time(four, inside)}
        found |= {f"memory{end}": look.figure(inside, "temporary"), f"memory_one{end}": look.figure(one, "temporary")}
    return found


def fori(record: Record) -> Figures:
    look = Look(record)
    refused = [row.status for row in record.of("base", "", BACKWARD, "fori_loop") if row.status]
    forward, scan = (look.call("base", who, FORWARD) for who in ("fori_loop", "scan"))
    static, plain = (look.call("base", who) for who in ("fori_loop, static", "scan"))
    return {
        "refused": bool(refused), "error": (refused or ["none"])[0].partition("ValueError: ")[2].partition(" for ")[0],
        "forward": look.time(forward, scan), "static": look.time(static, plain), "trips": look.loops(forward, "trips")[0],
    }  # fmt: skip


def remat(record: Record) -> Figures:
    look = Look(record)
    plain, steps, chunks, own, own_chunks = (
        look.call("steps", who)
        for who in ("scan", "scan, remat steps", "scan, remat chunks", "scan kernel", 'scan kernel, remat="chunks"')
    )
    names = {"plain": plain, "steps": steps, "chunks": chunks, "own": own, "own_chunks": own_chunks}
    found: dict[str, Any] = {name: look.figure(row, "temporary") for name, row in names.items()}
    times = {"steps_time": (steps, plain), "chunks_time": (chunks, plain), "own_time": (own_chunks, own)}
    found |= {name: look.time(*pair) for name, pair in times.items()}
    return found | {
        "T": size(plain, "T"),
        "flops": ratio(look.figure(chunks, "products"), look.figure(plain, "products")),
    }


def donation(record: Record) -> Figures:
    look = Look(record)
    kept, given = (look.call("base", who, TRAINING) for who in ("scan", "scan, donated"))
    own = look.time(look.call("base", "scan kernel, donated", TRAINING), look.call("base", "scan kernel", TRAINING))
    return {
        "aliased": look.figure(given, "aliased"), "outputs": look.figure(given, "outputs"), "kept": look.figure(kept, "aliased"),
        "times": look.time(given, kept), "own": own,
    }  # fmt: skip


def precision(record: Record) -> Figures:
    look, found = Look(record), {}
    for name in ("scan", "scan kernel", "native"):
        full, half = (look.call("precision", who) for who in (name, f"{name}, bfloat16"))
        found[name.replace(" ", "_")] = look.time(full, half)
        found["H"] = size(full, "H")
    return found


def spreading(record: Record) -> Figures:
    look, found = Look(record), {}
    for end, name in (("", "scan"), ("_own", "scan kernel")):
        one, sharded, mapped = (look.call("devices", name + way) for way in ("", ", sharded inputs", ", shard_map"))
        found |= {f"sharded{end}": look.time(one, sharded), f"mapped{end}": look.time(one, mapped)}
        found |= {f"inside{end}": sum(look.loops(sharded, "collectives in a step"))}
        found |= {f"inside_mapped{end}": sum(look.loops(mapped, "collectives in a step"))}
        found["count"] = one.about["devices"]
    return found


def buckets(record: Record) -> Figures:
    look, found = Look(record), {}
    for name in ("exact", "buckets", "longest"):
        row = look.call("shapes", name)
        found |= {name: look.figure(row, "compilations"), f"{name}_first": look.figure(row, "first call")}
        found |= {f"{name}_pass": seconds(row)}
    slower = found["buckets_pass"] - found["exact_pass"]
    passes = (found["exact_first"] - found["buckets_first"]) / slower if slower > 0 else float("inf")
    return found | {"passes": Figure(passes, lambda value: f"{value:,.0f}")}


def depth(record: Record) -> Figures:
    look = Look(record)
    flat, deep = look.ends("layers", "scan")
    over, one = (look.call("layers", who, L=size(deep, "L")) for who in ("scan over layers", "all layers in a step"))
    names = {"flat": flat, "deep": deep, "over": over, "one": one}
    found: dict[str, Any] = {"few": size(flat, "L"), "many": size(deep, "L")}
    for name, row in names.items():
        found |= {
            name: look.compiled(row),
            f"{name}_code": look.figure(row, "instructions"),
            f"{name}_call": seconds(row),
        }
    return found | {"over_time": look.time(over, deep)}


def cost_analysis(record: Record) -> Figures:
    look = Look(record)
    scan, own = look.call("base", "scan"), look.call("base", "scan kernel")
    flops = lambda value: f"{value / 1e6:,.1f} MFLOP"  # noqa: E731
    return {
        "products": Figure(look.figure(scan, "products"), flops), "xla": Figure(look.figure(scan, "XLA's FLOPs"), flops),
        "xla_own": Figure(look.figure(own, "XLA's FLOPs"), flops), "code": look.figure(scan, "code"),
        "executable": look.figure(scan, "executable"), "T": size(scan, "T"),
    }  # fmt: skip


def paying(record: Record) -> Figures:
    rows = [row for row in record.of("base", "", BACKWARD) if row.samples and row.about.get("jitted", True)]
    calls = {row.contender: pays_after(record, row) for row in rows if row.contender != BASELINE}
    if not calls:
        raise NotMeasuredError("base")
    at = sorted((units.whole(value), name) for name, value in calls.items() if value is not None)
    never = [f"`{name}`" for name, value in calls.items() if value is None]
    said = [f"`{name}` {number:,}" for number, name in at]
    return {
        "calls": units.listed(said),
        "never": units.listed(never),
        "first": at[0][1] if at else "",
        "most": at[-1][0] if at else 0,
    }


FINDINGS = (
    Finding(
        "Compile the whole loop, not its body, and never leave a loop uncompiled.",
        "Without jit, Python dispatches about fifteen operations a step, and more for the gradient. A jitted cell leaves one "
        "dispatch a step, but Python still assembles its gradient.",
        "Forward and backward take {eager} without jit ({small} small compilations), {cell} as a jitted cell in a Python loop, "
        "{scan} as one jitted `scan`: {eager_times} and {cell_times} as long.",
        whole_loop, lambda f: f["eager_times"] > 1 and f["cell_times"] > 1,
    ),
    Finding(
        "Never unroll the loop in Python under jit; use `lax.scan`.",
        "Tracing writes out every step, and fusion recomputes the chain of the cell state's gradient in every kernel that uses "
        "it, so the program grows faster than T.",
        "At T={T}: {instructions} HLO instructions against {instructions_scan}, {compiled} to compile against {compiled_scan}, an "
        "executable of {executable} against {executable_scan}; a call takes {call} as long. From T={small} instructions grew "
        "{grown}, compile time {slower}.",
        python_unrolling, lambda f: f["compiled"] > 2 * f["compiled_scan"] and f["instructions"] > 5 * f["instructions_scan"],
    ),
    Finding(
        "Do not shorten sequences to save compile time.",
        "In HLO a scan is a `while` with one computation for its body; its gradient is a second one.",
        "`scan` at T={short} and T={long}: {instructions} and {instructions_long} instructions, {compiled} and {compiled_long} to "
        "compile.",
        length_is_free,
        lambda f: abs(f["instructions_long"] / f["instructions"] - 1) < NOISE and f["compiled_long"] < 1.5 * f["compiled"],
    ),
    Finding(
        "Write the derivative of the recurrence by hand, or use a kernel that does.",
        "Autodiff transposes the whole step: the backward loop then contains the products for the gradients of both weights and "
        "of the inputs, and adds to running sums at every step. By hand these are single products after the loop "
        "([backward.md](backward.md)).",
        "A step of the backward loop has {dots} matrix products with autodiff and {dots_own} by hand, {kernels} and {kernels_own} "
        "kernels, reads {reads} and {reads_own} slices; the forward loop writes {writes} and {writes_own} arrays. A call takes "
        "{auto} and {own}: {times} as long.",
        by_hand, lambda f: f["dots_own"] < f["dots"] and f["times"] < 1,
    ),
    Finding(
        "Hoist the input projection for training; for forward alone as four arrays, or not at all.",
        "Hoisting removes a product from the step, but the projection of all steps is written to memory and read back. From one "
        "array (T, B, 4H) every kernel of a step takes a slice by time and then by gate; four arrays are read in order.",
        "Forward, hoisted as one array takes {one_forward} as long as in the loop, as four arrays {four_forward}; with gradients "
        "{one} and {four}. Temporary memory forward grows from {memory_forward} to {memory_one_forward}.",
        hoisting, lambda f: f["one_forward"] > 1 + NOISE and max(f["one"], f["four"]) < 1 + NOISE,
    ),
    Finding(
        "Leave `unroll` at 1 on a CPU; measure it on an accelerator, where launches cost more.",
        "Unrolled steps depend on each other, so their products still run one by one; fusion recomputes more the more steps there "
        "are.",
        "`unroll=4` takes {forward} as long forward and {both} with gradients, {compiled} as long to compile: {launches_four} "
        "launches a call instead of {launches}, but {multiply_four} multiplications a backward step instead of {multiply}.",
        unroll, lambda f: f["both"] > 1 - NOISE and f["compiled"] > 1,
    ),
    Finding(
        "Use `scan`, not `fori_loop`, which is a scan in disguise or has no gradient.",
        "With a number of steps known when tracing JAX makes a scan of it that carries the outputs; otherwise a `while`, whose "
        "steps reverse mode cannot store.",
        "With an end that is an array, JAX says “{error}”; forward it takes {forward} as long as `scan`. With a known end it has "
        "gradients, in {static} the time.",
        fori, lambda f: f["refused"] and f["trips"] == -1,
    ),
    Finding(
        "If memory is short, rematerialise in chunks of about √T steps.",
        "`jax.checkpoint` around a step keeps h and c of every step; around a chunk, one state a chunk. Both run the forward "
        "products once more, but less memory is written, and what is read back is in cache.",
        "At T={T} temporary memory is {plain} for `scan` and {own} for `scan kernel`; with remat of steps {steps} in {steps_time} "
        "the time, of chunks {chunks} in {chunks_time}, of the kernel in chunks {own_chunks} in {own_time}. Products are {flops} "
        "as many.",
        remat, lambda f: f["chunks"] < 0.25 * f["plain"],
    ),
    Finding(
        "Donate the training state for memory, not for speed.",
        "The executable writes new weights and moments over the old ones; otherwise the program is the same.",
        "{aliased} of the {outputs} of results reuse the memory of arguments, without donation {kept}; a step takes {times} "
        "(`scan`) and {own} (`scan kernel`) as long.",
        donation, lambda f: f["aliased"] > 0 and f["kept"] == 0 and abs(f["times"] - 1) < 3 * NOISE,
    ),
    Finding(
        "bfloat16 pays on a CPU only with bfloat16 products: use it with `native`, or not at all.",
        "In XLA's program the state stays in float32, so values are converted at every step, for products that are small.",
        "At H={H}, with gradients, bfloat16 is {scan} as fast as float32 with `scan`, {scan_kernel} with `scan kernel`, {native} "
        "with `native`.",
        precision, lambda f: f["native"] > max(f["scan"], f["scan_kernel"]),
    ),
    Finding(
        "Spread rows with `shard_map` around the layer, not by sharding the inputs alone.",
        "XLA:CPU runs the small products of a step on one thread. Under `shard_map` each device runs its own loop, and gradients "
        "are summed once after it. With sharded inputs the partitioner replicates what a loop carries, and devices wait for each "
        "other at every step.",
        "On {count} devices of the host, with gradients: `scan` with sharded inputs is {sharded} as fast as on one, with {inside} "
        "collectives in the steps of its loops, under `shard_map` {mapped}, with {inside_mapped}; `scan kernel` {sharded_own} and "
        "{mapped_own}.",
        spreading,
        lambda f: f["inside"] > 0 == f["inside_mapped"] and f["mapped"] > f["sharded"] * (1 - NOISE)
        and f["mapped_own"] > f["sharded_own"] * (1 - NOISE),
    ),
    Finding(
        "Pad to a few lengths, and pass `lengths`.",
        "Every new shape is a new program. Padded steps are computed and then masked, so results are those of the exact lengths; "
        "over many passes padding costs more than compiling every length once.",
        "Ten lengths: exact {exact} compilations, the first pass {exact_first}, later ones {exact_pass}; padded to powers of two "
        "{buckets}, {buckets_first}, {buckets_pass}; to the longest {longest}, {longest_first}, {longest_pass}. Exact lengths are "
        "ahead of the powers of two after {passes} passes.",
        buckets, lambda f: f["longest"] < f["buckets"] < f["exact"] and f["buckets_first"] < f["exact_first"],
    ),
    Finding(
        "Write deep stacks layer after layer.",
        "Instructions grow with the layers, compile time far less. A scan over stacked layers compiles faster and its calls are "
        "no faster: it is for tens of layers that are compiled often.",
        "From {few} to {many} layers instructions grow from {flat_code} to {deep_code}, compile time from {flat} to {deep}. At "
        "{many}, a scan over layers takes {over} to compile, all layers in one step {one}; calls take {deep_call}, {over_call} and "
        "{one_call}.",
        depth, lambda f: f["deep"] / f["flat"] < 0.6 * f["many"] / f["few"] and f["over"] < f["deep"] and f["over_time"] > 1 - NOISE,
    ),
    Finding(
        "Do not compare loops by XLA's cost analysis.",
        "It counts the body of a loop once, however often it runs, and the CPU compiler does not report the size of its code. "
        "Count products in the jaxpr, and take the size of the serialised executable.",
        "The products are {products} by the jaxpr; XLA says {xla} for `scan` and {xla_own} for `scan kernel`, which does the same "
        "products; {code} of code, where the executable has {executable}.",
        cost_analysis, lambda f: f["products"] > 0.5 * f["T"] * f["xla"] and f["code"] == 0,
    ),
    Finding(
        "Compilation pays off within a few dozen calls, or never.",
        "What compiles faster pays off sooner, so the native kernel, one foreign call in HLO, comes first. What is no faster than "
        "eager PyTorch never pays off.",
        "Calls until compiling has paid off against eager PyTorch: {calls}; never: {never}.",
        paying, lambda f: f["first"] == "native" and f["most"] < DOZENS,
    ),
)  # fmt: skip
