"""Streaming steps: B=1, H=256, a call from Python per step, with the state passed on."""

from collections.abc import Iterator
from dataclasses import replace

from benchmarks.cases import Case
from benchmarks.contenders import BASELINE, CONTENDERS
from benchmarks.contenders.base import STREAMING
from benchmarks.gate import admit, lineup
from benchmarks.sampling import Timed
from benchmarks.setting import Setting
from benchmarks.timed import timed

CASE = Case(1, 64, 64, 256, streamed=True)  # fed step by step


def streaming(setting: Setting) -> Iterator[Timed]:
    """Ours as a jitted function, PyTorch's `LSTM` on sequences of one step, and its `LSTMCell`."""
    names = [BASELINE, "torch cell"] if BASELINE in setting.present() else []
    present = lineup({name: CONTENDERS[name] for name in [*names, *setting.backends()]}, CASE)
    row = timed("streaming", "one step", CASE, STREAMING, admit(present, STREAMING), setting.plan, BASELINE)
    yield replace(row, measure="step", shape=f"1,1,{CASE.input_size},{CASE.hidden_size}")
