"""`python -m benchmarks COMMAND`, from a checkout."""

import sys
from collections.abc import Sequence
from typing import Any

import tyro
from rich.console import Console

from benchmarks.accuracy.command import Accuracy
from benchmarks.engine import Engine
from benchmarks.ensemble import Ensemble
from benchmarks.frameworks import Frameworks
from benchmarks.jit.command import Jit
from benchmarks.profile import Profiling
from benchmarks.report.command import Report
from benchmarks.scaling.command import Scaling
from benchmarks.tasks import Tasks
from jax_lstm.checks import InputError, MissingExtraError

COMMANDS: dict[str, Any] = {
    "accuracy": Accuracy,
    "engine": Engine,
    "ensemble": Ensemble,
    "frameworks": Frameworks,
    "jit": Jit,
    "profile": Profiling,
    "report": Report,
    "scaling": Scaling,
    "tasks": Tasks,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status.

    0: done. 1: a contender failed the gate, or a ratio no longer holds. 2: the input cannot be used. 130: Ctrl-C.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        command = tyro.extras.subcommand_cli_from_dict(
            COMMANDS, prog="python -m benchmarks", description=__doc__, args=arguments or ["--help"]
        )
        console = Console() if sys.stdout.isatty() else Console(width=120)
        return command.run(console, arguments)
    except (InputError, MissingExtraError) as error:
        return _fail(str(error), 2)
    except FloatingPointError as error:  # a loss became NaN or infinite
        return _fail(str(error), 1)
    except KeyboardInterrupt:
        return _fail("interrupted", 130)


def _fail(message: str, status: int) -> int:
    print(f"benchmarks: error: {' '.join(message.split())}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
