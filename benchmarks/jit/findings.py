"""The findings of `jit`: advice with reasons. `evidence` has the figures, from a record.

`why` was found by reading the optimised HLO (`python -m benchmarks jit --hlo FOLDER`) of jaxlib 0.10.2 for CPU.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from benchmarks.jit import evidence
from benchmarks.jit.reading import Evidence, NotMeasuredError, Rows
from benchmarks.jit.rows import Row


class Finding(NamedTuple):
    """`evidence` checks a record; it raises `NotMeasuredError` if the record lacks rows."""

    title: str
    do: str
    why: str
    evidence: Callable[[Rows], Evidence]


FINDINGS = (
    Finding(
        "Compile the whole loop, not its body",
        "Put `jax.jit` around the function that has the loop in it, best around the whole training step.",
        "Op by op, each of some fifteen operations a step goes through Python, and its gradient through some more. A "
        "jitted cell leaves one dispatch a step, but its gradient is still put together in Python: a call for the "
        "way there, one for the way back, and sums of the weights' gradients as operations of their own, every step.",
        evidence.whole_loop,
    ),
    Finding(
        "Never unroll the loop in Python under jit",
        "Use `lax.scan`. A Python loop under `jit` is for a handful of steps.",
        "Tracing writes out every step, and so does HLO, so all stages grow with T. The gradient grows faster than "
        "T: the gradient of the cell state is a chain of cheap element-wise operations from step to step, and fusion "
        "computes it again in each kernel that uses it. A call may be faster than a scan's, for short sequences; it "
        "is compiling that costs.",
        evidence.python_unrolling,
    ),
    Finding(
        "A scan compiles in the same time whatever its length",
        "Do not shorten sequences to save compile time.",
        "A scan is a `while` in HLO, with one computation for its body and the number of trips as a constant; its "
        "gradient is a second one.",
        evidence.length_is_free,
    ),
    Finding(
        "`unroll=k` does not pay on CPU",
        "Leave `unroll` at 1 on CPU; measure it on an accelerator, where a launch costs more.",
        "Unrolled steps depend on each other, so their products stay apart and run one after the other as before. A "
        "few launches are saved. But within an iteration fusion computes the chain of the cell state's gradient "
        "again in each kernel that uses it: a time step back costs more multiplications the more steps are unrolled.",
        evidence.unroll,
    ),
    Finding(
        "Write the derivative of the recurrence by hand",
        "Use this project's `scan` kernel or a backward pass like it (docs/backward.md), not autodiff of the cell.",
        "Autodiff of a step transposes all of it, so the loop back has the products for the gradients of both "
        "weights and of the inputs in it, and adds the gradients of the weights to running sums: three passes over "
        "arrays of their size, every step. By hand these are single products after the loop, which keeps only the "
        "one with `weight_hh`. Autodiff also keeps more than it needs: of a sigmoid both s and s(1 - s), of a tanh "
        "both t and 1 - t, in arrays of their own.",
        evidence.by_hand,
    ),
    Finding(
        "Hoist the input projection for training; forward alone as four arrays, or not at all",
        "For training, project the inputs of all steps before the loop. Forward alone, leave it in the loop, or hoist "
        "it as an array a gate.",
        "Hoisting takes one product out of the step, but not the work: the projection of all steps is written to "
        "memory and read back, where in the loop it stays in the cache. As one array (T, B, 4H), each element-wise "
        "kernel of a step slices it by time and then by gate; as four arrays (T, B, H) a slice is one contiguous "
        "piece. With the way back there is more to win: the gradients of the inputs and of their weights are single "
        "products too.",
        evidence.hoisting,
    ),
    Finding(
        "`fori_loop` is a scan in disguise, or it has no gradient",
        "Use `scan`. `fori_loop` with an end that is data is for inference on sequences of any length.",
        "With a number of steps known when tracing, JAX turns `fori_loop` into a scan whose carry holds the outputs; "
        "else into a `while`, whose steps reverse mode could not store. Inputs and outputs are reached by index, at "
        "every step: a negative index is wrapped around, and a write is checked against the bounds and selected "
        "against what was there.",
        evidence.fori,
    ),
    Finding(
        "Remat in chunks where memory is short",
        'Use `remat="chunks"`, or `jax.checkpoint` around pieces of about sqrt(T) steps, for long sequences.',
        "Around a single step, `jax.checkpoint` keeps the state of every step, h and c, which is linear in T still; "
        "around a piece it keeps one state a piece, and all of the piece at hand. Both run the forward products once "
        "more. On CPU that may even be faster: less memory is written, and what is read back lies in the cache.",
        evidence.remat,
    ),
    Finding(
        "Donate the training state for memory, not for speed",
        "Pass `donate_argnums` for weights and optimiser state; never use the old ones again.",
        "The results alias the arguments: the executable writes new weights and moments over the old ones. The "
        "program is the same otherwise.",
        evidence.donation,
    ),
    Finding(
        "bfloat16 pays where the products are made for it",
        "On CPU, use bfloat16 with the `native` kernel, or not at all.",
        "The native kernel uses the CPU's own bfloat16 instructions. In XLA's program the state stays in float32, so "
        "values are converted at every step in front of products that are small.",
        evidence.precision,
    ),
    Finding(
        "Spread rows with `shard_map`, not by sharding the inputs alone",
        "On CPU, make a host device of each core (`jax_num_cpu_devices`) and put `shard_map` around the layer, over "
        "the batch.",
        "XLA:CPU runs a step's small products on one thread. Under `shard_map` each device runs a loop of its own, "
        "and gradients of weights are summed once, after it. The partitioner, given sharded inputs alone, may keep "
        "what a loop carries whole on every device, such as the state, which starts as zeros that lie everywhere, "
        "and the running sums of autodiff. Then it gathers and sums at every step, and there the devices wait for "
        "each other.",
        evidence.spreading,
    ),
    Finding(
        "Pad to a few lengths",
        "Pad to buckets, powers of two for example, and pass `lengths`; or to one length where compiling is dear. Over "
        "many passes the padding costs more than compiling every length once: the figures below say from when on.",
        "Every new shape is a new program. With `lengths` the padded steps are computed and held back by a "
        "selection, so results are those of the exact lengths.",
        evidence.buckets,
    ),
    Finding(
        "Deep stacks compile cheaply as they are",
        "Write the layers one after the other. A scan over stacked weights is for tens of layers that are compiled "
        "often: it is compiled sooner, and its calls are no faster.",
        "Layer by layer, the instructions grow with L but the seconds grow far less, as though kernels that are "
        "alike were compiled once; HLO does not show why. A scan over stacked layers has the instructions of two "
        "layers, in loops within loops, which slice weights out of the stack and keep everything for the way back "
        "with one axis more.",
        evidence.depth,
    ),
    Finding(
        "Do not compare loops by XLA's cost analysis",
        "Count products in the jaxpr, times the length of each scan; take the size of code from the serialised "
        "executable.",
        "The analysis counts the body of a loop once, however often it runs, and the CPU compiler does not report "
        "the size of its code. A variant with products outside the loop therefore seems to do more work, where it "
        "does the same.",
        evidence.cost_analysis,
    ),
    Finding(
        "Compiling is paid for within some dozen calls, or never",
        "Compare the calls below with the number that you will make; for a handful of calls eager PyTorch is the "
        "faster.",
        "What is compiled faster pays sooner, so the native kernel, a single foreign call in HLO, comes first. A "
        "variant that is no faster than eager PyTorch never pays, however small its compile time.",
        evidence.paying,
    ),
)


def judged(rows: Sequence[Row]) -> list[tuple[Finding, Evidence | None]]:
    """Every finding with its evidence; None if the record lacks rows."""
    found: list[tuple[Finding, Evidence | None]] = []
    for finding in FINDINGS:
        try:
            found.append((finding, finding.evidence(Rows(rows))))
        except NotMeasuredError:
            found.append((finding, None))
    return found
