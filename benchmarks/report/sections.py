"""The section of a record: its figures as tiles, charts and tables, whatever its study."""

import json
import shlex
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from benchmarks.accuracy import tables as accuracy
from benchmarks.core.charts import Chart
from benchmarks.core.record import read
from benchmarks.core.tables import Table
from benchmarks.device import tables as device
from benchmarks.jit import tables as jit
from benchmarks.speed import tables as speed
from jax_lstm.checks import InputError
from jax_lstm.compare import CompareConfig
from jax_lstm.compare.config import upgraded
from jax_lstm.train.config import to_dict

STUDIES: dict[str, ModuleType] = {"speed": speed, "jit": jit, "accuracy": accuracy, "device": device}
TITLES = {
    "speed": ("Speed", "The same LSTMs, with the same weights and inputs. Who computes something else is not timed."),
    "jit": ("Jit", "One LSTM written in many ways: what it costs to compile each, and what that buys."),
    "accuracy": ("Accuracy", "LSTMs trained from scratch, beside baselines and published figures."),
    "device": ("Device", "Our kernels on an accelerator, or compiled for one that is not here."),
    "agreement": ("Agreement with PyTorch", "`jax-lstm compare`: the same weights, windows and order in both."),
}


@dataclass(frozen=True)
class Section:
    """A record as the page shows it."""

    name: str  # of the file
    study: str
    text: str  # of the file
    command: str
    facts: dict[str, str]
    tiles: list[tuple[str, str]]
    charts: dict[str, list[Chart]]
    tables: list[Table]

    @property
    def title(self) -> str:
        title = TITLES[self.study][0]
        return title if self.name == f"{self.study}.json" else f"{title}: {self.name.removesuffix('.json')}"


def section(path: Path) -> Section:
    """Read a record.

    Raises:
        InputError: it is not a record of a known study.
    """
    try:
        text = path.read_text(encoding="utf-8")
        values = json.loads(text)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
    except ValueError as error:
        raise InputError(f"{path}: not a record: {error}") from None
    if isinstance(values, dict) and "agreement" in values:
        try:
            return _agreement(path.name, text, values)
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{path}: not a record of `jax-lstm compare`: {error!r}") from None
    record = read(path)
    module = STUDIES[record.study]
    shown: list[Any] = [getattr(module, name)(record) for name in ("tiles", "charts", "tables")]
    return Section(path.name, record.study, text, record.command, record.facts, *shown)


def _agreement(name: str, text: str, record: dict[str, Any]) -> Section:
    checks, machine = record["agreement"], record["environment"]
    rows = [
        (each["name"], f"{each['relative']:.1e}", f"{each['tolerance']:.0e}", "yes" if each["passed"] else "no")
        for each in checks
    ]
    tables = [Table("Differences, relative to the largest value", ("what", "difference", "tolerance", "agrees"), rows)]
    if record.get("scores"):
        names = list(next(iter(record["scores"].values())))
        scores = [(who, *(f"{each[score]:.4g}" for score in names)) for who, each in record["scores"].items()]
        tables.append(Table("Errors on the test part", ("forecast by", *names), scores))
    dtype = "float64" if upgraded(record["config"], name)["train"]["x64"] else "float32"
    passed = sum(each["passed"] for each in checks)
    closest = max(each["relative"] / each["tolerance"] for each in checks)
    tile = f"checks against PyTorch within tolerance, {dtype}; the closest reaches {closest:.0%} of its tolerance"
    packages = ", ".join(f"{package} {version}" for package, version in machine["packages"].items())
    facts = {"Machine": f"{machine['cpu']}, {machine['system']}", "Versions": f"Python {machine['python']}, {packages}"}
    return Section(name, "agreement", text, compared(record), facts, [(f"{passed} of {len(checks)}", tile)], {}, tables)


def compared(record: dict[str, Any]) -> str:
    """The command of a comparison, with the options that are not at their defaults."""
    given, usual = _flat(upgraded(record["config"], "the record")), _flat(to_dict(CompareConfig()))
    task = given.pop("task")
    words = ["jax-lstm", "compare", *([] if task == "forecast" else [task])]
    for name, value in given.items():
        if value != usual.get(name) and (value or usual.get(name)):
            option = "--" + name.replace("_", "-")
            words += [option] if value is True else [f"--no-{option[2:]}"] if value is False else [option, str(value)]
    return shlex.join(words)


def _flat(options: dict[str, Any]) -> dict[str, Any]:
    found = {}
    for name, value in options.items():
        found |= _flat(value) if isinstance(value, dict) else {name: value}
    return found
