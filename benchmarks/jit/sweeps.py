"""The sweeps of `jit`, in the order in which they run."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from benchmarks.jit import devices, shapes, training
from benchmarks.jit.measuring import Effort, candidates, measure
from benchmarks.jit.programs import BOTH, FORWARD, MEASURES
from benchmarks.jit.rows import Row
from benchmarks.jit.sizes import Size
from benchmarks.sampling import Plan


@dataclass(frozen=True)
class Setting:
    """Sweeps vary one size of `base` at a time; `lengths` are for `shapes`, and `layers` uses `short` sequences.

    `also`: measures of the sweeps in addition to forward+backward.
    """

    effort: Effort = Effort(Plan(budget=8.0, least=5, most=20), compiles=3)  # noqa: RUF009 immutable
    varied: Effort = Effort(Plan(budget=4.0, least=3, most=10))  # noqa: RUF009 immutable
    base: Size = Size(32, 64, 32, 128)  # noqa: RUF009 immutable
    steps: tuple[int, ...] = (4, 16, 64, 256, 1024)
    hidden: tuple[int, ...] = (16, 64, 256, 512)
    layers: tuple[int, ...] = (1, 2, 4, 8, 16)
    precision: tuple[int, ...] = (128, 512)
    lengths: tuple[int, ...] = (20, 31, 37, 44, 52, 63, 79, 90, 104, 120)
    short: int = 16
    devices: int = 2
    also: tuple[str, ...] = (FORWARD, training.STEP)


QUICK = Setting(
    effort=Effort(
        Plan(budget=2.0, least=3, most=10),
        without=("unrolled", "scan, unroll=2", "scan, unroll=8", "scan kernel, unroll=4", "fori_loop, static"),
    ),
    varied=Effort(
        Plan(budget=0.8, least=3, most=6),
        without=(
            "eager",
            "jitted cell",
            "scan, unroll=4",
            "scan, hoisted",
            "scan, hoisted, 4 arrays",
            'scan kernel, remat="gates"',
        ),
    ),
    steps=(16, 256),
    hidden=(16, 256),
    layers=(1, 8),
    precision=(256,),
    lengths=(12, 14, 17, 21, 25, 30, 34, 39, 44, 50),
    also=(),
)
Groups = Iterator[Sequence[Row]]


def _base(setting: Setting) -> Groups:
    for name in MEASURES:
        yield measure(
            "base", setting.base, name, candidates("base", setting.base, name, setting.effort.without), setting.effort
        )
    yield _training("base", setting.base, setting.effort)


def _steps(setting: Setting) -> Groups:
    for steps in setting.steps:
        yield _both("steps", replace(setting.base, steps=steps), setting.varied)


def _hidden(setting: Setting) -> Groups:
    for hidden in setting.hidden:
        size = replace(setting.base, hidden_size=hidden)
        yield _both("hidden", size, setting.varied)
        if training.STEP in setting.also:
            yield _training("hidden", size, setting.varied)


def _layers(setting: Setting) -> Groups:
    for layers in setting.layers:
        yield _both("layers", replace(setting.base, steps=setting.short, layers=layers), setting.varied)


def _shapes(setting: Setting) -> Groups:
    sizes = [replace(setting.base, steps=steps) for steps in setting.lengths]
    yield from shapes.rows(sizes, setting.varied, _measures(setting))


def _precision(setting: Setting) -> Groups:
    for hidden in setting.precision:
        size = replace(setting.base, hidden_size=hidden)
        for name in _measures(setting):
            yield measure("precision", size, name, candidates("precision", size, name), setting.varied)


def _devices(setting: Setting) -> Groups:
    yield devices.rows(setting.base, setting.devices, setting.varied, _measures(setting))


def _measures(setting: Setting) -> list[str]:
    return [name for name in MEASURES if name == BOTH or name in setting.also]


def _both(sweep: str, size: Size, effort: Effort) -> Sequence[Row]:
    return measure(sweep, size, BOTH, candidates(sweep, size, BOTH, effort.without), effort)


def _training(sweep: str, size: Size, effort: Effort) -> Sequence[Row]:
    return measure(sweep, size, training.STEP, training.candidates(size), effort)


SWEEPS: dict[str, Callable[[Setting], Groups]] = {
    "base": _base,
    "steps": _steps,
    "hidden": _hidden,
    "layers": _layers,
    "shapes": _shapes,
    "precision": _precision,
    "devices": _devices,
}
