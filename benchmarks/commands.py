"""The table of commands, and parsing of their options."""

from collections.abc import Sequence
from typing import Any

import tyro

from benchmarks.accuracy.command import Accuracy
from benchmarks.device.command import Device
from benchmarks.engine import Engine
from benchmarks.ensemble import Ensemble
from benchmarks.frameworks import Frameworks
from benchmarks.iterations import Study as Iterations
from benchmarks.jit.command import Jit
from benchmarks.profile import Profiling
from benchmarks.report.command import Report
from benchmarks.scaling.command import Scaling
from benchmarks.tasks import Tasks

COMMANDS: dict[str, Any] = {
    "accuracy": Accuracy,
    "device": Device,
    "engine": Engine,
    "ensemble": Ensemble,
    "frameworks": Frameworks,
    "iterations": Iterations,
    "jit": Jit,
    "profile": Profiling,
    "report": Report,
    "scaling": Scaling,
    "tasks": Tasks,
}


def parsed(arguments: Sequence[str], about: str) -> Any:
    """Parse the command and its options."""
    return tyro.extras.subcommand_cli_from_dict(
        COMMANDS, prog="python -m benchmarks", description=about, args=list(arguments) or ["--help"]
    )
