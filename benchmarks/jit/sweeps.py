"""The sweeps of `jit`, in the order in which they run; each yields the rows of one size and measure after the other."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from benchmarks.core.cases import Case
from benchmarks.core.contenders.base import BACKWARD, FORWARD, TRAINING
from benchmarks.core.record import Row
from benchmarks.core.sampling import Plan
from benchmarks.jit.devices import on_devices
from benchmarks.jit.measure import Effort, rows
from benchmarks.jit.shapes import lengths
from benchmarks.jit.variants import of_sweep

Groups = Iterator[list[Row]]


@dataclass(frozen=True)
class Setting:
    """Sweeps vary one size of `base` at a time; `lengths` are for `shapes`, and `layers` uses `short` sequences.

    `also`: measures of the sweeps in addition to forward+backward.
    """

    effort: Effort = Effort(Plan(budget=8.0, least=5, most=20), compiles=3)  # noqa: RUF009 immutable
    varied: Effort = Effort(Plan(budget=4.0, least=3, most=10))  # noqa: RUF009 immutable
    base: Case = Case(32, 64, 32, 128)  # noqa: RUF009 immutable
    steps: tuple[int, ...] = (4, 16, 64, 256, 1024)
    hidden: tuple[int, ...] = (16, 64, 256, 512)
    layers: tuple[int, ...] = (1, 2, 4, 8, 16)
    precision: tuple[int, ...] = (128, 512)
    lengths: tuple[int, ...] = (20, 31, 37, 44, 52, 63, 79, 90, 104, 120)
    short: int = 16
    devices: int = 2
    also: tuple[str, ...] = (FORWARD, TRAINING)

    @property
    def measures(self) -> list[str]:
        return [name for name in (FORWARD, BACKWARD) if name == BACKWARD or name in self.also]


ROUGH = ("unrolled", "scan, unroll=2", "scan, unroll=8", "scan kernel, unroll=4", "fori_loop, static")
LEFT = (
    "eager", "jitted cell", "scan, unroll=4", "scan, hoisted", "scan, hoisted, 4 arrays", 'scan kernel, remat="gates"'
)  # fmt: skip
QUICK = Setting(
    effort=Effort(Plan(budget=2.0, least=3, most=10), without=ROUGH),
    varied=Effort(Plan(budget=0.8, least=3, most=6), without=LEFT),
    steps=(16, 256),
    hidden=(16, 256),
    layers=(1, 8),
    precision=(256,),
    lengths=(12, 14, 17, 21, 25, 30, 34, 39, 44, 50),
    also=(),
)


def _sweep(name: str, cases: Callable[[Setting], Sequence[Case]], *also: str) -> Callable[[Setting], Groups]:
    """Gradients of some cases, and those measures of `also` that the setting has."""

    def groups(setting: Setting) -> Groups:
        measures, effort = {BACKWARD, *(set(also) & set(setting.also))}, setting.varied
        for case in cases(setting):
            for measure in (FORWARD, BACKWARD, TRAINING):
                if measure in measures:
                    yield rows(name, case, measure, of_sweep(name, measure, effort.without), effort)

    return groups


def _base(setting: Setting) -> Groups:
    """Everything of one size, with more effort."""
    effort = setting.effort
    for measure in (FORWARD, BACKWARD, TRAINING):
        yield rows("base", setting.base, measure, of_sweep("base", measure, effort.without), effort)


def _shapes(setting: Setting) -> Groups:
    cases = [replace(setting.base, steps=steps) for steps in setting.lengths]
    yield from lengths(cases, setting.varied, setting.measures)


def _devices(setting: Setting) -> Groups:
    yield on_devices(setting.base, setting.devices, setting.varied, setting.measures)


SWEEPS: dict[str, Callable[[Setting], Groups]] = {
    "base": _base,
    "steps": _sweep("steps", lambda s: [replace(s.base, steps=steps) for steps in s.steps]),
    "hidden": _sweep("hidden", lambda s: [replace(s.base, hidden_size=each) for each in s.hidden], TRAINING),
    "layers": _sweep("layers", lambda s: [replace(s.base, steps=s.short, num_layers=each) for each in s.layers]),
    "shapes": _shapes,
    "precision": _sweep("precision", lambda s: [replace(s.base, hidden_size=each) for each in s.precision], FORWARD),
    "devices": _devices,
}
