"""`python -m benchmarks profile`: what a sample counts as. No times, and no need of `perf`."""

import pytest

from benchmarks.profile import kind_of, parts_of
from benchmarks.record import ROOT

RECORD = ROOT / "benchmarks" / "records" / "profile.json"
TILE = "[.] jax_lstm::avx512::tile<jax_lstm::avx512::PlainDot<float>, 6, 4, {}>"
REPORT = f"""# Samples: 100 of event 'cpu-clock'
    60.00%\t60\t_native.so\t{TILE.format("false")}
    20.00%\t20\t_native.so\t{TILE.format("true")}
     9.00%\t9\tlibjax_common.so\t[.] xla::cpu::ThunkExecutor::Execute
     8.00%\t8\t[kernel.kallsyms]\t[k] do_sched_yield
     3.00%\t3\t_native.so\t[.] jax_lstm::avx512::pack_transposed<float>
"""


def test_samples_are_counted_by_what_they_did() -> None:
    counts = {kind: count for kind, count in parts_of(REPORT).items() if count}
    assert counts == {"products": 60, "dW": 20, "XLA": 9, "waiting": 8, "packing": 3}


@pytest.mark.parametrize(
    ("library", "symbol", "kind"),
    [
        ("_native.so", "[.] jax_lstm::avx512::Forward<float>::cells<false>", "cells"),
        ("_native.so", "[.] jax_lstm::avx512::Backward<float>::h_rows<false>", "cells"),
        ("_native.so", "[.] jax_lstm::avx512::Backward<float>::weight_gradients", "dW"),
        ("_native.so", "[.] jax_lstm::run_team", "waiting"),
        ("_native.so", "[.] jax_lstm_infer", "other"),
        ("libc.so.6", "[.] __memmove_avx512_unaligned_erms", "memory"),
        ("libpython3.11.so.1.0", "[.] _PyEval_EvalFrameDefault", "Python"),
        ("[JIT] tid 27244", "[.] 0x00007f076c1be0b3", "XLA"),
        ("[kernel.kallsyms]", "[k] do_syscall_64", "system"),
    ],
)
def test_kinds(library: str, symbol: str, kind: str) -> None:
    assert kind_of(library, symbol) == kind
