"""`python -m benchmarks profile`: what a sample counts as. No times, and no need of `perf`."""

from benchmarks.profile import parts_of

TILE = "[.] jax_lstm::avx512::tile<jax_lstm::avx512::PlainDot<float>, 6, 4, {}>"
SAMPLES = (
    ("products", "_native.so", TILE.format("false")),
    ("dW", "_native.so", TILE.format("true")),
    ("dW", "_native.so", "[.] jax_lstm::avx512::Backward<float>::weight_gradients"),
    ("cells", "_native.so", "[.] jax_lstm::avx512::Forward<float>::cells<false>"),
    ("cells", "_native.so", "[.] jax_lstm::avx512::Backward<float>::h_rows<false>"),
    ("packing", "_native.so", "[.] jax_lstm::avx512::pack_transposed<float>"),
    ("other", "_native.so", "[.] jax_lstm_infer"),
    ("waiting", "_native.so", "[.] jax_lstm::run_team"),
    ("waiting", "[kernel.kallsyms]", "[k] do_sched_yield"),
    ("system", "[kernel.kallsyms]", "[k] do_syscall_64"),
    ("memory", "libc.so.6", "[.] __memmove_avx512_unaligned_erms"),
    ("Python", "libpython3.11.so.1.0", "[.] _PyEval_EvalFrameDefault"),
    ("XLA", "libjax_common.so", "[.] xla::cpu::ThunkExecutor::Execute"),
    ("XLA", "[JIT] tid 27244", "[.] 0x00007f076c1be0b3"),
)


def test_samples_are_counted_by_what_they_did() -> None:
    """Each line has another number of samples, so that no two sums are alike."""
    lines = [f"  1.00%\t{2**at}\t{library}\t{symbol}" for at, (_, library, symbol) in enumerate(SAMPLES)]
    wanted = dict.fromkeys((kind for kind, *_ in SAMPLES), 0)
    for at, (kind, *_) in enumerate(SAMPLES):
        wanted[kind] += 2**at
    assert parts_of("\n".join(["# Samples: 100 of event 'cpu-clock'", *lines])) == wanted
