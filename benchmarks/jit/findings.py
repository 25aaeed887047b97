"""Recommendations with reasons, a row each; `evidence` reads their figures from a record.

The reasons come from the optimised HLO of jaxlib 0.10.2 for CPU (`python -m benchmarks jit --hlo FOLDER` writes it).
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from benchmarks.jit import evidence
from benchmarks.jit.reading import Evidence, NotMeasuredError, Rows
from benchmarks.jit.rows import Row


class Finding(NamedTuple):
    """A recommendation; `evidence` judges it by a record, or raises `NotMeasuredError` if the rows are missing."""

    title: str
    do: str
    why: str
    evidence: Callable[[Rows], Evidence]


FINDINGS = (
    Finding(
        "Compile the whole loop, not its body",
        "Put `jax.jit` around the function that contains the loop, best around the whole training step.",
        "Without jit, Python dispatches each of about fifteen operations per step, and some more for its gradient. A "
        "jitted cell leaves one dispatch per step, but Python still assembles its gradient: every step needs a forward "
        "call, a backward call, and separate operations that sum the gradients of the weights.",
        evidence.whole_loop,
    ),
    Finding(
        "Never unroll the loop in Python under jit",
        "Use `lax.scan`. A Python loop under `jit` is for a handful of steps.",
        "Tracing writes out every step, as does HLO, so all stages grow with T. The gradient grows faster than T: the "
        "gradient of the cell state is a chain of cheap element-wise operations from step to step, and fusion "
        "recomputes it in every kernel that uses it. For short sequences a call may be faster than with a scan; the "
        "cost is in compilation.",
        evidence.python_unrolling,
    ),
    Finding(
        "A scan compiles in the same time whatever its length",
        "Do not shorten sequences to save compile time.",
        "In HLO a scan is a `while` with one computation for its body and a constant trip count; its gradient is a "
        "second one.",
        evidence.length_is_free,
    ),
    Finding(
        "`unroll=k` does not pay on CPU",
        "Leave `unroll` at 1 on CPU; measure it on an accelerator, where launches cost more.",
        "Unrolled steps depend on each other, so their products still run one by one. Unrolling saves a few launches, "
        "but within an iteration fusion recomputes the chain of the cell state's gradient in every kernel that uses "
        "it: the more steps are unrolled, the more multiplications a backward step costs.",
        evidence.unroll,
    ),
    Finding(
        "Write the derivative of the recurrence by hand",
        "Use this project's `scan` kernel or a backward pass like it (docs/backward.md), not autodiff of the cell.",
        "Autodiff transposes the whole step. The backward loop then contains the products for the gradients of both "
        "weights and of the inputs, and adds the gradients of the weights to running sums: three passes over arrays "
        "of their size at every step. By hand these are single products after the loop, which keeps only the product "
        "with `weight_hh`. Autodiff also stores more than it needs, each in an array of its own: both s and s(1 - s) "
        "for a sigmoid, both t and 1 - t for a tanh.",
        evidence.by_hand,
    ),
    Finding(
        "Hoist the input projection for training; for forward alone as four arrays, or not at all",
        "For training, project the inputs of all steps before the loop. For forward alone, leave the projection in the "
        "loop, or hoist it as one array per gate.",
        "Hoisting removes a product from the step, but not the work: the projection of all steps is written to memory "
        "and read back, while in the loop it stays in cache. From a single array (T, B, 4H), each element-wise kernel "
        "of a step takes a slice by time and then by gate; with four arrays (T, B, H) a slice is contiguous. With the "
        "backward pass there is more to gain: the gradients of the inputs and of their weights become single products "
        "too.",
        evidence.hoisting,
    ),
    Finding(
        "`fori_loop` is a scan in disguise, or it has no gradient",
        "Use `scan`. A `fori_loop` whose end is an array is for inference on sequences of any length.",
        "If the number of steps is known when tracing, JAX turns `fori_loop` into a scan that carries the outputs; "
        "otherwise into a `while`, whose steps reverse mode cannot store. Every step accesses inputs and outputs by "
        "index: negative indices are wrapped around, and writes are checked against the bounds and selected against "
        "the old values.",
        evidence.fori,
    ),
    Finding(
        "Rematerialise in chunks if memory is short",
        'Use `remat="chunks"`, or `jax.checkpoint` around chunks of about sqrt(T) steps, for long sequences.',
        "`jax.checkpoint` around a single step keeps h and c of every step, which is still linear in T; around a chunk "
        "it keeps one state per chunk, and everything in the current chunk. Both run the forward products once more. "
        "On CPU this can even be faster: less memory is written, and what is read back is in cache.",
        evidence.remat,
    ),
    Finding(
        "Donate the training state for memory, not for speed",
        "Pass `donate_argnums` for weights and optimiser state, and never use the old ones again.",
        "The results alias the arguments: the executable writes new weights and moments over the old ones. Otherwise "
        "the program is the same.",
        evidence.donation,
    ),
    Finding(
        "bfloat16 pays only with bfloat16 products",
        "On CPU, use bfloat16 with the `native` kernel, or not at all.",
        "The native kernel uses the CPU's bfloat16 instructions. In XLA's program the state stays in float32, so "
        "values are converted at every step, for products that are small.",
        evidence.precision,
    ),
    Finding(
        "Spread rows with `shard_map`, not by sharding the inputs alone",
        "On CPU, make one host device per core (`jax_num_cpu_devices`) and put `shard_map` around the layer, over the "
        "batch.",
        "XLA:CPU runs the small products of a step on one thread. Under `shard_map` each device runs its own loop, and "
        "the gradients of the weights are summed once, after it. If only the inputs are sharded, the partitioner may "
        "replicate what a loop carries, such as the state, which starts as replicated zeros, and the running sums of "
        "autodiff. It then gathers and sums at every step, where the devices wait for each other.",
        evidence.spreading,
    ),
    Finding(
        "Pad to a few lengths",
        "Pad to buckets, for example powers of two, and pass `lengths`; pad to one length if compilation is expensive. "
        "Over many passes, padding costs more than compiling every length once: the figures below say from when on.",
        "Every new shape is a new program. With `lengths`, padded steps are computed and then masked, so the results "
        "are those of the exact lengths.",
        evidence.buckets,
    ),
    Finding(
        "Deep stacks compile cheaply as they are",
        "Write the layers one after the other. A scan over stacked weights is for tens of layers that are compiled "
        "often: it compiles faster, and its calls are no faster.",
        "Layer by layer, instructions grow with L but compile time grows far less, as if kernels that are alike were "
        "compiled once; HLO does not show why. A scan over stacked layers has the instructions of two layers, in "
        "nested loops that slice weights out of the stack and store all residuals with one more axis.",
        evidence.depth,
    ),
    Finding(
        "Do not compare loops by XLA's cost analysis",
        "Count products in the jaxpr, times the length of each scan; take the size of code from the serialised "
        "executable.",
        "The analysis counts the body of a loop once, however often it runs, and the CPU compiler does not report the "
        "size of its code. So a variant with products outside the loop seems to do more work although it does the "
        "same.",
        evidence.cost_analysis,
    ),
    Finding(
        "Compilation pays off within a few dozen calls, or never",
        "Compare the number of calls below with the number that you will make; for a handful of calls, eager PyTorch "
        "is faster.",
        "What compiles faster pays off sooner, so the native kernel, a single foreign call in HLO, comes first. A "
        "variant that is no faster than eager PyTorch never pays off, however short its compile time.",
        evidence.paying,
    ),
)


def judged(rows: Sequence[Row]) -> list[tuple[Finding, Evidence | None]]:
    """Every finding with its evidence, None if the record lacks the rows."""
    found: list[tuple[Finding, Evidence | None]] = []
    for finding in FINDINGS:
        try:
            found.append((finding, finding.evidence(Rows(rows))))
        except NotMeasuredError:
            found.append((finding, None))
    return found
