"""The studies, in the order of the page, and how a record becomes a section."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks import record as records
from benchmarks.report.parts import Section
from benchmarks.sampling import Timed
from jax_lstm.checks import InputError


@dataclass(frozen=True)
class Study:
    """`row` is the class of the record's rows, by module and name; `page` shows the record's tables as Markdown."""

    row: tuple[str, str]
    page: str

    def read(self, path: Path, name: str) -> tuple[Section, str]:
        """The section, and the command that made the record."""
        row: Callable[..., Any] = getattr(import_module(self.row[0]), self.row[1])
        record = records.read(path, name, row)
        return import_module(f"benchmarks.report.{name}").section(record), record.command


TIMED = (Timed.__module__, Timed.__name__)
STUDIES = {
    "frameworks": Study(TIMED, "docs/frameworks.md"),
    "engine": Study(TIMED, "docs/performance.md"),
    "profile": Study(("benchmarks.profile", "Profile"), "docs/performance.md"),
    "jit": Study(("benchmarks.jit.rows", "Row"), "docs/jit.md"),
    "ensemble": Study(TIMED, "docs/tasks.md"),
    "tasks": Study(("benchmarks.tasks", "Row"), "docs/tasks.md"),
    "device": Study(("benchmarks.device.command", "row_of"), "docs/accelerators.md"),
    "accuracy": Study(("benchmarks.accuracy.row", "Row"), "docs/accuracy.md"),
    "scaling": Study(("benchmarks.scaling.rows", "Row"), "docs/scaling.md"),
    "iterations": Study(("benchmarks.iterations", "Row"), "docs/parallel.md"),
}
TAKEN = ("data", "main", "records", "theme")  # ids that the page uses itself
AGREEMENT = "agreement"  # `jax-lstm compare`, whose record has no field `study`


@dataclass(frozen=True)
class Told:
    """A record that was read: its study, file, text, section and command."""

    study: str
    path: Path
    text: str
    section: Section
    command: str
    id: str = ""  # unique, for links within the page


def told(path: Path) -> Told:
    """Read a record.

    Raises:
        InputError: it is not a record of a known study.
    """
    try:
        text = path.read_text(encoding="utf-8")
        values = json.loads(text)
        study = values.get("study", AGREEMENT if "agreement" in values else "")
        if not isinstance(study, str):
            raise ValueError(f"its study is {study!r}")
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
    except (AttributeError, ValueError) as error:
        raise InputError(f"{path}: not a record: {error}") from None
    if study == AGREEMENT:
        from benchmarks.report import agreement

        try:
            return Told(study, path, text, agreement.section(values), agreement.command(values))
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise InputError(f"{path}: not a record of `jax-lstm compare`: {error!r}") from None
    if study not in STUDIES:
        raise InputError(f"{path}: not a record of {', '.join(STUDIES)} or `jax-lstm compare`")
    return Told(study, path, text, *STUDIES[study].read(path, study))


def in_order(found: list[Told]) -> list[Told]:
    """Sort in the order of the page, and give each a unique id."""
    order = [*STUDIES, AGREEMENT]
    placed = sorted(found, key=lambda each: order.index(each.study))
    stems = ["".join(letter if letter.isalnum() else "-" for letter in each.path.stem) for each in placed]
    return [
        replace(each, id=f"{stem}--{at}" if stem in TAKEN or stems.count(stem) > 1 else stem)
        for at, (each, stem) in enumerate(zip(placed, stems, strict=True))
    ]
