"""The record of a run: one schema for every measured row, one reader, one writer.

JSON with a row a line. Every figure that is shown anywhere is computed from such rows.
"""

import dataclasses
import functools
import json
import math
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.core.machine import ROOT, commit, machine
from benchmarks.core.sampling import Ratio, ratio
from jax_lstm.checks import InputError
from jax_lstm.files import write_whole
from jax_lstm.kernels.fused import native_status

RECORDS = ROOT / "benchmarks" / "records"
STUDIES = ("speed", "jit", "accuracy", "device")
SECONDS, BYTES = "s", "B"
FAILED, ABSENT = "failed: ", "not offered: "  # begin the status of a row without samples
NAMES = ("part", "case", "contender", "measure")  # of the fields that tell a row from others
QUIET = 0.5  # load above which other programs must be running


@dataclass(frozen=True)
class Row:
    """What one contender reached in one measure of one case.

    `samples`: by round, in which all contenders of a case took turns; or by seed, by loop of a program; or one value.
    `baseline`: the contender of the same case and measure that it is compared with. `status`: why there are no samples,
    beginning with `FAILED` or `ABSENT`. `about`: further facts, such as `shape`, `flops` of a call, `note`.
    """

    part: str
    case: str
    contender: str
    measure: str
    unit: str = ""
    samples: list[Any] = field(default_factory=list)
    baseline: str = ""
    status: str = ""
    about: dict[str, Any] = field(default_factory=dict)

    @property
    def value(self) -> float:
        """The median of the samples."""
        ordered = sorted(self.samples)
        return (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2

    @property
    def failed(self) -> str:
        return self.status.removeprefix(FAILED) if self.status.startswith(FAILED) else ""

    @property
    def rate(self) -> float:
        """Operations (or bytes) a second."""
        return self.about.get("flops", 0.0) / self.value


@dataclass(frozen=True)
class Record:
    """A run of a study. `note`: anything that a reader must know about how it came about.

    `submission`: what makes it verifiable, see `benchmarks/speed/submission.py`; empty for other records.
    """

    study: str
    command: str
    commit: str  # with " and changes" if the checkout was modified; several if a run was resumed
    began: str
    seconds: float
    load: float | None  # of the machine in the minute before; None if unknown
    threads: int
    native: str
    environment: dict[str, Any]
    absent: dict[str, str] = field(default_factory=dict)  # contenders that are not installed, and how to get them
    note: str = ""
    submission: dict[str, Any] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)

    def of(self, part: str, case: str = "", measure: str = "", contender: str = "") -> list[Row]:
        """Rows of a part; empty arguments match all."""
        found = self._groups.get((part, case, measure), ()) if case and measure else self._parts.get(part, ())
        return [
            row
            for row in found
            if case in ("", row.case) and measure in ("", row.measure) and contender in ("", row.contender)
        ]

    def row(self, part: str, case: str, measure: str, contender: str) -> Row | None:
        """The row that has samples, if there is one."""
        return next((row for row in self.of(part, case, measure, contender) if row.samples), None)

    def value(self, part: str, case: str, measure: str, contender: str) -> float | None:
        found = self.row(part, case, measure, contender)
        return found.value if found else None

    def ratio(self, row: Row, baseline: str = "") -> Ratio | None:
        """Speed relative to the baseline, of a row in seconds; None if one of the two was not timed."""
        other = self.row(row.part, row.case, row.measure, baseline or row.baseline)
        return ratio(tuple(other.samples), tuple(row.samples)) if other and row.samples else None

    @property
    def peak(self) -> float:
        """The matrix peak in FLOP/s, the faster of the two frameworks' products; 0 if it was not measured."""
        return max((row.about["flops"] / min(row.samples) for row in self.of("peak")), default=0.0)

    @functools.cached_property
    def _parts(self) -> dict[str, list[Row]]:
        return _grouped(self.rows, lambda row: row.part)

    @functools.cached_property
    def _groups(self) -> dict[Any, list[Row]]:
        return _grouped(self.rows, lambda row: (row.part, row.case, row.measure))

    @property
    def facts(self) -> dict[str, str]:
        """How, where and with what it was made, as text."""
        machine = self.environment
        versions = ", ".join(f"{name} {each}" for name, each in machine["packages"].items())
        found = {
            "Machine": ", ".join([machine["cpu"], machine["system"], *machine.get("processor", ())]),
            "Devices": ", ".join(machine["devices"]),
            "Threads": f"{self.threads}, the same for everyone",
            "Versions": f"Python {machine['python']}, {versions}; native kernel {self.native}",
            "Matrix peak": f"{self.peak / 1e9:,.0f} GFLOP/s (float32 product in the same run)" if self.peak else "",
            "Settings": " ".join(f"{name}={value}" for name, value in machine.get("variables", {}).items()),
            "Commit": self.commit,
            "Command": f"`{self.command}`, {self.began}, {self.seconds:,.0f} s",
            "Warning": f"the machine had been at work: its load was {self.load:.1f} in the minute before"
            if (self.load or 0.0) > QUIET
            else "",
            "Absent": "; ".join(f"{name}: {reason}" for name, reason in self.absent.items()),
            "Failed": "; ".join(
                f"{row.contender} ({row.case}, {row.measure}): {row.failed}" for row in self.rows if row.failed
            ),
            "Note": self.note,
            "Submission": f"digest `{digest}`" if (digest := self.submission.get("digest")) else "",
        }
        return {name: text for name, text in found.items() if text}


def _grouped(rows: Iterable[Row], key: Any) -> dict[Any, list[Row]]:
    found: dict[Any, list[Row]] = {}
    for row in rows:
        found.setdefault(key(row), []).append(row)
    return found


class Recorder:
    """A record in the making: written after every call of `add`."""

    def __init__(self, record: Record, path: Path, console: Console | None = None):
        self.record, self.path, self._console = record, path, console
        self._began = time.monotonic() - record.seconds

    def add(self, rows: Iterable[Row]) -> None:
        self.record = replace(self.record, rows=[*self.record.rows, *rows], seconds=time.monotonic() - self._began)
        write(self.record, self.path)
        if self._console and self.record.rows:
            last = self.record.rows[-1]
            text = f"{self.record.seconds:4.0f} s: {last.part}, {last.case}, {last.measure.partition(':')[0]}"
            self._console.print(text, highlight=False, markup=False)


def begin(study: str, command: str, absent: dict[str, str] | None = None) -> Record:
    """A new record, for a run that begins now."""
    found = machine()
    began = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return Record(study, command, commit(), began, 0.0, load, found["cores"], native_status(), found, absent or {})


def resumed(path: Path, study: str, command: str) -> Record:
    """A record that goes on: with its rows, its seconds and both commits."""
    before, record = read(path, study), begin(study, command)
    commits = ", ".join(dict.fromkeys([*before.commit.split(", "), record.commit]))
    return replace(record, commit=commits, seconds=before.seconds, rows=before.rows, note=before.note)


def write(record: Record, path: Path) -> None:
    make_folder(path.parent)
    write_whole(path, as_text(record))


def as_text(record: Record) -> str:
    """The content of its file."""
    values = {f.name: getattr(record, f.name) for f in dataclasses.fields(Record) if f.name != "rows"}
    if not record.submission:
        del values["submission"]
    head = json.dumps(values, indent=1, ensure_ascii=False, allow_nan=False).removesuffix("\n}")
    lines = ",\n".join(json.dumps(_filled(row), ensure_ascii=False, allow_nan=False) for row in record.rows)
    return f'{head},\n "rows": [\n{lines}\n]}}\n'


def _filled(row: Row) -> dict[str, Any]:
    """The fields that are not at their defaults."""
    first = Row(row.part, "", "", "")
    return {name: value for name, value in vars(row).items() if name in NAMES or value != getattr(first, name)}


def make_folder(path: Path) -> None:
    """Make a folder and its parents if they do not exist.

    Raises:
        InputError: it cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{path}: the folder cannot be made: {error.strerror}") from None


def read(path: Path, study: str = "") -> Record:
    """Read a record, of any study if none is given.

    Raises:
        InputError: the file does not exist or has no such record.
    """
    kind = f"`python -m benchmarks {study or 'COMMAND'}`"
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(values, dict) or values.get("study") not in STUDIES:
            raise ValueError(f"it is of no study ({', '.join(STUDIES)})")
        if study and values["study"] != study:
            raise ValueError(f"it is one of {values['study']!r}")
        rows: Any = [Row(**each) for each in values.pop("rows")]
        record = Record(**values, rows=rows)
        _check(record)
        return record
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: not a record of {kind}: {error}") from None


def _check(record: Record) -> None:
    """Raise ValueError if facts that every page shows are missing, or samples in seconds are none."""
    lacks = [name for name in ("python", "system", "cpu", "packages", "devices") if name not in record.environment]
    if lacks:
        raise ValueError(f"its environment lacks {lacks[0]!r}")
    for row in record.rows:
        if row.unit != SECONDS:
            continue
        known = isinstance(row.samples, list) and all(isinstance(value, int | float) for value in row.samples)
        if not known or not all(0 < value < math.inf for value in row.samples):
            raise ValueError(f"{row.case}, {row.measure}: the samples of {row.contender!r} are no seconds above 0")
        other = record.row(row.part, row.case, row.measure, row.baseline) if row.baseline else None
        if other and row.samples and len(row.samples) != len(other.samples):
            raise ValueError(f"{row.case}, {row.measure}: {row.contender!r} has other rounds than {row.baseline!r}")
