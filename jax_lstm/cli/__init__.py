"""The command `jax-lstm`: parse, run, and turn errors into one line and an exit status."""

import contextlib
import functools
import io
import operator
import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import tyro
from rich.console import Console

from jax_lstm.checks import InputError, MissingExtraError
from jax_lstm.cli.compare import Compare
from jax_lstm.cli.convert import Convert
from jax_lstm.cli.evaluate import Evaluate
from jax_lstm.cli.export import Export
from jax_lstm.cli.forecast import Forecast
from jax_lstm.cli.generate import Generate
from jax_lstm.cli.info import Info
from jax_lstm.cli.train import Train
from jax_lstm.cli.tutorial import Tutorial
from jax_lstm.train import DivergedError, InterruptedRunError

COMMANDS: dict[str, Any] = {
    "compare": Compare,
    "train": Train,
    "evaluate": Evaluate,
    "forecast": Forecast,
    "generate": Generate,
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
        command = _parse(arguments)
        return command.run(console)
    except (InputError, MissingExtraError) as error:
        return _fail(str(error), 2)
    except OSError as error:
        if isinstance(error, BrokenPipeError):  # the reader of a pipe has gone; there is nobody left to tell
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


def _parse(arguments: list[str]) -> Any:
    """The command with its options; options not given have the values of `--config` or `--resume`, where that is."""
    choices = []
    for name, command in COMMANDS.items():
        given = (
            {"default": command.given(arguments[1:])} if arguments[:1] == [name] and hasattr(command, "given") else {}
        )
        choices.append(Annotated[command, tyro.conf.subcommand(name, **given)])
    markers = (tyro.conf.OmitArgPrefixes, tyro.conf.OmitSubcommandPrefixes)
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            return tyro.cli(
                functools.reduce(operator.or_, choices),
                args=arguments or ["--help"],
                prog="jax-lstm",
                description=DESCRIPTION,
                config=markers,
            )
    except SystemExit as error:
        # tyro frames in a box what a config refuses; such a message is ours and stays one line.
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, InputError):
            cause = cause.__context__
        if cause is not None:
            raise cause from None
        sys.stderr.write(said.getvalue())
        raise
