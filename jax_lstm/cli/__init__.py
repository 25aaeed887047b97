"""The command `jax-lstm`: parse and run; errors become one line and an exit status."""

import os
import sys
from collections.abc import Sequence
from typing import Any

from rich.console import Console

from jax_lstm.checks import InputError, MissingExtraError
from jax_lstm.cli.compare import Compare
from jax_lstm.cli.convert import Convert
from jax_lstm.cli.evaluate import Evaluate
from jax_lstm.cli.export import Export
from jax_lstm.cli.forecast import Forecast
from jax_lstm.cli.generate import Generate
from jax_lstm.cli.info import Info
from jax_lstm.cli.label import Label
from jax_lstm.cli.parser import parse
from jax_lstm.cli.train import Train
from jax_lstm.cli.tutorial import Tutorial
from jax_lstm.estimators.names import command_line
from jax_lstm.train import DivergedError, InterruptedRunError

COMMANDS: dict[str, Any] = {
    "compare": Compare,
    "train": Train,
    "evaluate": Evaluate,
    "forecast": Forecast,
    "generate": Generate,
    "label": Label,
    "export": Export,
    "tutorial": Tutorial,
    "convert": Convert,
    "info": Info,
}
DESCRIPTION = (
    "The LSTM of PyTorch in JAX: compare, train, forecast. `jax-lstm COMMAND --help` shows a command's options."
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status.

    0: done. 1: the frameworks disagree, or the loss diverged. 2: the input cannot be used. 130: Ctrl-C. 143: SIGTERM.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    console = Console()
    try:
        command = parse(COMMANDS, arguments, DESCRIPTION)
        with command_line():
            return command.run(console)
    except (InputError, MissingExtraError) as error:
        return _fail(str(error), 2)
    except OSError as error:
        if isinstance(error, BrokenPipeError):  # the reader of a pipe has gone
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 141
        return _fail(f"{error.filename}: {error.strerror}" if error.filename else str(error), 2)
    except DivergedError as error:
        return _fail(str(error), 1)
    except InterruptedRunError as error:
        return _fail(str(error), 128 + error.signum)
    except KeyboardInterrupt:
        return _fail("interrupted", 130)


def _fail(message: str, status: int) -> int:
    print(f"jax-lstm: error: {' '.join(message.split())}", file=sys.stderr)
    return status
