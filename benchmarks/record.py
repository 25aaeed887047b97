"""The record of a run: JSON with every sample, from which all output can be recomputed."""

import dataclasses
import json
import math
import os
import re
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmarks.sampling import Timed
from jax_lstm.checks import InputError
from jax_lstm.environment import environment
from jax_lstm.files import write_json
from jax_lstm.kernels.fused import native_status

ROOT = Path(__file__).parents[1]
PEERS = ("keras", "equinox", "onnxruntime", "onnx")
SIMD = re.compile(r"sse4_2|f16c|fma|avx\w*|amx\w*|asimd\w*|sve\w*|bf16|i8mm")  # for matrix products
# Environment variables that change speeds.
VARIABLES = re.compile(r"(XLA|OMP|MKL|KMP|OPENBLAS|JAX|TORCH|TORCHINDUCTOR|KERAS|CUDA|NVIDIA)_\w+")


@dataclass(frozen=True)
class Record:
    """A record of `study`, the command that made it; `rows` are dataclasses.

    `absent` has the contenders that are not installed, with how to get them; `goals` are computed from `rows`.
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
    absent: dict[str, str] = field(default_factory=dict)
    rows: list[Any] = field(default_factory=list)
    goals: list[dict[str, Any]] = field(default_factory=list)

    def of(self, section: str, measure: str = "") -> list[Timed]:
        return [row for row in self.rows if row.section == section and measure in ("", row.measure)]

    def row(self, section: str, case: str, measure: str) -> Timed | None:
        return next((row for row in self.of(section, measure) if row.case == case), None)

    @property
    def peak(self) -> float:
        """The matrix peak in GFLOP/s, the faster of the two products; 0 if not measured."""
        speeds = [row.flops / min(samples) / 1e9 for row in self.of("peak") for samples in row.seconds.values()]
        return max(speeds, default=0.0)


def write(record: Record, path: Path) -> None:
    make_folder(path.parent)
    write_json(path, dataclasses.asdict(record))


def make_folder(path: Path) -> None:
    """Make a folder and its parents if they do not exist.

    Raises:
        InputError: it cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{path}: the folder cannot be made: {error.strerror}") from None


def read(path: Path, study: str = "engine", row: Callable[..., Any] = Timed) -> Record:
    """Read the record of a study from a file; `row` is the class of its rows.

    Raises:
        InputError: the file does not exist or has no record of that study.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        found = _study(values)
        if found != study:
            raise ValueError(f"it is one of {found!r}" if found else "it names no study")
        record = Record(**values | {"rows": [row(**each) for each in values["rows"]]})
        _check(record)
        return record
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: not a record of `python -m benchmarks {study}`: {error}") from None


def _study(values: Any) -> str:
    found = values.get("study", "") if isinstance(values, dict) else ""
    return found if isinstance(found, str) else ""


def _check(record: Record) -> None:
    """Raise ValueError if facts that every page shows are missing, or samples are not seconds."""
    lacks = [name for name in ("python", "system", "cpu", "packages", "devices") if name not in record.environment]
    if lacks:
        raise ValueError(f"its environment lacks {lacks[0]!r}")
    for row in record.rows:
        for name, samples in row.seconds.items() if isinstance(row, Timed) else ():
            known = isinstance(samples, list) and all(isinstance(value, int | float) for value in samples)
            if not known or not all(0 < value < math.inf for value in samples):
                raise ValueError(f"{row.case}, {row.measure}: the samples of {name!r} are no seconds above 0")
            rounds = row.seconds.get(row.baseline, samples)
            if len(samples) != len(rounds):
                raise ValueError(f"{row.case}, {row.measure}: {name!r} has other rounds than {row.baseline!r}")


def begin(study: str, command: str, absent: dict[str, str]) -> Record:
    """A new record, for a run that begins now."""
    found = environment()
    found["packages"] |= {name: installed for name in PEERS if (installed := _version(name))}
    found |= {"simd": _simd(), "variables": _variables()}
    began = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return Record(study, command, commit(), began, 0.0, load, found["cores"], native_status(), found, absent)


def _simd() -> list[str]:
    """The CPU's instruction sets that matter for speed; empty if the system does not list them."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return []
    line = re.search(r"^(?:flags|Features)\s*:(.*)$", text, re.MULTILINE)
    return sorted(flag for flag in line[1].split() if SIMD.fullmatch(flag)) if line else []


def _variables() -> dict[str, str]:
    """Environment variables that affect speed, without those that name paths."""
    items = sorted(os.environ.items())
    return {name: value for name, value in items if VARIABLES.fullmatch(name) and os.sep not in value}


def commit() -> str:
    """The commit of the checkout, or "unknown"."""
    try:
        head = _git("rev-parse", "HEAD")
        return head + " and changes" * bool(_git("status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(*arguments: str) -> str:
    ran = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    return ran.stdout.strip()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
