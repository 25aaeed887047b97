"""What to train, and for how long."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from benchmarks.accuracy import forecasts, memory
from benchmarks.accuracy.learners import Learning
from benchmarks.accuracy.memory import Memory
from benchmarks.accuracy.published import SYMBOLS
from benchmarks.accuracy.row import Job
from jax_lstm.train.config import OptimConfig

SYMBOL_SCALES = (*[8.0] * SYMBOLS, 1.0)  # the last one is that of the marker


def _optim(learning_rate: float) -> OptimConfig:
    return OptimConfig("adam", learning_rate, schedule="cosine", final_rate=0.01, clip_norm=1.0)


def _adding(steps: int) -> Learning:
    return Learning(
        hidden_size=64,
        batch_size=32,
        steps=steps,
        input_scales=(1.0, 1.0),
        forget_scale=1.0,
        reach=1.0,
        optim=_optim(5e-3),
    )


def _copy(steps: int) -> Learning:
    return Learning(
        hidden_size=128,
        batch_size=16,
        steps=steps,
        input_scales=SYMBOL_SCALES,
        forget_scale=0.5,
        reach=100.0,
        optim=_optim(2e-2),
    )


@dataclass(frozen=True)
class Setting:
    quick: bool = False
    adding: Memory = field(
        default_factory=lambda: Memory({200: _adding(2000), 600: _adding(2000)}, torch_seeds={200: 3, 600: 1})
    )
    copy: Memory = field(
        default_factory=lambda: Memory({200: _copy(3000), 1000: _copy(3000)}, torch_seeds={200: 3, 1000: 1})
    )


QUICK = Setting(
    True,
    Memory({50: _adding(600)}, {50: 1}),
    Memory({20: _copy(600)}, {20: 1}),
)

STUDIES: dict[str, Callable[[Setting, int], Iterator[Job]]] = {
    "series": lambda setting, seeds: forecasts.series_jobs(setting.quick, seeds),
    "intervals": lambda setting, seeds: forecasts.interval_jobs(setting.quick, seeds),
    "etth1": lambda setting, seeds: forecasts.etth1_jobs(setting.quick, seeds),
    "segrnn": lambda setting, seeds: forecasts.segrnn_jobs(setting.quick),
    "adding": lambda setting, seeds: memory.jobs("adding", setting.adding, seeds),
    "copy": lambda setting, seeds: memory.jobs("copy", setting.copy, seeds),
    "peers": lambda setting, seeds: forecasts.peer_jobs(setting.quick, seeds),
}
UNASKED = tuple(name for name in STUDIES if name not in ("segrnn", "peers"))  # what is run if no study is named
