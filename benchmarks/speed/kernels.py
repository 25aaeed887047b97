"""The part `kernels`: our kernels in several ways, a row each in `VARIATIONS`, and what they cost to compile."""

from collections.abc import Iterator, Mapping
from dataclasses import astuple, dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import jax.numpy as jnp

from benchmarks.core.cases import CASES, Case, draw
from benchmarks.core.compiling import stages, temporary_bytes
from benchmarks.core.contenders import BASELINE, CONTENDERS, OURS
from benchmarks.core.contenders.base import BACKWARD, FORWARD, Contender
from benchmarks.core.contenders.in_jax import ours
from benchmarks.core.contenders.in_torch import in_torch
from benchmarks.core.gate import admit, lineup
from benchmarks.core.measure import limits, of_case, timed
from benchmarks.core.record import BYTES, SECONDS, Row
from benchmarks.core.sampling import Plan
from benchmarks.speed.training import training
from jax_lstm.kernels import KERNELS, Kernel, Scan

PLAIN = {name: case for name, case in CASES.items() if case == Case(*astuple(case)[:4]) and case.steps < 1000}
WIDE = {name: case for name, case in PLAIN.items() if case.hidden_size >= 256}
SIDES = {
    f"B={batch}, H={hidden}": Case(batch, 256, 64, hidden, bidirectional=True)
    for batch, hidden in ((1, 64), (4, 64), (16, 64), (1, 256), (4, 256))
}
DEEP = {
    f"B={batch}, H={hidden}, {layers} layers": Case(batch, 256, 8, hidden, layers)
    for batch, hidden, layers in ((1, 16, 2), (1, 32, 2), (1, 64, 2), (2, 64, 2), (4, 64, 2), (1, 64, 3), (1, 128, 2))
}
LONG = {"long": Case(8, 16384, 64, 256)}
SAMPLES = {f"H={hidden}": Case(1, 1024, 1, hidden) for hidden in (8, 16, 32, 64)}


class Variation(NamedTuple):
    """Ways to run a kernel, the first of which the others are compared with."""

    part: str
    ways: Mapping[str, Contender]
    cases: Mapping[str, Case]
    measures: tuple[str, ...] = (FORWARD, BACKWARD)


def _way(kernel: str | Kernel, dtype: str = "float32") -> Contender:
    return Contender(ours(kernel, jnp.dtype(dtype)), "", dtype=dtype)


def with_pairs(kernel: Kernel, pairs: bool) -> Kernel:
    """The same kernel, with both directions, and the layers of a stack, always or never in one call."""

    class Fixed(type(kernel)):
        def pairs(self, batch: Any, hidden_size: int) -> bool:
            return pairs

    return Fixed(*astuple(kernel))


BFLOAT16, BESIDE_TORCH, AUDIO, STACKS = "bfloat16", "bfloat16 beside torch", "audio", "stacks"
ALONE = {BFLOAT16: (BFLOAT16, BESIDE_TORCH), AUDIO: (AUDIO,), STACKS: (STACKS,)}  # which may be measured by themselves
VARIATIONS = (
    *(Variation(BFLOAT16, {name: _way(name), f"{name}, bfloat16": _way(name, "bfloat16")}, WIDE) for name in OURS),
    Variation(
        BESIDE_TORCH,
        {
            "torch, bfloat16": Contender(partial(in_torch, dtype="bfloat16"), "", dtype="bfloat16"),
            **{f"{name}, bfloat16": _way(name, "bfloat16") for name in OURS},
        },
        PLAIN,
    ),
    Variation(AUDIO, {name: CONTENDERS[name] for name in (BASELINE, *OURS, "onnxruntime")}, SAMPLES, (FORWARD,)),
    Variation(
        STACKS,
        {
            "native, layer by layer": _way(with_pairs(KERNELS["native"], False)),
            "native, together": _way(with_pairs(KERNELS["native"], True)),
            BASELINE: CONTENDERS[BASELINE],
        },
        DEEP,
    ),
    Variation("unroll", {f"unroll={times}": _way(Scan(unroll=times)) for times in (1, 2, 4)}, PLAIN),
    *(
        Variation(
            "directions",
            {
                f"{name}, {how}": _way(with_pairs(KERNELS[name], how == "together"))
                for how in ("one by one", "together")
            },
            SIDES,
        )
        for name in OURS
    ),
    Variation(
        "remat",
        {"keep all": _way("scan"), "gates": _way(Scan(remat="gates")), "chunks": _way(Scan(remat="chunks"))},
        LONG,
        (BACKWARD,),
    ),
)


@dataclass(frozen=True)
class Setting:
    """Few contenders a row need less time than in `speed`; `lengths` are for the time to compile."""

    plan: Plan = Plan(budget=1.25)  # noqa: RUF009 immutable
    variations: tuple[Variation, ...] = VARIATIONS
    lengths: tuple[int, ...] = (16, 256, 4096)


FULL = Setting()
QUICK = replace(
    FULL,
    plan=Plan(budget=0.4, least=3),
    lengths=(16, 1024),
    variations=tuple(
        each._replace(cases=dict(list(each.cases.items())[:1])) for each in VARIATIONS if each.part != "remat"
    ),
)


def kernels(setting: Setting) -> Iterator[list[Row]]:
    """All variations, then training at the tutorial's size and compile time over T."""
    present = _present()
    yield limits(setting.plan)
    yield from _varied(setting)
    yield training(setting.plan._replace(budget=4 * setting.plan.budget), present)
    for steps in setting.lengths if present else ():
        yield _compiling(Case(32, steps, 32, 64), present, setting.plan.least)


def alone(name: str, setting: Setting) -> Iterator[list[Row]]:
    """Only some of the variations, with more rounds, since their times scatter more."""
    yield limits(setting.plan)
    chosen = tuple(each for each in setting.variations if each.part in ALONE[name])
    plan = setting.plan._replace(budget=3 * setting.plan.budget, least=7)
    yield from _varied(replace(setting, plan=plan, variations=chosen))


def training_alone(setting: Setting) -> Iterator[list[Row]]:
    """Only training at the tutorial's size, with more rounds."""
    yield limits(setting.plan)
    yield training(setting.plan._replace(budget=16 * setting.plan.budget), _present())


def _present() -> list[str]:
    return [name for name, contender in OURS.items() if not contender.absent()]


def _varied(setting: Setting) -> Iterator[list[Row]]:
    for each in setting.variations:
        ways = {way: contender for way, contender in each.ways.items() if not _absent(way)}
        first = next(iter(each.ways))
        if first not in ways:
            continue
        for name, case in each.cases.items():
            built = lineup(ways, case)
            for measure in each.measures:
                admitted = admit(built, measure)
                rows = timed(each.part, name, measure, admitted, setting.plan, first, **of_case(case, measure))
                if each.part == "remat":
                    rows += [
                        Row(each.part, name, who, f"{measure}: temporary", BYTES, [temporary_bytes(work)])
                        for who, work in admitted.works.items()
                    ]
                yield rows


def _absent(way: str) -> bool:
    known = CONTENDERS.get(way.partition(",")[0])
    return bool(known and known.absent())


def _compiling(case: Case, names: list[str], times: int) -> list[Row]:
    """Seconds to trace, lower and compile forward+backward; contenders take turns, with cleared caches."""
    problem = draw(case)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(times):
        for name in names:
            seconds[name].append(sum(stages(OURS[name].build(problem)[BACKWARD]).values()))
    return [
        Row("compiling", f"T={case.steps}", name, "compile", SECONDS, found, names[0], about={"shape": case.shape})
        for name, found in seconds.items()
    ]
